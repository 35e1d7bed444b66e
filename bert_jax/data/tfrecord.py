"""TFRecord shards: written whole with an index (shard_index.py), read at random access with every CRC checked.

A shard is a sequence of frames: length (uint64), CRC of the length (uint32), data, CRC of the data (uint32),
all little-endian. The CRC is CRC-32C, rotated right by 15 bits plus 0xa282ead8 (tensorflow/core/lib/io/
record_writer.h and lib/hash/crc32c.h). Knows nothing of what is in a record.
"""

import contextlib
import functools
import itertools
import os
import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import google_crc32c
import numpy as np
from absl import logging
from etils import epath
from numpy.typing import NDArray

from bert_jax.data.shard_index import as_far_as_known, is_possible, read_index, replace_index, write_index
from bert_jax.errors import DamagedRecordError, UserError
from bert_jax.storage.cloud import is_remote, read_range
from bert_jax.storage.whole_file import whole_file

_HEADER = struct.Struct("<QI")
_FOOTER = struct.Struct("<I")
_FRAMING = _HEADER.size + _FOOTER.size  # bytes of a frame that are not data


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
        frame = b"".join((_header(len(data)), data, _FOOTER.pack(_masked_crc(data))))
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
    index is a help and no authority: one that does not agree with the shard is made anew, and told.

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
    ) -> None:
        """With `may_be_short`, a shard of `num_records` that was cut off is read as far as it goes."""
        self.path = epath.Path(path)
        self._may_be_short, self._num_records = may_be_short, num_records
        self._copy = copy if is_remote(path) else Path(path)
        self._lock = threading.Lock()
        self._file: BinaryIO | None = None
        self._index: NDArray[np.int64] | None = None
        self._walked = self._was_wrong = False

    def __len__(self) -> int:
        return len(self._offsets()) - 1

    def __getitem__(self, record: int) -> bytes:
        frame = self._frame(record)
        data = _data(frame)
        if data is None and _length(frame) != len(frame) - _FRAMING and self._index_was_wrong():
            frame = self._frame(record)
            data = _data(frame)
        if data is None:
            is_short = len(frame) < _FRAMING or (_length(frame) or 0) > len(frame) - _FRAMING
            raise _damaged(self.path, record, "is cut off" if is_short else "is damaged (CRC mismatch)")
        return data

    def marks(self, records: np.ndarray) -> bytes:
        """The length of these records' frames and the CRCs that were written behind their data, 12 bytes each.

        They say which records these are: damage to the data does not change them.
        """
        frames = self._frames(records)
        if any(_length(frame) != len(frame) - _FRAMING for frame in frames) and self._index_was_wrong():
            frames = self._frames(records)
        return b"".join(struct.pack("<Q", len(frame)) + frame[-_FOOTER.size :] for frame in frames)

    def _frames(self, records: np.ndarray) -> list[bytes]:
        if len(records) < len(self):
            return [self._frame(record) for record in records.tolist()]
        offsets = self._offsets().tolist()
        content = self._read(0, offsets[-1])  # of an object store: one request
        return [content[start:end] for start, end in itertools.pairwise(offsets)]

    def _frame(self, record: int) -> bytes:
        """What lies where the record is by the index."""
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
        is_whole = self._num_records in (None, len(kept) - 1)
        return is_whole and is_possible(kept) and int(kept[-1]) == self.path.stat().length

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
            header = file.read(_HEADER.size)
            length = _length(header)
            if length is None:
                fault = "is cut off" if len(header) < _HEADER.size else "is damaged (CRC mismatch)"
            elif offsets[-1] + length + _FRAMING > size:
                fault = "is cut off"
            else:
                offsets.append(offsets[-1] + length + _FRAMING)
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


def _data(frame: bytes) -> bytes | None:
    """What is in a frame; None if it is not whole."""
    if len(frame) < _FRAMING or _length(frame) != len(frame) - _FRAMING:
        return None
    data, (crc,) = frame[_HEADER.size : -_FOOTER.size], _FOOTER.unpack(frame[-_FOOTER.size :])
    return data if crc == _masked_crc(data) else None


def _length(frame: bytes) -> int | None:
    """The number of bytes of data that the beginning of a frame tells; None if it is damaged."""
    if len(frame) < _HEADER.size:
        return None
    length, crc = _HEADER.unpack_from(frame)
    return length if crc == _masked_crc(frame[:8]) else None


@functools.lru_cache(maxsize=10_000)  # records have few different lengths
def _header(length: int) -> bytes:
    return _HEADER.pack(length, _masked_crc(struct.pack("<Q", length)))


def _masked_crc(data: bytes) -> int:
    crc = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
