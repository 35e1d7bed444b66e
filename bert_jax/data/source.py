"""The records of one split of a records directory, by number."""

import contextlib
import hashlib
import itertools
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import tqdm
from absl import logging
from etils import epath

from bert_jax.data.manifest import Shard, read_manifest
from bert_jax.data.record_sizes import read_sizes, record_size, write_sizes
from bert_jax.data.schema import RecordFormat
from bert_jax.data.shard_cache import ShardCache
from bert_jax.data.tfrecord import TFRecordReader, check_size
from bert_jax.errors import DamagedRecordError, UserError
from bert_jax.storage.cloud import is_remote

_REQUESTS = 32  # at a time, to an object store
_MANY = 1000  # records in memory while sizes are found
_ALL, _SOME = 2**16, 2**10  # so many records are looked at for a digest, and of more than that so many


class RecordSource:
    """Random access over the shards of a split in order. Safe to read from several threads.

    A damaged record is an error, or where some may be skipped, a record of zeros: no attention, no weight on any
    prediction. The order of the other records does not change by it.

    Attributes:
        directory: where the records are.
        manifest: what they are.
        skipped: the numbers of the records that were found damaged and skipped.
    """

    def __init__(
        self, directory: epath.PathLike, split: str, skip_corrupt: int = 0, cache: ShardCache | None = None
    ) -> None:
        """Open `split` ("train" or "validation"), of which up to `skip_corrupt` damaged records may be skipped.

        Shards of an object store are copied into `cache`, if it is given, as far as it has room.

        Raises:
          UserError: the split is not there, a shard is missing, or its size is wrong and nothing may be skipped.
        """
        self.directory = epath.Path(directory)
        self.manifest = read_manifest(directory)
        if split not in self.manifest.splits:
            raise UserError(f"{directory} has no {split} records; build them with build_records --holdout=0.01 or so")
        shards = self.manifest.splits[split].shards
        self._pool = ThreadPoolExecutor(_REQUESTS) if is_remote(directory) else None
        self._cache = cache if is_remote(directory) else None
        self._format = RecordFormat(self.manifest.max_seq_length, self.manifest.max_predictions_per_seq)
        self._ends = np.array(list(itertools.accumulate(shard.num_records for shard in shards)))
        self._skip_corrupt = skip_corrupt
        self._readers = list((self._pool.map if self._pool else map)(self._reader, shards))
        self._lock = threading.Lock()
        self.skipped: set[int] = set()

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, record: int) -> dict[str, np.ndarray]:
        """The features of one record (see schema.py), int32 and float32.

        Raises:
          DamagedRecordError: it is damaged, and no more than have been skipped already may be.
        """
        if not 0 <= record < len(self):
            raise IndexError(f"record {record} of {len(self)}")
        try:
            return self._read(record)
        except DamagedRecordError as error:
            if not self._skip_corrupt:
                raise
            self._skip(record, error)
            return self._format.zeros()

    def fetch(self, records: Sequence[int]) -> list[dict[str, np.ndarray]]:
        """The features of several records; from an object store they are fetched at the same time."""
        return list((self._pool.map if self._pool else map)(self.__getitem__, records))

    def sizes(self) -> np.ndarray:
        """Tokens and predictions of every record, int32 [records, 2]; found by reading all once, if it must be."""
        starts = [0, *self._ends[:-1].tolist()]
        shards = zip(self._readers, starts, self._ends.tolist(), strict=True)
        shards = tqdm.tqdm(shards, "sizes", len(starts), leave=False, disable=not sys.stderr.isatty())
        return np.concatenate([self._shard_sizes(reader.path, start, end) for reader, start, end in shards])

    def digest(self) -> str:
        """16 hex digits that change when the records or their order do.

        Of the sizes of all records and of the CRCs that were written with them; of many records, with some of them.
        """
        chosen = np.arange(len(self)) if len(self) <= _ALL else np.linspace(0, len(self) - 1, _SOME).astype(np.int64)
        shards = np.split(chosen, np.searchsorted(chosen, self._ends[:-1]))
        starts = [0, *self._ends[:-1].tolist()]

        def parts(reader: TFRecordReader, start: int, records: np.ndarray) -> tuple[bytes, bytes]:
            return reader.sizes().tobytes(), reader.checksums(records - start)

        found = (self._pool.map if self._pool else map)(parts, self._readers, starts, shards)
        digest = hashlib.sha256()
        for sizes, checksums in tqdm.tqdm(
            found, "looking at records", len(starts), leave=False, disable=not sys.stderr.isatty()
        ):
            digest.update(sizes)
            digest.update(checksums)
        return digest.hexdigest()[:16]

    def _shard_sizes(self, path: epath.Path, start: int, end: int) -> np.ndarray:
        if (sizes := read_sizes(path)) is None:
            logging.log_first_n(logging.INFO, "reading %s once, for the sizes of its records", 3, path)
            pieces = (self.fetch(range(first, min(first + _MANY, end))) for first in range(start, end, _MANY))
            sizes = np.array([record_size(record) for piece in pieces for record in piece], np.int32)
            with contextlib.suppress(OSError):  # a place that is not writable
                write_sizes(path, sizes)
        return sizes

    def _reader(self, shard: Shard) -> TFRecordReader:
        path = self.directory / shard.file
        try:
            status = path.stat()
        except FileNotFoundError:
            raise UserError(f"{path} is missing; rebuild that shard with build_records or restore it") from None
        if not self._skip_corrupt and status.length != shard.bytes:
            check_size(path, shard.bytes)  # which says where it is cut off
        copy = self._cache.want(path, status.length, status.mtime) if self._cache else None
        return TFRecordReader(path, bool(self._skip_corrupt), copy)

    def _read(self, record: int) -> dict[str, np.ndarray]:
        shard = int(np.searchsorted(self._ends, record, side="right"))
        number = record - (int(self._ends[shard - 1]) if shard else 0)
        reader = self._readers[shard]
        data = reader[number]
        try:
            return self._format.parse(data)
        except UserError as error:
            raise DamagedRecordError(f"{reader.path}: record {number}: {error}; build the records again") from None

    def _skip(self, record: int, error: DamagedRecordError) -> None:
        with self._lock:
            if record in self.skipped:  # in an earlier epoch
                return
            if len(self.skipped) == self._skip_corrupt:
                raise DamagedRecordError(
                    f"{error}; {len(self.skipped)} damaged records are skipped already, no more are allowed to be "
                    "(--config.data.skip_corrupt)"
                ) from None
            self.skipped.add(record)
            logging.warning("skipped, %d of at most %d: %s", len(self.skipped), self._skip_corrupt, error)
