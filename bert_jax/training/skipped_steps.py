"""Steps that were skipped, since their loss or gradient was not finite, with the records to look at."""

import itertools
import json
import math
from collections.abc import Callable, Mapping, Sequence

from absl import logging
from etils import epath

from bert_jax.errors import UserError
from bert_jax.storage.whole_file import replace_text
from bert_jax.workdir.step_log import lines_up_to

FILE = "skipped.jsonl"


class SkippedSteps:
    """WORKDIR/skipped.jsonl: a line for each step that was skipped, since its loss or gradient was no finite number."""

    def __init__(self, workdir: epath.PathLike, resume_step: int, most_in_a_row: int, writes: bool) -> None:
        """Resume after `resume_step` steps; only one process of a job writes.

        Raises:
          UserError: the file is no such log.
        """
        self._path = epath.Path(workdir) / FILE
        self._lines = lines_up_to(resume_step, self._path)
        if writes and self._path.exists():
            self._write()
        self._writes, self._most = writes, most_in_a_row
        before = {line["step"] for line in self._lines}
        self._newest = 0  # of those skipped since this start
        self._in_a_row = next(number for number in itertools.count() if resume_step - number not in before)

    def record(self, step: int, phase: int, values: Mapping[str, float], records: Callable[[], Sequence[int]]) -> None:
        """Take the numbers of one step; `records` are the numbers of its global batch's records."""
        if not values["skipped"]:
            self._in_a_row = 0
            return
        self._in_a_row += 1
        self._newest = step
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

    def stop_if_too_many(self) -> None:
        """Raise UserError if the last step seen was one too many in a row."""
        if self._newest and self._in_a_row > self._most:
            first, last = self._newest - self._in_a_row + 1, self._newest
            raise UserError(
                f"{self._in_a_row} steps in a row, {first} to {last}, had no finite loss or gradient; look at the "
                f"newest checkpoint before them in {self._path.parent / 'checkpoints'} and at the records in "
                f"{self._path}; --config.train.check_nans on the same command names the layer"
            )

    def stop_if_all(self, first: int, last: int) -> None:
        """Raise UserError if the run, in all its starts, has skipped each step after `first`, up to `last`.

        Where there is no such step nothing was skipped: a finished run whose log of starts was moved away begins at
        its end.
        """
        if 0 < last - first == sum(line["step"] > first for line in self._lines):
            raise UserError(
                f"none of the {last - first} steps had a finite loss and gradient: all were skipped and nothing is "
                f"trained; look at the records in {self._path}; another --workdir and --config.train.check_nans=true "
                "name the layer"
            )

    def _write(self) -> None:
        replace_text(self._path, "".join(json.dumps(line) + "\n" for line in self._lines))


def _number(value: float) -> float | str:
    return float(value) if math.isfinite(value) else str(float(value))  # JSON has no nan
