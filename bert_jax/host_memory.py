"""Memory from glibc, where a CPU computes: large arrays in huge pages, and what was freed given back.

XLA's CPU programs take the memory of their intermediate arrays anew each time they run. In pages of 4 KiB that was
300 MB of page faults a step of fine-tuning MiniLM, and a sixth of its time. glibc asks Linux for huge pages only if an
environment variable says so when a process starts.
"""

import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

from bert_jax.platforms import has_accelerator

VARIABLE, VALUE = "GLIBC_TUNABLES", "glibc.malloc.hugetlb=1"
_RESTARTED = "BERT_JAX_RESTARTED"  # the number of the process
MODE = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def restart_with_huge_pages() -> None:
    """Begin this process anew with the variable set, where that helps: the same process with the same arguments.

    To be called when Ctrl-C is handled: while Python starts for the second time, it waits.
    """
    if os.environ.pop(_RESTARTED, "") == str(os.getpid()):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    elif sys.executable and huge_pages_help(os.environ, MODE) and not _never_sees_ctrl_c():
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        os.environ |= {VARIABLE: VALUE, _RESTARTED: str(os.getpid())}
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def _never_sees_ctrl_c() -> bool:
    """As processes that a verb starts: they are to stay as they are."""
    return signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ())


def huge_pages_help(environment: Mapping[str, str], mode: Path, devices: Path = Path("/dev")) -> bool:
    """Whether Linux gives huge pages to those who ask, nobody has set the variable, and the CPU is what computes."""
    if VARIABLE in environment or not sys.platform.startswith("linux"):
        return False
    try:
        return "[madvise]" in mode.read_text() and not has_accelerator(devices)
    except OSError:
        return False


def give_back_freed() -> None:
    """Return to the system what this process has freed; it takes a tenth of a second.

    XLA compiles in many threads, whose memory glibc keeps: of MiniLM's four shapes more than 2 GB.
    """
    with contextlib.suppress(OSError, AttributeError):  # no glibc
        ctypes.CDLL(None).malloc_trim(0)
