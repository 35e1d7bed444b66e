"""One run at a time on an output directory.

A lock of the operating system on OUTPUT/.lock, which ends with the process however that ends, so SIGKILL leaves nothing
to clean up. Object stores (gs://) have no locks: two runs there are not kept apart, though both write the same bytes.
"""

import contextlib
import errno
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from absl import logging
from etils import epath

from bert_jax.errors import UserError

_LOCK = ".lock"
_WORKERS = "workers.lock"  # held in common by the worker processes
_SECONDS_FOR_WORKERS_TO_END = 60


@contextlib.contextmanager
def only_run(output: epath.Path) -> Iterator[None]:
    """Keep `output` for this process; a directory that this makes and that stays empty is removed again.

    Raises:
      UserError: another run has it.
    """
    if "://" in os.fspath(output):
        yield
        return
    path = Path(output) / _LOCK
    is_new = not path.parent.exists()
    descriptor = _lock(path)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(descriptor)
        if is_new:
            with contextlib.suppress(OSError):  # it is not empty
                path.parent.rmdir()


def hold_as_worker(work: epath.Path) -> None:
    """Let a later run wait until this worker process has ended, which may be a little after its parent was killed."""
    if "://" not in os.fspath(work):
        descriptor = os.open(Path(work) / _WORKERS, os.O_RDWR | os.O_CREAT, 0o644)
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(descriptor, fcntl.LOCK_SH)


def wait_for_workers(work: epath.Path) -> None:
    """Wait until no worker of an earlier run is left; UserError if one does not end."""
    path = Path(work) / _WORKERS
    if "://" in os.fspath(work) or not path.exists():
        return
    given_up = time.monotonic() + _SECONDS_FOR_WORKERS_TO_END
    with path.open("rb") as file:
        while not _is_free(file.fileno()):
            if time.monotonic() > given_up:
                raise UserError(f"a process of an earlier run still writes to {work.parent}; end it and try again")
            time.sleep(0.05)


def _lock(path: Path) -> int:
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except FileNotFoundError:  # a run that failed has just removed the directory
            continue
        if not _is_free(descriptor):
            holder = os.read(descriptor, 100).decode() or "another process"
            os.close(descriptor)
            raise UserError(f"{path.parent} is being written by {holder}; wait for it, or give another --output")
        # The holder before may have removed the file between our opening and locking it.
        if path.exists() and os.path.samestat(path.stat(), os.fstat(descriptor)):
            os.ftruncate(descriptor, 0)
            os.write(descriptor, f"process {os.getpid()} on {os.uname().nodename}".encode())
            return descriptor
        os.close(descriptor)


def _is_free(descriptor: int) -> bool:
    """Whether nobody else holds the lock; then we do."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS):
            raise
        logging.log_first_n(logging.WARNING, "this file system has no locks: start no second run on --output", 1)
    return True
