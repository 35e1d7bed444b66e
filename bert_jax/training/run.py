"""A run that is set up: all that the loop needs of it, whatever its kind."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from etils import epath

from bert_jax.config import EvaluationConfig, ProfileConfig, TrainConfig
from bert_jax.model.functional import Params
from bert_jax.training.feed import Feed
from bert_jax.training.meter import MonitorState
from bert_jax.training.program import Program
from bert_jax.training.state import State


class Log(Protocol):
    """Where metrics are written."""

    def write(self, split: str, step: int, values: Mapping[str, float]) -> None:
        """Add the values of one step."""

    def flush(self) -> None:
        """Return when what was written is there, also in an object store."""

    def close(self) -> None:
        """Let go of it."""


# (parameters, which batches are still wanted) -> numbers by name, or None if there is nothing to evaluate on. It takes
# its batches through the second, which ends them where the run is to stop.
Evaluate = Callable[[Params, Callable[[Iterator[Any]], Iterator[Any]]], dict[str, float] | None]


class Selection(Protocol):
    """Which parameters are the best so far, and whether there is hope of better ones."""

    def record(self, step: int, values: Mapping[str, float], params: Params) -> None:
        """Take what the evaluation after `step` gave."""

    def should_stop(self, step: int) -> bool:
        """Whether the run ends with `step` already."""


@dataclasses.dataclass(frozen=True)
class Run:
    """What is trained, on what, and what becomes of it."""

    directory: epath.Path
    train: TrainConfig
    evaluation: EvaluationConfig
    profile: ProfileConfig
    program: Program
    feeds: Sequence[Feed]  # one after the other
    learning_rates: np.ndarray  # of each step
    peak_flops: float  # FLOP/s of all devices of the mesh together
    first_state: Callable[[], State]  # of a run without a checkpoint
    # (feed, step, whether the evaluation of that step is still to be done, state of the monitor) -> the JSON beside
    # the checkpoint
    describe: Callable[[Feed, int, bool, MonitorState], Mapping[str, Any]]
    open_logs: Callable[[int], Sequence[Log]]  # of a run that resumes after so many steps; [] but in the first process
    finish: Callable[[int, Params], None]  # what is done at the end with the step that was reached and its parameters
    # What an evaluation gives; None: the objective's means over the feed's held-out batches.
    evaluate: Evaluate | None = None
    selection: Selection | None = None
    always_kept: tuple[int, ...] = ()  # steps whose checkpoints are written, and never deleted

    @property
    def total_steps(self) -> int:
        """Of all feeds."""
        return self.feeds[-1].last_step
