"""The progress of going through many texts: a bar on a terminal, elsewhere a line in the log now and then."""

import sys
import time
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Any, Self

from absl import logging
from tqdm import tqdm

_SECONDS_BETWEEN_LOG_LINES = 10


class Progress:
    """Counts the rows of the batches that it watches."""

    def __init__(self, doing: str) -> None:
        """`doing` names the work, as in "embedding"."""
        self._doing, self._rows = doing, 0
        self._started = self._logged = time.monotonic()
        self._bar = tqdm(desc=doing, unit=" rows", unit_scale=True, disable=not sys.stderr.isatty())

    def watch(self, batches: Iterable[Any]) -> Iterator[Any]:
        """The same batches, of which the first part numbers the rows."""
        for batch in batches:
            yield batch
            self._rows += len(batch[0])
            self._bar.update(len(batch[0]))
            if self._bar.disable and time.monotonic() - self._logged > _SECONDS_BETWEEN_LOG_LINES:
                self._log()

    def _log(self) -> None:
        self._logged = time.monotonic()
        rate = self._rows / max(1e-3, self._logged - self._started)
        logging.info("%s: %s rows, %s a second", self._doing, f"{self._rows:,}", f"{rate:,.0f}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()
        if self._rows:
            self._log()
