"""One process at a time on a directory or a file that is written.

Locks of the operating system, which end with the process however that ends, so SIGKILL leaves nothing to clean up.
Between hosts they hold where a shared file system has them (NFS; Lustre if it is mounted with flock). Object stores
(gs://) have none: two processes there are not kept apart.
"""

import contextlib
import errno
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

from absl import logging
from etils import epath

from bert_jax.errors import UserError
from bert_jax.storage.cloud import is_remote

_LOCK = ".lock"
_WORKERS = "workers.lock"  # held in common by the worker processes
_SECONDS_FOR_WORKERS_TO_END = 60
_ATTEMPTS = 100  # to make a lock in a directory that others remove


@contextlib.contextmanager
def only_run(directory: epath.PathLike, flag: str = "--output", is_writer: bool = True) -> Iterator[None]:
    """Keep `directory`, which `flag` gave, for this process; one that this makes and that stays empty is removed again.

    The lock is DIRECTORY/.lock. Of a job's processes it is for the one that `is_writer`.

    Raises:
      UserError: another process has it.
    """
    if is_remote(directory) or not is_writer:
        yield
        return
    with _held(Path(directory) / _LOCK, f"{flag}={directory}", flag):
        yield


@contextlib.contextmanager
def only_maker(directory: epath.PathLike, flag: str = "--output") -> Iterator[None]:
    """The same for an output directory that will appear whole: the lock is beside it."""
    if is_remote(directory):
        yield
        return
    path = Path(directory)
    with _held(path.with_name(f".{path.name}{_LOCK}"), f"{flag}={directory}", flag):
        yield


@contextlib.contextmanager
def only_writer(path: epath.PathLike) -> Iterator[BinaryIO]:
    """Open a local file for writing, empty, once every other process that has it open so has closed or renamed it."""
    path = Path(path)
    while True:
        with open(path, "wb", opener=_open_as_it_is) as file:
            _lock(file.fileno(), waits=True)
            if _has_name(file.fileno(), path):
                file.truncate()
                yield cast(BinaryIO, file)
                return


def hold_as_worker(work: epath.Path) -> None:
    """Let a later run wait until this worker process has ended, which may be a little after its parent was killed."""
    if not is_remote(work):
        descriptor = os.open(Path(work) / _WORKERS, os.O_RDWR | os.O_CREAT, 0o644)
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(descriptor, fcntl.LOCK_SH)


def wait_for_workers(work: epath.Path) -> None:
    """Wait until no worker of an earlier run is left; UserError if one does not end."""
    path = Path(work) / _WORKERS
    if is_remote(work) or not path.exists():
        return
    given_up = time.monotonic() + _SECONDS_FOR_WORKERS_TO_END
    with path.open("r+b") as file:  # NFS locks for one alone only what may be written
        while not _lock(file.fileno()):
            if time.monotonic() > given_up:
                raise UserError(f"a process of an earlier run still writes to {work.parent}; end it and try again")
            time.sleep(0.05)


@contextlib.contextmanager
def _held(path: Path, what: str, flag: str) -> Iterator[None]:
    made = [parent for parent in path.parents if not parent.exists()]
    descriptor = None
    try:
        descriptor = _take(path, what, flag)
        yield
    finally:
        if descriptor is not None:
            path.unlink(missing_ok=True)
            os.close(descriptor)
        with contextlib.suppress(OSError):  # it is not empty
            for parent in made:
                parent.rmdir()


def _take(path: Path, what: str, flag: str) -> int:
    attempts = 0
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except FileNotFoundError:  # a run that failed has just removed the directory, or no file can be made there
            attempts += 1
            if attempts == _ATTEMPTS:
                raise
            continue
        if not _lock(descriptor):
            holder = os.read(descriptor, 100).decode(errors="replace") or "another process"
            os.close(descriptor)
            raise UserError(f"{what} is being written by {holder}; wait for it, or give another {flag}")
        if _has_name(descriptor, path):
            os.ftruncate(descriptor, 0)
            os.write(descriptor, f"process {os.getpid()} on {os.uname().nodename}".encode())
            return descriptor
        os.close(descriptor)


def _has_name(descriptor: int, path: Path) -> bool:
    """Whether the open file is still the one at `path`: who held the lock before may have removed or renamed it."""
    with contextlib.suppress(FileNotFoundError):
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    return False


def _open_as_it_is(path: str, flags: int) -> int:
    return os.open(path, flags & ~os.O_TRUNC, 0o666)


def _lock(descriptor: int, waits: bool = False) -> bool:
    """Lock an open file, when nobody else does; False if somebody does and `waits` is not given."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX if waits else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS):
            raise
        logging.log_first_n(logging.WARNING, "this file system has no locks: start nothing twice on one directory", 1)
    return True
