"""The shards of a split, looked at before any record is read: there, of the right size, and copied to this host."""

import contextlib
import resource
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeVar

import tqdm
from etils import epath

from bert_jax.data.manifest import Shard
from bert_jax.data.shard_cache import ShardCache
from bert_jax.data.tfrecord import check_size
from bert_jax.errors import UserError
from bert_jax.storage.cloud import is_remote, objects_in

Seen = Sequence[tuple[int, int]]  # bytes of each shard, and when it was last changed, in unix seconds

_Item = TypeVar("_Item")


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


def let_stay_open(number: int) -> None:
    """Raise this process' limit of open files by `number`, as far as the system lets it; often it is 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY:
        most = soft + number if hard == resource.RLIM_INFINITY else min(soft + number, hard)
        with contextlib.suppress(ValueError, OSError):  # of systems with another limit behind an infinite one
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def with_bar(items: Iterable[_Item], name: str, number: int) -> Iterable[_Item]:
    """The items, with a progress bar on a terminal."""
    return tqdm.tqdm(items, name, number, leave=False, disable=not sys.stderr.isatty())


def _status(path: epath.Path) -> tuple[int, int]:
    status = path.stat()
    return status.length, status.mtime
