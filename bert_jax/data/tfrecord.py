"""TFRecord shards: written whole with an index (shard_index.py), read at random access with every CRC checked.

A shard is a sequence of frames (storage/tfrecord_frame.py). Knows nothing of what is in a record.
"""

import contextlib
import itertools
import os
import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from absl import logging
from etils import epath
from numpy.typing import NDArray

from bert_jax.data.shard_index import as_far_as_known, is_possible, read_index, replace_index, write_index
from bert_jax.errors import DamagedRecordError, UserError
from bert_jax.storage.cloud import is_remote, read_range
from bert_jax.storage.tfrecord_frame import (
    FOOTER_BYTES,
    FRAMING_BYTES,
    HEADER_BYTES,
    data_length,
    frame_data,
    pack_frame,
)
from bert_jax.storage.whole_file import whole_file


def shard_name(split: str, shard: int, num_shards: int) -> str:
    """A shard's file name, in the form that TFDS expects."""
    return f"bert-{split}.tfrecord-{shard:05d}-of-{num_shards:05d}"


class TFRecordWriter:
    """Writes the frames of one shard to an open file."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.offsets = [0]

    def write(self, data: bytes) -> None:
        """Append one record."""
        frame = pack_frame(data)
        self._file.write(frame)
        self.offsets.append(self.offsets[-1] + len(frame))


@contextlib.contextmanager
def write_shard(path: epath.PathLike) -> Iterator[TFRecordWriter]:
    """Write a shard and its index; the shard appears, whole, when the block ends, and its index just before."""
    with whole_file(path) as file:
        writer = TFRecordWriter(file)
        yield writer
        write_index(path, np.array(writer.offsets, np.int64))


class TFRecordReader:
    """The records of one shard by number. Opened at the first read; safe to use from several threads.

    Of a shard in an object store, the records are fetched one by one until there is a copy on this host (`copy`). Its
    index only saves time: one that does not agree with the shard is made anew, with a warning.

    Raises:
      DamagedRecordError: a record is damaged or cut off; named by file and number.
      UserError: the shard does not hold `num_records`, if that is given.
    """

    def __init__(
        self,
        path: epath.PathLike,
        may_be_short: bool = False,
        copy: Path | None = None,
        num_records: int | None = None,
        size: int | None = None,
    ) -> None:
        """With `may_be_short`, a shard of `num_records` that was cut off is read as far as it goes.

        `size`: in bytes, where that is known.
        """
        self.path = epath.Path(path)
        self._may_be_short, self._num_records, self._size = may_be_short, num_records, size
        self._copy = copy if is_remote(path) else Path(path)
        self._lock = threading.Lock()
        self._file: BinaryIO | None = None
        self._index: NDArray[np.int64] | None = None
        self._walked = self._was_wrong = False

    def __len__(self) -> int:
        return len(self._offsets()) - 1

    def __getitem__(self, record: int) -> bytes:
        frame = self._frame(record)
        data = frame_data(frame)
        if data is None and data_length(frame) != len(frame) - FRAMING_BYTES and self._index_was_wrong():
            frame = self._frame(record)
            data = frame_data(frame)
        if data is None:
            is_short = len(frame) < FRAMING_BYTES or (data_length(frame) or 0) > len(frame) - FRAMING_BYTES
            raise _damaged(self.path, record, "is cut off" if is_short else "is damaged (CRC mismatch)")
        return data

    def checksums(self, records: np.ndarray) -> bytes:
        """The length of these records' frames and the CRCs that were written behind their data, 12 bytes each.

        They identify the records: damage to the data does not change them.
        """
        frames = self._frames(records)
        if any(data_length(frame) != len(frame) - FRAMING_BYTES for frame in frames) and self._index_was_wrong():
            frames = self._frames(records)
        return b"".join(struct.pack("<Q", len(frame)) + frame[-FOOTER_BYTES:] for frame in frames)

    def _frames(self, records: np.ndarray) -> list[bytes]:
        if len(records) < len(self):
            return [self._frame(record) for record in records.tolist()]
        offsets = self._offsets().tolist()
        content = self._read(0, offsets[-1])  # of an object store: one request
        return [content[start:end] for start, end in itertools.pairwise(offsets)]

    def _frame(self, record: int) -> bytes:
        """The bytes where the record is by the index."""
        start, end = map(int, self._offsets()[record : record + 2])
        return self._read(start, end - start) if end > start else b""  # nowhere: the shard is cut off

    def _read(self, start: int, size: int) -> bytes:
        file = self._file or self._open()
        return os.pread(file.fileno(), size, start) if file else read_range(self.path, start, size)

    def _open(self) -> BinaryIO | None:
        """The file on this host; None if there is none (yet)."""
        missing_ok = [FileNotFoundError] if is_remote(self.path) else []
        with self._lock, contextlib.suppress(*missing_ok):
            if self._file is None and self._copy is not None:
                self._file = self._copy.open("rb")
        return self._file

    def _offsets(self) -> NDArray[np.int64]:
        with self._lock:
            if self._index is None:
                kept = read_index(self.path)
                self._index = kept if kept is not None and self._agrees(kept) else self._walk(kept)
            return self._index

    def _agrees(self, kept: NDArray[np.int64]) -> bool:
        """Whether an index may be the shard's, as far as one sees without walking along it."""
        size = self.path.stat().length if self._size is None else self._size
        return self._num_records in (None, len(kept) - 1) and is_possible(kept) and int(kept[-1]) == size

    def _index_was_wrong(self) -> bool:
        """Whether the index has turned out not to be the shard's when that was walked along, now or earlier."""
        with self._lock:
            if not self._walked:
                kept = self._index
                self._index = self._walk(kept)
                self._was_wrong = kept is None or not np.array_equal(kept, self._index)
            return self._was_wrong

    def _walk(self, kept: NDArray[np.int64] | None) -> NDArray[np.int64]:
        """Find the frames by walking along the shard, and keep them in the place of the index that was `kept`."""
        self._walked = True
        logging.log_first_n(logging.INFO, "walking along %s once, to find its records", 3, self.path)
        offsets, fault = find_frames(self.path)
        if fault and self._may_be_short and self._num_records is not None:
            return as_far_as_known(offsets, kept, self._num_records, self.path.stat().length)
        if fault:
            raise _damaged(self.path, len(offsets) - 1, fault)
        if self._num_records not in (None, len(offsets) - 1):
            raise UserError(
                f"{self.path} holds {len(offsets) - 1} records and the records.json beside it says "
                f"{self._num_records}; restore the one that is wrong, or build the records again"
            )
        if kept is None or not np.array_equal(kept, offsets):
            replace_index(self.path, offsets)
        return offsets


def find_frames(path: epath.Path) -> tuple[NDArray[np.int64], str]:
    """Walk along a shard: where its frames start and, last, end; and what is wrong with the one there, or ""."""
    size, offsets, fault = path.stat().length, [0], ""
    with path.open("rb") as file:
        while offsets[-1] < size and not fault:
            file.seek(offsets[-1])
            header = file.read(HEADER_BYTES)
            length = data_length(header)
            if length is None:
                fault = "is cut off" if len(header) < HEADER_BYTES else "is damaged (CRC mismatch)"
            elif offsets[-1] + length + FRAMING_BYTES > size:
                fault = "is cut off"
            else:
                offsets.append(offsets[-1] + length + FRAMING_BYTES)
    return np.array(offsets, np.int64), fault


def check_size(path: epath.Path, size: int, expected: int) -> None:
    """Check that a shard of `size` bytes is as long as it was; the error names the first record that is cut off."""
    if size < expected:
        offsets, fault = find_frames(path)
        if fault:
            raise _damaged(path, len(offsets) - 1, fault)
    if size != expected:
        raise UserError(
            f"{path} has {size} bytes and {expected} were written; rebuild that shard with build_records or restore it"
        )


def _damaged(path: epath.Path, record: int, how: str) -> DamagedRecordError:
    return DamagedRecordError(f"{path}: record {record} {how}; rebuild that shard with build_records or restore it")
