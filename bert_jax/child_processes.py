"""Processes that others start end with them, however these end: a kill signal tells no child."""

import multiprocessing
import multiprocessing.connection
import os
import sys
import threading


def end_with_parent() -> None:
    """End this process when the one that started it is gone, lest it writes into a later run's files.

    The parent either used multiprocessing, or holds the other end of standard input and writes nothing to it.
    """
    threading.Thread(target=_end_after_parent, daemon=True).start()


def _end_after_parent() -> None:
    if parent := multiprocessing.parent_process():
        multiprocessing.connection.wait([parent.sentinel])
    else:
        sys.stdin.buffer.read()
    os._exit(1)
