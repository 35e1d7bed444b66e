"""How far long work is: a bar on a terminal, elsewhere a line in the log now and then."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Any, Self, TypeVar

from absl import logging
from tqdm import tqdm

SECONDS_BETWEEN_LOG_LINES = 10.0
_SECONDS_BETWEEN_LOOKS = 0.5  # at a terminal

_Item = TypeVar("_Item")


class BarOrLog:
    """The progress of one piece of work; as a context, closes the bar."""

    def __init__(
        self,
        doing: str,
        words: Callable[[float], str],
        total: int | None = None,
        done: int = 0,
        seconds: float | None = None,
        **bar: Any,
    ) -> None:
        """Begin where `done` of `total` are done, if their number is known.

        `doing` names the work, as in "cutting". `words` says how far it is after so many seconds, as in "3 of 8 parts";
        a line in the log, one in `seconds`, adds the share of `total` and the time to go. `bar`: further ones of tqdm.
        """
        self._doing, self._words, self._total, self._first, self._done = doing, words, total, done, done
        how = {"total": total or None, "initial": done, "dynamic_ncols": True, "disable": not sys.stderr.isatty()}
        self._bar = tqdm(desc=doing, **how | bar)
        seconds = SECONDS_BETWEEN_LOG_LINES if seconds is None else seconds
        self._pause = seconds if self._bar.disable else _SECONDS_BETWEEN_LOOKS
        self._started = self._shown = time.monotonic()

    def show(self, done: int) -> None:
        """So many are done: seen now and then only, however often it is called."""
        self._done = done
        if self.due():
            if self._bar.disable:
                self._log()
            else:
                self._draw()

    def due(self) -> bool:
        """Whether `show` would be seen now: for callers that have to look for what is done."""
        return time.monotonic() - self._shown >= self._pause

    def end(self) -> None:
        """Log what all came to."""
        self._done = self._total or self._done
        self._log()

    def _log(self) -> None:
        self._shown = time.monotonic()
        logging.info("%s: %s%s", self._doing, self._words(self._elapsed()), self._rest())

    def _draw(self) -> None:
        self._shown = time.monotonic()
        self._bar.update(self._done - self._bar.n)
        self._bar.set_postfix_str(self._words(self._elapsed()))

    def _elapsed(self) -> float:
        return max(1e-3, time.monotonic() - self._started)

    def _rest(self) -> str:
        since, left = self._done - self._first, (self._total or 0) - self._done
        if since <= 0 or left <= 0:
            return ""
        return f", {self._done / (self._done + left):.0%}, {self._elapsed() * left / since:,.0f} s to go"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._bar.disable:
            self._draw()
        self._bar.close()


def counted(items: Iterable[_Item], doing: str, total: int) -> Iterator[_Item]:
    """The items, which are so many."""
    done = 0
    with BarOrLog(doing, lambda _: f"{done:,} of {total:,}", total, leave=False) as progress:
        for item in items:
            yield item
            done += 1
            progress.show(done)
