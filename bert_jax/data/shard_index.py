"""The index of a shard: index/<shard>.npy beside it holds, as int64, where each record's frame starts and, last, ends.

It saves a walk along the shard when that is opened, and may be lost or damaged: all that it holds is in the shard.
"""

import contextlib

import numpy as np
from absl import logging
from etils import epath
from numpy.typing import NDArray

from bert_jax.storage.array_file import read_array, write_array
from bert_jax.storage.tfrecord_frame import FRAMING_BYTES


def index_path(shard: epath.PathLike) -> epath.Path:
    """Where a shard's index is; no glob for *.tfrecord* finds it."""
    shard = epath.Path(shard)
    return shard.parent / "index" / (shard.name.replace(".tfrecord", "") + ".npy")


def read_index(shard: epath.PathLike) -> NDArray[np.int64] | None:
    """The index that was kept; None if there is none, or the file is damaged."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):  # asked for at once: it is nearly always there
        return read_array(index_path(shard), np.int64)
    return None


def write_index(shard: epath.PathLike, offsets: NDArray[np.int64]) -> None:
    """Keep the index of a shard."""
    write_array(index_path(shard), offsets)


def replace_index(shard: epath.PathLike, offsets: NDArray[np.int64]) -> None:
    """Keep an index that was found by walking along the shard, if it can be written; warn if it replaces another."""
    if index_path(shard).exists():
        logging.warning("%s does not agree with its shard and is made anew", index_path(shard))
    with contextlib.suppress(OSError):
        write_index(shard, offsets)


def is_possible(offsets: NDArray[np.int64]) -> bool:
    """Whether any shard could have this index: frames one after the other from its beginning."""
    return len(offsets) > 0 and offsets[0] == offsets.min() == 0 and bool((np.diff(offsets) >= FRAMING_BYTES).all())


def as_far_as_known(
    walked: NDArray[np.int64], kept: NDArray[np.int64] | None, num_records: int, size: int
) -> NDArray[np.int64]:
    """The index of a shard of `size` bytes along which one gets no further than `walked`: from there on as `kept`.

    Where that is not possible either, the records are nowhere: all at the end of the file.
    """
    if kept is None or len(kept) != num_records + 1 or not is_possible(kept):
        kept = np.full(num_records + 1, size)
    offsets = np.concatenate([walked, np.minimum(kept, size)[len(walked) :]])
    return np.maximum.accumulate(offsets[: num_records + 1])
