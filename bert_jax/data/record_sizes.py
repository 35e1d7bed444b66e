"""How many tokens and predictions each record of a shard has: what packing needs to know without reading them.

Beside the shard's index, index/<shard>.sizes.npy holds them as int32 [records, 2].
"""

import contextlib
from collections.abc import Mapping

import numpy as np
from absl import logging
from etils import epath
from numpy.typing import NDArray

from bert_jax.data.shard_index import index_path
from bert_jax.storage.array_file import read_array, write_array


def sizes_of(records: Mapping[str, np.ndarray]) -> NDArray[np.int32]:
    """Tokens and predictions of each of `records`, int32 [records, 2]; their features are [records, length]."""
    sizes = [records["input_mask"].sum(1), records["masked_lm_weights"].sum(1)]
    return np.stack(sizes, axis=1).astype(np.int32)


def write_sizes(shard: epath.PathLike, sizes: np.ndarray) -> None:
    """Keep the sizes of the records of `shard`."""
    write_array(sizes_path(shard), sizes.astype(np.int32))


def read_sizes(shard: epath.PathLike, num_records: int, most: tuple[int, int]) -> NDArray[np.int32] | None:
    """What `write_sizes` kept; None if there is nothing or, with a warning, if it cannot be the sizes of these records.

    `most` is how many tokens and predictions a record may have.
    """
    path = sizes_path(shard)
    try:
        sizes = read_array(path, np.int32, 2)
    except (FileNotFoundError, NotADirectoryError):
        return None
    if sizes is None or len(sizes) != num_records or (sizes < (1, 0)).any() or (sizes > most).any():
        logging.warning("%s does not agree with its shard and is made anew", path)
        return None
    return sizes


def remove_sizes(shard: epath.PathLike) -> None:
    """Have the sizes of the records of `shard` found again at the next start, if the file can be removed."""
    with contextlib.suppress(OSError):
        sizes_path(shard).unlink()


def sizes_path(shard: epath.PathLike) -> epath.Path:
    """Where the sizes of a shard's records are kept."""
    return index_path(shard).with_suffix(".sizes.npy")
