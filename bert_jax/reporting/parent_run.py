"""What a branch's parent run tells of the steps that the branch took over (branch_from): its lines of them."""

import contextlib
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from etils import epath

from bert_jax.errors import UserError
from bert_jax.reporting.run_files import read_metrics, read_run_config
from bert_jax.storage.cloud import absolute
from bert_jax.workdir.checkpoint_files import split_checkpoint_path
from bert_jax.workdir.goodput import Start, read_starts


@dataclasses.dataclass(frozen=True)
class ParentRun:
    """The run that another one is a branch of, and from which step on.

    lines: Of its metrics, and of its own parent's, up to that step; [] if its directory is not there any more.
    """

    name: str
    step: int
    lines: list[dict[str, Any]] = dataclasses.field(default_factory=list)

    @property
    def sentence(self) -> str:
        """What the pages call it."""
        return f"branch of {self.name} at step {self.step:,}"


def parent_of(config: Mapping[str, Any], starts: Sequence[Start], before: int | None = None) -> ParentRun | None:
    """The parent of the run with that config.json and those starts, branched `before` a step; None of no branch."""
    given = config.get("branch_from")
    if not isinstance(given, str) or not given or (starts and starts[0].from_step == 0):
        return None
    workdir, step = split_checkpoint_path(given)
    step = starts[0].from_step if step is None and starts else step
    if step is None or (before is not None and step >= before):  # None: of what was the newest checkpoint then
        return None
    return ParentRun("/".join(absolute(workdir).parts[-2:]), step, _lines(workdir, step))


def _lines(workdir: epath.Path, last_step: int) -> list[dict[str, Any]]:
    with contextlib.suppress(OSError, UserError):  # it is elsewhere by now, or damaged
        # Before that step, so that directories which name each other come to an end.
        own_parent = parent_of(read_run_config(workdir / "config.json"), read_starts(workdir), last_step)
        lines = [line for line in read_metrics(workdir / "metrics.jsonl") if line["step"] <= last_step]
        return [*(own_parent.lines if own_parent else []), *lines]
    return []
