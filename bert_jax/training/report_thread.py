"""The report drawn beside the training, never twice at once; what goes wrong is logged once and stops nothing."""

import threading
from collections.abc import Callable
from typing import Any

from absl import logging
from etils import epath

Report = Callable[[epath.PathLike], Any]


class ReportThread:
    """Draws `report(directory)` in a thread."""

    def __init__(self, report: Report, directory: epath.Path) -> None:
        self._report, self._directory = report, directory
        self._thread: threading.Thread | None = None
        self._failed = False

    def start(self) -> None:
        """Draw it, unless it is just being drawn or could not be."""
        if not (self._failed or (self._thread and self._thread.is_alive())):
            self._thread = threading.Thread(target=self._draw, daemon=True)
            self._thread.start()

    def wait(self) -> None:
        """Return when it is drawn."""
        if self._thread:
            self._thread.join()

    def _draw(self) -> None:
        try:
            self._report(self._directory)
        except Exception as error:
            self._failed = True
            logging.warning("the report is not drawn while the run trains: %s", error)
