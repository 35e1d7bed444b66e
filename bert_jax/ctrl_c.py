"""Ctrl-C: one line and exit code 130, at any moment.

Where Python raises KeyboardInterrupt is chance: in the middle of an import it becomes a traceback, in a callback of the
garbage collector it is lost, and what it leaves behind may crash while the process ends. So a verb's process ends at
once, but where something has to be cleaned up (within `raised`); there a second Ctrl-C ends it at once.
"""

import atexit
import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from types import FrameType

CODE = 130
LINE = "interrupted; run the same command again to resume"


class _State:
    raises = False  # the first Ctrl-C is to be a KeyboardInterrupt
    noted = False  # there was one
    printed = False


def install() -> None:
    """From now on Ctrl-C ends this process; not if it is to be ignored, as in a script's background."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        return
    signal.signal(signal.SIGINT, _handle)
    # The last thing to be done at the end, when all is done: Python gives up its handlers then, and takes a while more.
    atexit.register(signal.signal, signal.SIGINT, signal.SIG_IGN)


@contextlib.contextmanager
def raised() -> Iterator[None]:
    """Within it the first Ctrl-C is a KeyboardInterrupt, as in any Python program: `with` and `finally` clean up.

    The process ends at the block's end then, also if the interrupt was lost on the way or has become another error.
    """
    _State.raises = True
    try:
        yield
    finally:
        _State.raises = False
        if _State.noted:
            _tell()
            if "jaxlib" in sys.modules:  # its threads may crash while Python ends around them
                os._exit(CODE)
            # A pool of workers whose pipe the interrupt closed may fail once more while Python ends: that is no news.
            sys.unraisablehook = lambda _: None
            sys.exit(CODE)


def noted() -> bool:
    """Whether there was a Ctrl-C."""
    return _State.noted


def leave() -> None:
    """End the process now."""
    _tell()
    os._exit(CODE)


def _tell() -> None:
    if not _State.printed:
        _State.printed = True
        with contextlib.suppress(OSError):
            os.write(2, f"error: {LINE}\n".encode())


@contextlib.contextmanager
def kept_from_children() -> Iterator[None]:
    """Processes that are started within it never see Ctrl-C, which a terminal sends to all: this one sees to them."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _handle(number: int, frame: FrameType | None) -> None:
    if _State.noted or not _State.raises:
        leave()
    _State.noted = True
    raise KeyboardInterrupt
