"""Copies of an object store's shards on this host's disk, made in the background while training reads records.

Training reads records from all over the set. One record from an object store is one request, some tens of milliseconds;
from a disk it is microseconds. So every shard is copied once; until it is there its records are fetched one by one,
many at once. Records of shards that do not fit into the cache are always read so: no shard of this run is evicted for
another one, because with a random order there would be no end to it.
"""

import contextlib
import functools
import hashlib
import os
import queue
import re
import secrets
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from absl import logging
from etils import epath

from bert_jax.storage.cloud import download

_THREADS = 4  # that copy; together they fill a network of some GB/s
_ASIDE = ".tmp"
_OURS = re.compile(r"[0-9a-f]{32}\.(tfrecord|[0-9a-f]+\.tmp)")  # no other file here is looked at
_SECONDS_OF_A_DEAD_COPY = 600.0  # without a byte: whose process was killed


@functools.cache
def shard_cache(directory: str, gigabytes: float) -> "ShardCache":
    """The one cache of this process in `directory`, by default the user's own."""
    place = Path(directory) if directory else Path.home() / ".cache" / "bert_jax" / "shards"
    return ShardCache(place.expanduser(), gigabytes * 1e9)


class ShardCache:
    """The copies in one directory; processes may share it, of this host and of others, where it is on a network disk.

    A run finds the copies of an earlier start.
    """

    def __init__(self, directory: Path, most_bytes: float) -> None:
        """Keep at most `most_bytes`, and leave half of the disk's free space free."""
        directory.mkdir(parents=True, exist_ok=True)
        self._directory, self._wanted, self._most_bytes = directory, dict[Path, int](), 0.0
        self._most_bytes = min(most_bytes, self._used() + shutil.disk_usage(directory).free / 2)
        self._waiting: queue.SimpleQueue[tuple[epath.Path, Path, int]] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []

    def want(self, shard: epath.Path, size: int, changed: int) -> Path | None:
        """Where the copy of a shard of `size` bytes, last changed at `changed`, will be; None if it does not fit."""
        name = hashlib.sha256(f"{shard}|{size}|{changed}".encode()).hexdigest()[:32]
        copy = self._directory / f"{name}.tfrecord"
        with self._lock:
            if copy in self._wanted:
                return copy
            if sum(self._wanted.values()) + size > self._most_bytes:
                return None
            self._wanted[copy] = size
            if not _is_whole(copy, size):
                self._evict_others()
                self._waiting.put((shard, copy, size))
                self._start()
        return copy

    def _evict_others(self) -> None:
        """Delete copies that others made, the oldest first, until those that this process wants fit."""
        others = [(status, file) for status, file in self._files() if file not in self._wanted]
        used = sum(self._wanted.values()) + sum(status.st_size for status, _ in others)
        for status, file in sorted(others, key=lambda other: other[0].st_mtime):
            if used <= self._most_bytes:
                return
            file.unlink(missing_ok=True)
            used -= status.st_size

    def _used(self) -> int:
        return sum(status.st_size for status, _ in self._files())

    def _files(self) -> Iterator[tuple[os.stat_result, Path]]:
        """All copies that lie here, but for what a process is just making: that counts as wanted, here or there."""
        for file in filter(lambda file: _OURS.fullmatch(file.name), self._directory.iterdir()):
            with contextlib.suppress(FileNotFoundError):  # it has just got its name, or been evicted
                status = file.stat()
                if file.suffix != _ASIDE or time.time() - status.st_mtime > _SECONDS_OF_A_DEAD_COPY:
                    yield status, file

    def _start(self) -> None:
        if len(self._threads) < _THREADS:
            # Daemons: the process does not wait for them at its end.
            self._threads.append(threading.Thread(target=self._copy, daemon=True))
            self._threads[-1].start()

    def _copy(self) -> None:
        while True:
            shard, copy, size = self._waiting.get()
            # A random name: process numbers are the same on several hosts, and in several containers of one.
            aside = copy.with_suffix(f".{secrets.token_hex(8)}{_ASIDE}")
            try:
                download(shard, aside)
                _flush(aside, size)
                aside.replace(copy)
            except Exception as error:
                logging.warning("%s is not copied to this host, its records are fetched one by one: %s", shard, error)
                with contextlib.suppress(OSError):
                    aside.unlink(missing_ok=True)


def _is_whole(copy: Path, size: int) -> bool:
    """Whether a copy is there; one of another size than its shard is removed."""
    try:
        if copy.stat().st_size == size:
            return True
    except FileNotFoundError:
        return False
    copy.unlink(missing_ok=True)
    return False


def _flush(file: Path, size: int) -> None:
    """Bring a copy of a shard of `size` bytes to the disk: under its name, what a power cut leaves would be read."""
    with file.open("rb") as written:
        if (there := os.fstat(written.fileno()).st_size) != size:
            raise OSError(f"{there:,} bytes came of {size:,}")
        os.fsync(written.fileno())
