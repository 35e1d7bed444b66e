"""Locks between real processes."""

import contextlib
import errno
import fcntl
import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from etils import epath

from bert_jax.errors import UserError
from bert_jax.storage.lock import hold_as_worker, only_run, wait_for_workers
from bert_jax.storage.whole_file import whole_file

HOLD = """
import sys, time
from etils import epath
from bert_jax.storage import lock
directory = epath.Path(sys.argv[2])
if sys.argv[1] == "run":
    with lock.only_run(directory):
        print("held", flush=True)
        time.sleep(600)
lock.hold_as_worker(directory)
print("held", flush=True)
time.sleep(600)
"""


@pytest.fixture
def hold(tmp_path):
    """hold(what, directory): a process that holds a lock until it is killed."""
    processes = []

    def start(what, directory):
        environment = {**os.environ, "PYTHONPATH": ":".join(sys.path)}
        command = [sys.executable, "-c", HOLD, what, str(directory)]
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        processes.append(process)
        assert process.stdout.readline() == "held\n"
        return process

    yield start
    for process in processes:
        process.kill()
        process.wait()


def test_one_at_a_time_and_nothing_left(tmp_path):
    output = epath.Path(tmp_path / "a" / "b")
    with only_run(output):
        assert (output / ".lock").exists()
        with pytest.raises(UserError, match=rf"b is being written by process {os.getpid()} on .*; wait for it, or"):
            only_run(output).__enter__()
    assert list(tmp_path.iterdir()) == []  # it made the directories, and nothing came into them
    output.mkdir(parents=True)
    with only_run(output):
        pass
    assert list(output.iterdir()) == []
    with only_run(output):
        (output / "file").write_text("x")
    assert [path.name for path in output.iterdir()] == ["file"]


def test_sigkill_releases_it(tmp_path, hold):
    output = epath.Path(tmp_path / "records")
    process = hold("run", output)
    with pytest.raises(UserError, match=f"process {process.pid} on"):
        only_run(output).__enter__()
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    with only_run(output):
        assert (output / ".lock").read_text().startswith(f"process {os.getpid()} on")


def test_many_at_once_never_overlap(tmp_path):
    output, inside, overlaps, entered = epath.Path(tmp_path / "records"), [], [], []

    def attempt():
        for _ in range(300):
            with contextlib.suppress(UserError), only_run(output):
                inside.append(1)
                time.sleep(0)  # lets another thread run
                overlaps.append(len(inside) > 1)
                entered.append(1)
                inside.pop()

    output.mkdir()  # or making and removing it would take the time in which they meet
    threads = [threading.Thread(target=attempt) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(entered) > 10
    assert not any(overlaps)


def test_workers_of_a_killed_run_are_waited_for(tmp_path, hold):
    work = epath.Path(tmp_path)
    wait_for_workers(work)  # there were none
    process = hold("worker", work)
    hold("worker", work).kill()  # any number of them at once
    killed = threading.Event()

    def kill():
        killed.set()
        process.kill()

    threading.Timer(0.5, kill).start()
    wait_for_workers(work)
    assert killed.is_set()
    assert process.wait() == -signal.SIGKILL


def test_only_files_that_may_be_written_are_locked(tmp_path, monkeypatch):
    """As NFS demands it, which makes a lock of a range of bytes of it."""
    lock = fcntl.flock

    def as_nfs(descriptor, operation):
        if operation & fcntl.LOCK_EX and fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        lock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", as_nfs)
    hold_as_worker(epath.Path(tmp_path))
    monkeypatch.setattr("bert_jax.storage.lock._SECONDS_FOR_WORKERS_TO_END", 0.0)
    with pytest.raises(UserError, match="a process of an earlier run still writes"):  # this one
        wait_for_workers(epath.Path(tmp_path))
    with only_run(epath.Path(tmp_path / "run")), whole_file(tmp_path / "file") as file:
        file.write(b"whole")


def test_buckets_have_no_locks():
    with only_run(epath.Path("gs://bucket/records")), only_run(epath.Path("gs://bucket/records")):
        hold_as_worker(epath.Path("gs://bucket/records/.parts"))
        wait_for_workers(epath.Path("gs://bucket/records/.parts"))


def test_where_no_file_can_be_made(tmp_path, monkeypatch):
    (tmp_path / "out").symlink_to("/proc/self/fd")  # the directory is there, and no file can be made in it
    with pytest.raises(FileNotFoundError):
        only_run(epath.Path(tmp_path / "out")).__enter__()
