"""Records opened for a run: of a job's processes the first one looks at them for all, and the others only read."""

import dataclasses

import numpy as np
from etils import epath
from numpy.typing import NDArray

from bert_jax.config import DataConfig, PhaseConfig
from bert_jax.data.manifest import Manifest, manifest_of, read_manifest
from bert_jax.data.open_shards import Seen
from bert_jax.data.shard_cache import shard_cache
from bert_jax.data.source import RecordSource
from bert_jax.data.token_counts import token_counts
from bert_jax.parallel.first_process import broadcast_from_first, share_before
from bert_jax.storage.cloud import is_remote
from bert_jax.storage.paths import check_readable


def records_directory(records: str, phase: PhaseConfig) -> epath.Path:
    """Where a phase's records are; `records` is --config.data.records or a setting like it."""
    return epath.Path(records.replace("{max_seq_length}", str(phase.max_seq_length)))


def manifest_for_all(directory: epath.Path) -> Manifest:
    """What is in `directory`; raises as `read_manifest` does."""
    check_readable(directory)
    return broadcast_from_first(lambda: read_manifest(directory), dataclasses.asdict, manifest_of)


def open_split(directory: epath.Path, manifest: Manifest, split: str, data: DataConfig) -> RecordSource:
    """The records of one split, copied to this host while they are read if they are in an object store.

    Raises as RecordSource does.
    """
    cache = shard_cache(data.cache_directory, data.cache_gigabytes) if is_remote(directory) else None

    def opened(seen: Seen | None = None) -> RecordSource:
        return RecordSource(directory, split, data.skip_corrupt, cache, manifest, seen, share_before())

    return broadcast_from_first(opened, lambda source: source.seen, opened)


def counts_for_all(source: RecordSource) -> NDArray[np.int64]:
    """How often each token occurs in the records, int64 [vocab]; raises as RecordSource does."""
    return np.array(broadcast_from_first(lambda: token_counts(source).tolist()), np.int64)
