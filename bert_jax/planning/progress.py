"""How long a compilation has taken: a line on a terminal that is rewritten, elsewhere one in the log now and then."""

import subprocess
import sys
import time

from absl import logging
from tqdm import tqdm

_SECONDS_BETWEEN_LOG_LINES = 30
_TICK = 1.0  # seconds between two looks; the process' end is noticed at once


def wait(process: subprocess.Popen[bytes], what: str, limit_seconds: float) -> None:
    """Return when the compiler's process has ended; `what` names its work, as in "v3:8x8: compiling phase 0".

    Raises:
      subprocess.TimeoutExpired: it takes longer than `limit_seconds`.
    """
    started = logged = time.monotonic()
    most = f"at most {limit_seconds:.0f} s (--compile_minutes)"
    line = f"{{desc}}, {{elapsed}}, at most {tqdm.format_interval(limit_seconds)} (--compile_minutes)"
    with tqdm(desc=what, bar_format=line, leave=False, dynamic_ncols=True, disable=not sys.stderr.isatty()) as bar:
        while True:
            left = started + limit_seconds - time.monotonic()
            try:
                process.wait(min(_TICK, left))
                return
            except subprocess.TimeoutExpired:
                now = time.monotonic()
                if now - started >= limit_seconds:
                    raise
            bar.refresh()
            if bar.disable and now - logged >= _SECONDS_BETWEEN_LOG_LINES:
                logged = now
                logging.info("%s, %.0f s so far, %s", what, now - started, most)
