"""A fine-tuning as its workdir has it: the runs of its seeds, scores, predictions. Judges nothing."""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any

from etils import epath

from bert_jax.errors import UserError
from bert_jax.objectives.metrics import Metric
from bert_jax.reporting.fine_tuning_files import (
    Summary,
    read_lines,
    read_predictions,
    read_summary,
    read_task,
    read_task_config,
)
from bert_jax.reporting.run_history import Run
from bert_jax.storage.cloud import absolute
from bert_jax.tasks.task import Example, Prediction, Task, score
from bert_jax.workdir.goodput import read_starts

_NO_SCORE = frozenset({"split", "step", "time", "phase"})
SPLITS = ("test", "dev")  # the first that there is says how good the model is


@dataclasses.dataclass(frozen=True)
class FineTuning:
    """All seeds of it; `summary` is None and `answers` empty until the last one is done."""

    name: str
    config: dict[str, Any]
    task: Task | None
    runs: Sequence[Run]
    summary: Summary | None
    answers: Mapping[str, Sequence[tuple[Example, Prediction]]]  # of the best seed, by split

    @property
    def kind(self) -> str:
        """Of the task."""
        return self.config["task"]["kind"]

    @property
    def main(self) -> int:
        """The place of the run that is shown before the others: the best, or the one that trains now."""
        if self.summary and self.summary.best_place < len(self.runs):
            return self.summary.best_place
        begun = [place for place, run in enumerate(self.runs) if run.lines]
        return begun[-1] if begun else 0

    @property
    def split(self) -> str:
        """The split by which the model is judged, "" before it is scored."""
        return next((split for split in SPLITS if self.summary and getattr(self.summary, split)), "")

    def metrics(self) -> list[Metric]:
        """The task's scores, headline first; where none of those was logged, what was."""
        logged = {name: None for run in self.runs for line in run.lines if line["split"] != "train" for name in line}
        known = list(self.task.metrics) if self.task else []
        if any(metric.name in logged for metric in known) or not logged:
            return known
        names = [name for name in logged if name not in _NO_SCORE and not name.startswith("floor_")]
        return [score(name, name.replace("_", " ").capitalize(), name, unit="number") for name in names]


def read_fine_tuning(workdir: epath.PathLike) -> FineTuning:
    """The fine-tuning in `workdir`, which may be still running.

    Raises:
      UserError: it holds none, or a file of it is damaged.
    """
    workdir = epath.Path(workdir)
    config = read_task_config(workdir / "config.json")
    seeds = _seed_directories(workdir)
    if not seeds:
        raise UserError(f"{workdir} has no seed_0; give the --workdir of a run of bert_jax.finetune that has begun")
    summary, kind = read_summary(workdir / "scores.json"), config["task"]["kind"]
    best = seeds[summary.best_place] if summary and summary.best_place < len(seeds) else seeds[0]
    return FineTuning(
        name="/".join(absolute(workdir).parts[-2:]),
        config=config,
        task=read_task(kind, best),
        runs=[Run(seed.name, {}, read_lines(seed), [], read_starts(seed)) for seed in seeds],
        summary=summary,
        answers={split: read_predictions(kind, best / f"{split}_predictions.jsonl") for split in SPLITS if summary},
    )


def _seed_directories(workdir: epath.Path) -> list[epath.Path]:
    """seed_0, seed_1, ..., as far as they follow one another."""
    found = {int(path.name[5:]): path for path in workdir.iterdir() if re.fullmatch(r"seed_[0-9]{1,6}", path.name)}
    return [found[number] for number in range(len(found)) if number in found]
