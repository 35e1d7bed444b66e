"""Steps whose numbers are bad: those that were skipped, with the records to look at, and spikes of the loss."""

import itertools
import json
import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import median

from absl import logging
from etils import epath

from bert_jax.errors import UserError
from bert_jax.storage.whole_file import replace_text
from bert_jax.training.workdir import lines_up_to

FILE = "skipped.jsonl"
_WINDOW, _LEAST = 128, 32  # steps whose losses a spike is held against; so few say nothing
_SPREAD = 1.4826  # of a normal distribution: its deviation over its median absolute deviation


class SkippedSteps:
    """WORKDIR/skipped.jsonl: a line for each step that was skipped, since its loss or gradient was no finite number."""

    def __init__(self, workdir: epath.PathLike, resume_step: int, most_in_a_row: int, writes: bool) -> None:
        """Go on after `resume_step` steps; only one process of a job writes.

        Raises:
          UserError: the file is no such log.
        """
        self._path = epath.Path(workdir) / FILE
        self._lines = lines_up_to(resume_step, self._path)
        if writes and self._path.exists():
            self._write()
        self._writes, self._most = writes, most_in_a_row
        before = {line["step"] for line in self._lines}
        self._in_a_row = next(number for number in itertools.count() if resume_step - number not in before)

    def see(self, step: int, phase: int, values: Mapping[str, float], records: Callable[[], Sequence[int]]) -> None:
        """Take the numbers of one step; `records` are the numbers of its global batch's records.

        Raises:
          UserError: it is one too many in a row.
        """
        if not values["skipped"]:
            self._in_a_row = 0
            return
        self._in_a_row += 1
        line = {"step": step, "phase": phase, "records": [int(number) for number in records()]}
        line |= {name: _number(values[name]) for name in ("loss", "gradient_norm")}
        logging.warning(
            "step %d is skipped: loss %s, gradient norm %s; its records are in %s",
            step,
            line["loss"],
            line["gradient_norm"],
            self._path,
        )
        self._lines.append(line)
        if self._writes:
            self._write()
        if self._in_a_row > self._most:
            raise UserError(
                f"{self._in_a_row} steps in a row, {step - self._in_a_row + 1} to {step}, had no finite loss or "
                f"gradient; look at the newest checkpoint before them in {self._path.parent / 'checkpoints'} and at "
                f"the records in {self._path}; --config.train.check_nans on the same command names the layer"
            )

    def stop_if_all(self, steps: int) -> None:
        """Raise UserError if the run has done `steps` steps, in all its starts, and skipped each of them."""
        if len(self._lines) == steps:
            raise UserError(
                f"none of the {steps} steps had a finite loss and gradient: all were skipped and nothing is trained; "
                f"look at the records in {self._path}; another --workdir and --config.train.check_nans=true name the "
                "layer"
            )

    def _write(self) -> None:
        replace_text(self._path, "".join(json.dumps(line) + "\n" for line in self._lines))


def _number(value: float) -> float | str:
    return float(value) if math.isfinite(value) else str(float(value))  # JSON has no nan


class Spikes:
    """Which steps' losses stand out from those before, by median and median absolute deviation."""

    def __init__(self, threshold: float, losses: Iterable[float] = ()) -> None:
        """`threshold`: deviations above the median; 0: no step stands out. `losses`: of the steps before, in order."""
        self._threshold = threshold
        self.losses: deque[float] = deque(losses, maxlen=_WINDOW)
        self._in_one = False

    def see(self, step: int, loss: float) -> bool:
        """Whether the loss of `step` is a spike; the first step of one is told in the log."""
        spike, middle = False, math.nan
        if self._threshold and len(self.losses) >= _LEAST:
            middle = median(self.losses)
            deviation = _SPREAD * median(abs(other - middle) for other in self.losses)
            spike = loss > middle + self._threshold * max(deviation, 1e-3 * abs(middle))
        if spike and not self._in_one:
            logging.warning("loss spike at step %d: %.3f, and %.3f was the last steps' median", step, loss, middle)
        self._in_one = spike
        self.losses.append(loss)
        return spike
