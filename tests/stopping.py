"""Processes that stand still for a while."""

import contextlib
import signal
import time
from pathlib import Path


def states(pid):
    """The state of each thread of a process: T when it is stopped (proc(5))."""
    stats = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/stat")]
    return {stat.rpartition(")")[2].split()[0] for stat in stats}


@contextlib.contextmanager
def stopped(process):
    """No thread of the process runs in here: SIGSTOP returns before they all stand."""
    process.send_signal(signal.SIGSTOP)
    try:
        while states(process.pid) != {"T"}:
            assert process.poll() is None
            time.sleep(0.001)
        yield
    finally:
        process.send_signal(signal.SIGCONT)
