"""The shards of a split, looked at before any record is read: there, of the right size, and copied to this host."""

from collections.abc import Sequence
from pathlib import Path

from etils import epath

from bert_jax.data.manifest import Shard
from bert_jax.data.shard_cache import ShardCache
from bert_jax.data.tfrecord import check_size
from bert_jax.errors import UserError
from bert_jax.storage.cloud import is_remote, objects_in

Seen = Sequence[tuple[int, int]]  # bytes of each shard, and when it was last changed, in unix seconds


def look_at(directory: epath.Path, shards: Sequence[Shard], may_be_short: bool) -> Seen:
    """What there is of each shard; in an object store a request for a thousand of them.

    Raises:
      UserError: one is not there, or has another size than in records.json, unless it is shorter and may be.
    """
    objects = objects_in(directory) if is_remote(directory) else {}
    seen = []
    for shard in shards:
        path = directory / shard.file
        try:
            size, changed = objects[shard.file] if is_remote(directory) else _status(path)
        except (FileNotFoundError, KeyError):
            raise UserError(f"{path} is missing; rebuild that shard with build_records or restore it") from None
        if size > shard.bytes or not may_be_short:
            check_size(path, size, shard.bytes)
        seen.append((size, changed))
    return seen


def local_copies(
    directory: epath.Path, shards: Sequence[Shard], seen: Seen, cache: ShardCache | None, start: float
) -> list[Path | None]:
    """Where the copy of each shard of an object store will be; None of one for which `cache` has no room.

    The first that is copied is at `start` (0 to 1) of their order: hosts that began with the same one would all ask for
    the same object at the same time.
    """
    copies: list[Path | None] = [None] * len(shards)
    if cache and is_remote(directory):
        first = int(start * len(shards))
        for number in [*range(first, len(shards)), *range(first)]:
            copies[number] = cache.want(directory / shards[number].file, *seen[number])
    return copies


def _status(path: epath.Path) -> tuple[int, int]:
    status = path.stat()
    return status.length, status.mtime
