"""The records of one split of a records directory, by number."""

import itertools

import numpy as np
from etils import epath

from bert_jax.data.manifest import read_manifest
from bert_jax.data.schema import RecordFormat
from bert_jax.data.tfrecord import TFRecordReader, check_size
from bert_jax.errors import UserError


class RecordSource:
    """Random access over the shards of a split in order. Safe to read from several threads.

    Attributes:
        directory: where the records are.
        manifest: what they are.
    """

    def __init__(self, directory: epath.PathLike, split: str) -> None:
        """Open `split` ("train" or "validation"); UserError if it is not there or a shard's size is wrong."""
        self.directory = epath.Path(directory)
        self.manifest = read_manifest(directory)
        if split not in self.manifest.splits:
            raise UserError(f"{directory} has no {split} records; build them with build_records --holdout=0.01 or so")
        shards = self.manifest.splits[split].shards
        for shard in shards:
            _check_shard(self.directory / shard.file, shard.bytes)
        self._format = RecordFormat(self.manifest.max_seq_length, self.manifest.max_predictions_per_seq)
        self._readers = [TFRecordReader(self.directory / shard.file) for shard in shards]
        self._ends = np.array(list(itertools.accumulate(shard.num_records for shard in shards)))

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, record: int) -> dict[str, np.ndarray]:
        """The features of one record (see schema.py), int32 and float32; UserError if it is damaged."""
        if not 0 <= record < len(self):
            raise IndexError(f"record {record} of {len(self)}")
        shard = int(np.searchsorted(self._ends, record, side="right"))
        number = record - (int(self._ends[shard - 1]) if shard else 0)
        reader = self._readers[shard]
        data = reader[number]
        try:
            return self._format.parse(data)
        except UserError as error:
            raise UserError(f"{reader.path}: record {number}: {error}; build the records again") from None


def _check_shard(path: epath.Path, expected: int) -> None:
    if not path.exists():
        raise UserError(f"{path} is missing; rebuild that shard with build_records or restore it")
    check_size(path, expected)
