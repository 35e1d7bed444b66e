"""The records of one split of a records directory, by number."""

import contextlib
import hashlib
import itertools
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
from absl import logging
from etils import epath

from bert_jax.data.manifest import Manifest, read_manifest
from bert_jax.data.open_shards import Seen, local_copies, look_at
from bert_jax.data.record_sizes import read_sizes, remove_sizes, sizes_of, sizes_path, write_sizes
from bert_jax.data.schema import RecordFormat, faults, record_sizes, stack
from bert_jax.data.shard_cache import ShardCache
from bert_jax.data.tfrecord import TFRecordReader
from bert_jax.errors import DamagedRecordError, UserError
from bert_jax.progress import counted
from bert_jax.storage.cloud import is_remote
from bert_jax.storage.open_files import let_stay_open

_REQUESTS = 32  # at a time, to an object store
_BATCH = 1000  # records in memory while sizes are found
_DIGESTED_ALL, _DIGESTED_SOME = 2**16, 2**10  # records: up to the first number all are in a digest, of more the second

_From = TypeVar("_From")
_To = TypeVar("_To")


class RecordSource:
    """Random access over the shards of a split in order. Safe to read from several threads.

    A damaged record is an error, or where some may be skipped, a record of zeros: no attention, no weight on any
    prediction. The order of the other records does not change by it.

    Attributes:
        directory: where the records are.
        split: which of its splits.
        manifest: what they are.
        seen: what there is of each shard.
        skipped: the numbers of the records that were found damaged and skipped.
    """

    def __init__(
        self,
        directory: epath.PathLike,
        split: str,
        skip_corrupt: int = 0,
        cache: ShardCache | None = None,
        manifest: Manifest | None = None,
        seen: Seen | None = None,
        copies_from: float = 0.0,
    ) -> None:
        """Open `split` ("train" or "validation"), of which up to `skip_corrupt` damaged records may be skipped.

        Shards of an object store are copied into `cache`, if it is given, as far as they fit: the first one at
        `copies_from` (0 to 1) of the way through the split.

        `manifest` is what `read_manifest` gives, if somebody has read it. Where another process of the job has opened
        the same split, its `seen` is enough: no shard is looked at, and each index read when a record there is.

        Raises:
          UserError: the split is not there; a shard is missing, or has another size or number of records than
            in records.json, unless what is cut off may be skipped; or records are not as long as it has them.
        """
        self.directory = epath.Path(directory)
        self.manifest = manifest or read_manifest(directory)
        if split not in self.manifest.splits:
            raise UserError(f"{directory} has no {split} records; build them with build_records --holdout=0.01 or so")
        shards = self.manifest.splits[split].shards
        self.split = split
        self._pool = ThreadPoolExecutor(_REQUESTS) if is_remote(directory) else None
        self._format = RecordFormat(self.manifest.max_seq_length, self.manifest.max_predictions_per_seq)
        self._ends = np.array(list(itertools.accumulate(shard.num_records for shard in shards)))
        self._skip_corrupt = skip_corrupt
        self.seen = look_at(self.directory, shards, bool(skip_corrupt)) if seen is None else seen
        copies = local_copies(self.directory, shards, self.seen, cache, copies_from)
        self._readers = [
            TFRecordReader(self.directory / shard.file, bool(skip_corrupt), copy, shard.num_records, size)
            for shard, copy, (size, _) in zip(shards, copies, self.seen, strict=True)
        ]
        let_stay_open(len(shards))
        self._lock = threading.Lock()
        self._sizes: np.ndarray | None = None  # when somebody has asked for them
        self.skipped: set[int] = set()
        if seen is None:
            self._check_indices()
            self._check_length()

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, record: int) -> dict[str, np.ndarray]:
        """The features of one record (see schema.py), int32 and float32; raises as `fetch` does."""
        return {name: values[0] for name, values in self.fetch([record]).items()}

    def fetch(self, records: Sequence[int]) -> dict[str, np.ndarray]:
        """The features of several records, each [records, length]; of an object store, all are asked for at once.

        Raises:
          DamagedRecordError: one is damaged, and no more than have been skipped already may be.
        """
        if not records:
            return self._format.zeros(0)
        batch = stack(list(self._map(self._read, records)))
        for row, fault in faults(
            batch, self.manifest.vocab_size
        ).items():  # of the whole batch: one check costs as much as of a few records
            self._skip(records[row], self._damaged(records[row], fault))
            for values in batch.values():
                values[row] = 0
        if self._sizes is not None:
            self._check_sizes(records, sizes_of(batch))
        return batch

    def sizes(self) -> np.ndarray:
        """Tokens and predictions of every record, int32 [records, 2]; found by reading all once, if it must be."""
        if self._sizes is None:
            sizes = self._all_sizes()
            counts = self.manifest.statistics.get(self.split, {})
            counted = [counts.get("filled"), counts.get("predictions")]  # empty where another program made the records
            if any(counted) and sizes.sum(0).tolist() != counted:
                files = sizes_path(self.directory / "*")
                logging.warning("%s do not agree with what records.json has counted and are made anew", files)
                sizes = self._all_sizes(anew=True)
            self._sizes = sizes
        return self._sizes

    def digest(self) -> str:
        """16 hex digits that change when the records or their order do.

        Of how many they are, and of the lengths and CRCs that were written with them; of many records, with some.
        """
        chosen = np.arange(len(self))
        if len(self) > _DIGESTED_ALL:
            chosen = np.linspace(0, len(self) - 1, _DIGESTED_SOME).astype(np.int64)
        shards = np.split(chosen, np.searchsorted(chosen, self._ends[:-1]))
        starts = [0, *self._ends[:-1].tolist()]

        def checksums(shard: int) -> bytes:
            return self._readers[shard].checksums(shards[shard] - starts[shard])

        digest = hashlib.sha256(str(len(self)).encode())
        for found in counted(self._map(checksums, range(len(self._readers))), "looking at records", len(self._readers)):
            digest.update(found)
        return digest.hexdigest()[:16]

    def _all_sizes(self, anew: bool = False) -> np.ndarray:
        most = self.manifest.max_seq_length, self.manifest.max_predictions_per_seq
        starts = [0, *self._ends.tolist()]

        def read(shard: int) -> np.ndarray | None:
            return read_sizes(self._readers[shard].path, starts[shard + 1] - starts[shard], most)

        numbers = range(len(self._readers))
        kept = [None] * len(numbers) if anew else list(counted(self._map(read, numbers), "sizes", len(numbers)))
        return np.concatenate(
            [
                self._found_sizes(self._readers[shard].path, *starts[shard : shard + 2]) if sizes is None else sizes
                for shard, sizes in enumerate(counted(kept, "sizes", len(numbers)))
            ]
        )

    def _found_sizes(self, path: epath.Path, start: int, end: int) -> np.ndarray:
        logging.log_first_n(logging.INFO, "reading %s once, for the sizes of its records", 3, path)
        batches = (range(first, min(first + _BATCH, end)) for first in range(start, end, _BATCH))
        sizes = np.concatenate([np.zeros((0, 2), np.int32), *(sizes_of(self.fetch(batch)) for batch in batches)])
        if sizes[:, 0].all():  # no record was skipped
            with contextlib.suppress(OSError):  # a directory that is not writable
                write_sizes(path, sizes)
        return sizes

    def _check_sizes(self, records: Sequence[int], found: np.ndarray) -> None:
        """Check the sizes by which records were packed; one that is skipped has no token."""
        assert self._sizes is not None
        expected = self._sizes[list(records)]
        for row in np.flatnonzero((found != expected).any(1) & (found[:, 0] > 0)).tolist():
            reader, number = self._place(records[row])
            remove_sizes(reader.path)
            raise UserError(
                f"{sizes_path(reader.path)} did not agree with record {number} of its shard and is removed; "
                "run the same command again, and it is made anew"
            )

    def _map(self, function: Callable[[_From], _To], items: Iterable[_From]) -> Iterator[_To]:
        """What `function` gives for each item, in order; for an object store of many at the same time."""
        return self._pool.map(function, items) if self._pool else map(function, items)

    def _check_indices(self) -> None:
        """Read the index of each shard, which has to hold as many records as records.json says."""
        for _ in counted(self._map(len, self._readers), "shards", len(self._readers)):
            pass

    def _check_length(self) -> None:
        """Check that the first record or the last is as long as in records.json: both are hardly ever damaged."""
        stated, found = (self.manifest.max_seq_length, self.manifest.max_predictions_per_seq), []
        for record in (0, len(self) - 1):
            reader, number = self._place(record)
            with contextlib.suppress(UserError):  # of a damaged one: raised when it is read
                found.append(record_sizes(reader[number]))
        if found and stated not in found:
            raise UserError(
                f"{self.directory} holds records of {found[0][0]} tokens and {found[0][1]} predictions and its "
                f"records.json says {stated[0]} and {stated[1]}; restore that, or build the records again"
            )

    def _read(self, record: int) -> dict[str, np.ndarray]:
        try:
            return self._parsed(record)
        except DamagedRecordError as error:
            self._skip(record, error)
            return self._format.zeros()

    def _parsed(self, record: int) -> dict[str, np.ndarray]:
        reader, number = self._place(record)
        data = reader[number]
        try:
            return self._format.parse(data)
        except UserError as error:
            raise self._damaged(record, str(error)) from None

    def _place(self, record: int) -> tuple[TFRecordReader, int]:
        """The shard of a record, and its number there."""
        if not 0 <= record < len(self):
            raise IndexError(f"record {record} of {len(self)}")
        shard = int(np.searchsorted(self._ends, record, side="right"))
        return self._readers[shard], record - (int(self._ends[shard - 1]) if shard else 0)

    def _damaged(self, record: int, how: str) -> DamagedRecordError:
        reader, number = self._place(record)
        return DamagedRecordError(f"{reader.path}: record {number}: {how}; build the records again")

    def _skip(self, record: int, error: DamagedRecordError) -> None:
        """Count a damaged record; raise `error` if none may be skipped, or no more."""
        if not self._skip_corrupt:
            raise error
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
