"""A run as its workdir has it: config, metrics, samples and starts. Judges nothing."""

import dataclasses
from itertools import pairwise
from statistics import median
from typing import Any

from etils import epath

from bert_jax.errors import UserError
from bert_jax.reporting.parent_run import ParentRun, parent_of
from bert_jax.reporting.run_files import Filled, read_filled, read_metrics, read_run_config
from bert_jax.reporting.sentences import read_samples
from bert_jax.storage.cloud import absolute
from bert_jax.workdir.goodput import Start, read_starts

# Times the usual. Where no log of starts tells, a longer gap before a train line is a run that was stopped.
_PAUSE = 20


@dataclasses.dataclass(frozen=True)
class Run:
    """One run: `lines` of metrics.jsonl and `samples` of samples.json as they are written, oldest first."""

    name: str
    config: dict[str, Any]
    lines: list[dict[str, Any]]
    samples: list[dict[str, Any]]
    starts: list[Start] = dataclasses.field(default_factory=list)  # as in runs.jsonl
    filled: list[Filled] = dataclasses.field(default_factory=list)  # as in filled.jsonl
    parent: ParentRun | None = None  # of a branch, whose lines begin after its step

    def points(self, split: str, metric: str) -> list[tuple[int, float]]:
        """(step, value) wherever the metric was logged and was a number."""
        return [(line["step"], line[metric]) for line in self._of(split) if line.get(metric) is not None]

    def final(self, split: str, metric: str) -> float | None:
        """The value of the split's last line; None if it was not logged or not a number."""
        lines = self._of(split)
        return lines[-1].get(metric) if lines else None

    def diverged(self, metric: str) -> bool:
        """Whether a split's last line has no number for the metric, which is null there."""
        last_lines = [lines[-1] for lines in (self._of("train"), self._of("validation")) if lines]
        return any(line.get(metric, 0.0) is None for line in last_lines)

    def last_step(self) -> int:
        """Steps done, as far as the log goes."""
        return max((line["step"] for line in self.lines), default=0)

    def phases(self) -> list[tuple[int, dict[str, Any]]]:
        """(steps before it, its settings) of each phase of the config."""
        begun, phases = 0, []
        for phase in self.config.get("phases", ()):
            phases.append((begun, phase))
            begun += phase["steps"]
        return phases

    def tokens(self) -> int:
        """Tokens trained on up to the last step, padding included."""
        return sum(
            min(phase["steps"], max(0, self.last_step() - begun))
            * (phase.get("packed_rows") or phase["global_batch_size"])
            * phase["max_seq_length"]
            for begun, phase in self.phases()
        )

    def seconds(self) -> float:
        """Time from the first line to the last one, without intervals between a stop and the next start.

        For where nothing better is known (training_time.py): steps before the first line are not in it.
        """
        gaps = [after["time"] - before["time"] for before, after in pairwise(self.lines)]
        longest = _PAUSE * max(1.0, median(gaps)) if gaps else 0.0
        stops = (self._is_stop(before, after, longest) for before, after in pairwise(self.lines))
        return sum(gap for gap, is_stop in zip(gaps, stops, strict=True) if not is_stop)

    def _is_stop(self, before: dict[str, Any], after: dict[str, Any], longest: float) -> bool:
        """Whether the run was stopped between two lines: a process started there, or no log tells and it is longer."""
        if any(before["time"] < start.started <= after["time"] for start in self.starts):
            return True
        is_logged = bool(self.starts) and self.starts[0].started <= before["time"]
        return not is_logged and after["split"] == "train" and after["time"] - before["time"] > longest

    def _of(self, split: str) -> list[dict[str, Any]]:
        return [line for line in self.lines if line["split"] == split]


def read_run(workdir: epath.PathLike) -> Run:
    """The run in `workdir`, which may be still running.

    Raises:
      UserError: it holds none, or a file of it is damaged.
    """
    workdir = epath.Path(workdir)
    for name in ("config.json", "metrics.jsonl"):
        if not (workdir / name).exists():
            raise UserError(f"{workdir} has no {name}; give the --workdir of a run of bert_jax.pretrain")
    config, starts = read_run_config(workdir / "config.json"), read_starts(workdir)
    return Run(
        name="/".join(absolute(workdir).parts[-2:]),  # a workdir is often just called "train"
        config=config,
        lines=read_metrics(workdir / "metrics.jsonl"),
        samples=read_samples(workdir / "samples.json"),
        starts=starts,
        filled=read_filled(workdir / "filled.jsonl"),
        parent=parent_of(config, starts),
    )
