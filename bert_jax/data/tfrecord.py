"""TFRecord shards: written whole with an index of byte offsets, read at random access with every CRC checked.

A shard is a sequence of frames: length (uint64), CRC of the length (uint32), data, CRC of the data (uint32),
all little-endian. The CRC is CRC-32C, rotated right by 15 bits plus 0xa282ead8 (tensorflow/core/lib/io/
record_writer.h and lib/hash/crc32c.h). Beside the shards, index/<shard>.npy holds, as int64, where each record's
frame starts and, last, where the shard ends. Knows nothing of what is in a record.
"""

import contextlib
import functools
import io
import os
import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import google_crc32c
import numpy as np
from etils import epath

from bert_jax.errors import DamagedRecordError, UserError
from bert_jax.storage.cloud import is_remote, read_range
from bert_jax.storage.whole_file import whole_file

_HEADER = struct.Struct("<QI")
_FOOTER = struct.Struct("<I")
_FRAMING = _HEADER.size + _FOOTER.size  # bytes of a frame that are not data


def shard_name(split: str, shard: int, num_shards: int) -> str:
    """A shard's file name, in the form that TFDS expects."""
    return f"bert-{split}.tfrecord-{shard:05d}-of-{num_shards:05d}"


def index_path(shard: epath.PathLike) -> epath.Path:
    """Where a shard's index is; no glob for *.tfrecord* finds it."""
    shard = epath.Path(shard)
    return shard.parent / "index" / (shard.name.replace(".tfrecord", "") + ".npy")


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
        _write_index(epath.Path(path), np.array(writer.offsets, np.int64))


class TFRecordReader:
    """The records of one shard by number. Opened at the first read; safe to use from several threads.

    Of a shard in an object store, the records are fetched one by one until there is a copy on this host (`copy`).

    Raises:
      DamagedRecordError: a record is damaged or cut off; named by file and number.
      UserError: the shard is not the one that was indexed.
    """

    def __init__(self, path: epath.PathLike, may_be_short: bool = False, copy: Path | None = None) -> None:
        """With `may_be_short`, a shard that was cut off is read as far as it goes."""
        self.path = epath.Path(path)
        self._may_be_short = may_be_short
        self._copy = copy if is_remote(path) else Path(path)
        self._lock = threading.Lock()
        self._file: BinaryIO | None = None
        self._index: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self._offsets()) - 1

    def __getitem__(self, record: int) -> bytes:
        start, end = map(int, self._offsets()[record : record + 2])
        frame = self._read(start, end - start)
        if len(frame) < end - start:
            raise self._damaged(record, "is cut off")
        length, length_crc = _HEADER.unpack_from(frame)
        data, data_crc = frame[_HEADER.size : -_FOOTER.size], _FOOTER.unpack(frame[-_FOOTER.size :])[0]
        if length_crc != _masked_crc(frame[:8]) or length != len(data) or data_crc != _masked_crc(data):
            raise self._damaged(record, "is damaged (CRC mismatch)")
        return data

    def sizes(self) -> np.ndarray:
        """Bytes of each record's frame, int64, as the index has them."""
        return np.diff(self._offsets())

    def checksums(self, records: np.ndarray) -> bytes:
        """The CRCs that were written behind the data of these records, 4 bytes each.

        They say which records these are: damage to the data does not change them. What was cut off is left out.
        """
        ends = self._offsets()[1:][records[records < len(self)]]
        if len(ends) < len(self):
            return b"".join(self._read(int(end) - _FOOTER.size, _FOOTER.size) for end in ends)
        content = np.frombuffer(self._read(0, int(self._offsets()[-1])), np.uint8)  # of an object store: one request
        there = ends[ends <= len(content), None]
        return content[there - _FOOTER.size + np.arange(_FOOTER.size)].tobytes()

    def _offsets(self) -> np.ndarray:
        with self._lock:
            if self._index is None:
                self._index = self._load_index()
            return self._index

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

    def _load_index(self) -> np.ndarray:
        if not index_path(self.path).exists():
            return self._make_index()
        offsets = _read_index(self.path)
        if not self._may_be_short:
            check_size(self.path, int(offsets[-1]), offsets)
        return offsets

    def _make_index(self) -> np.ndarray:
        """Walk the frames of a shard that came without an index, and keep the index if the place is writable."""
        size, offsets = self.path.stat().length, [0]
        with self.path.open("rb") as file:
            while offsets[-1] < size:
                header = file.read(_HEADER.size)
                if len(header) < _HEADER.size:
                    raise self._damaged(len(offsets) - 1, "is cut off")
                length, crc = _HEADER.unpack(header)
                if crc != _masked_crc(header[:8]):
                    raise self._damaged(len(offsets) - 1, "is damaged (CRC mismatch)")
                offsets.append(offsets[-1] + length + _FRAMING)
                if offsets[-1] > size:
                    raise self._damaged(len(offsets) - 2, "is cut off")
                file.seek(offsets[-1])
        with contextlib.suppress(OSError):
            _write_index(self.path, np.array(offsets, np.int64))
        return np.array(offsets, np.int64)

    def _damaged(self, record: int, how: str) -> DamagedRecordError:
        return _damaged(self.path, record, how)


def check_size(path: epath.Path, expected: int, offsets: np.ndarray | None = None) -> None:
    """Check that a shard is as long as when it was written; UserError names the first record that is cut off."""
    size = path.stat().length
    if size == expected:
        return
    if offsets is None and index_path(path).exists():
        offsets = _read_index(path)
    if offsets is not None and size < expected:
        raise _damaged(path, int(np.searchsorted(offsets, size, side="right")) - 1, "is cut off")
    raise UserError(
        f"{path} has {size} bytes where {expected} were written; rebuild that shard with build_records or restore it"
    )


def _damaged(path: epath.Path, record: int, how: str) -> DamagedRecordError:
    return DamagedRecordError(f"{path}: record {record} {how}; rebuild that shard with build_records or restore it")


@functools.lru_cache(maxsize=10_000)  # records have few different lengths
def _header(length: int) -> bytes:
    return _HEADER.pack(length, _masked_crc(struct.pack("<Q", length)))


def _masked_crc(data: bytes) -> int:
    crc = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _read_index(shard: epath.Path) -> np.ndarray:
    try:
        return np.load(io.BytesIO(index_path(shard).read_bytes()))  # at once: from afar each read is a request
    except (ValueError, EOFError):
        raise UserError(f"{index_path(shard)} is damaged; delete it, and it is made again") from None


def _write_index(shard: epath.Path, offsets: np.ndarray) -> None:
    with whole_file(index_path(shard)) as file:
        np.save(file, offsets)
