"""How many tokens and predictions each record of a shard has: what packing needs to know without reading them.

Beside the shard's index, index/<shard>.sizes.npy holds them as int32 [records, 2].
"""

import io
from collections.abc import Mapping

import numpy as np
from etils import epath

from bert_jax.data.tfrecord import index_path
from bert_jax.errors import UserError
from bert_jax.storage.whole_file import whole_file


def record_size(record: Mapping[str, np.ndarray]) -> tuple[int, int]:
    """Tokens and predictions of a record."""
    return int(record["input_mask"].sum()), int(record["masked_lm_weights"].sum())


def write_sizes(shard: epath.PathLike, sizes: np.ndarray) -> None:
    """Keep the sizes of the records of `shard`."""
    with whole_file(_path(shard)) as file:
        np.save(file, sizes.astype(np.int32))


def read_sizes(shard: epath.PathLike) -> np.ndarray | None:
    """What `write_sizes` kept, or None; UserError if the file is damaged."""
    path = _path(shard)
    if not path.exists():
        return None
    try:
        return np.load(io.BytesIO(path.read_bytes()))
    except (ValueError, EOFError):
        raise UserError(f"{path} is damaged; delete it, and it is made again") from None


def _path(shard: epath.PathLike) -> epath.Path:
    return index_path(shard).with_suffix(".sizes.npy")
