"""The progress of going through many texts: a bar on a terminal, elsewhere a line in the log now and then."""

import math
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Any, Self

from absl import logging
from tqdm import tqdm

_SECONDS_BETWEEN_LOG_LINES = 10

Watch = Callable[[Iterable[Any]], Iterator[Any]]  # gives the same batches, and sees each one that is done


class Progress:
    """Counts the rows of the batches that it watches, or the examples that these rows are of."""

    def __init__(self, doing: str, examples: int | None = None, done: int = 0) -> None:
        """`doing` names the work, as in "embedding"; of the `examples`, if their number is known, `done` are done."""
        self._doing, self._total, self._first, self._count = doing, examples, done, float(done)
        self._unit = "rows" if examples is None else "examples"
        # What the last line told. Work with an end has a line at its end only if it was so long that it had others.
        self._told = self._count if examples is None else math.inf
        self._started = self._logged = time.monotonic()
        how = {"unit": f" {self._unit}", "unit_scale": True, "leave": examples is None, "dynamic_ncols": True}
        self._bar = tqdm(desc=doing, total=examples, initial=done, disable=not sys.stderr.isatty(), **how)

    def watch(self, batches: Iterable[Any]) -> Iterator[Any]:
        """The same batches, of which the first part numbers the rows."""
        return self._watched(batches, 1.0)

    def of_examples(self, examples: int, rows: int) -> Watch:
        """`watch` for so many rows that are of so many examples: windows of a text count as one."""
        return lambda batches: self._watched(batches, examples / max(1, rows))

    def _watched(self, batches: Iterable[Any], share: float) -> Iterator[Any]:
        for batch in batches:
            yield batch
            self._count += len(batch[0]) * share
            self._bar.update(round(self._count) - self._bar.n)
            if self._bar.disable and time.monotonic() - self._logged > _SECONDS_BETWEEN_LOG_LINES:
                self._log()

    def _log(self) -> None:
        self._logged, self._told = time.monotonic(), self._count
        rate = (self._count - self._first) / max(1e-3, self._logged - self._started)
        count, rest = f"{round(self._count):,}", ""
        if self._total is not None:
            count = f"{count} of {self._total:,}"
            rest = f", {(self._total - self._count) / rate:,.0f} s to go" if rate else ""
        logging.info("%s: %s %s, %s a second%s", self._doing, count, self._unit, f"{rate:,.0f}", rest)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()
        if self._count > self._told:
            self._log()
