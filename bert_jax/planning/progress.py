"""How long a compilation has taken."""

import subprocess
import time

from tqdm import tqdm

from bert_jax.progress import BarOrLog

_SECONDS_BETWEEN_LOG_LINES = 30.0
_TICK = 1.0  # seconds between two looks; the process' end is noticed at once


def wait(process: subprocess.Popen[bytes], what: str, limit_seconds: float) -> None:
    """Return when the compiler's process has ended; `what` names its work, as in "v3:8x8: compiling phase 0".

    Raises:
      subprocess.TimeoutExpired: it takes longer than `limit_seconds`.
    """
    started = time.monotonic()

    def words(seconds: float) -> str:
        return f"{seconds:.0f} s so far, at most {limit_seconds:.0f} s (--compile_minutes)"

    line = f"{{desc}}, {{elapsed}}, at most {tqdm.format_interval(limit_seconds)} (--compile_minutes)"
    with BarOrLog(what, words, seconds=_SECONDS_BETWEEN_LOG_LINES, bar_format=line, leave=False) as progress:
        while True:
            left = started + limit_seconds - time.monotonic()
            try:
                process.wait(min(_TICK, left))
                return
            except subprocess.TimeoutExpired:
                if time.monotonic() - started >= limit_seconds:
                    raise
            progress.show(0)
