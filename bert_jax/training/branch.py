"""A branch: a run that starts with step, weights and optimizer state of a checkpoint of another run (branch_from).

The other run, its parent, is only read, and may be training. The checkpoint becomes the first one in the branch's own
workdir, from which the branch then starts like any run that was stopped.
"""

import dataclasses
from collections.abc import Iterable
from typing import Any

from absl import logging
from etils import epath

from bert_jax.config import Config
from bert_jax.config.file import differences
from bert_jax.config.schedule_changes import is_length, lasting_differences, why_not
from bert_jax.errors import UserError
from bert_jax.parallel.first_process import broadcast_from_first
from bert_jax.training.program import Program
from bert_jax.training.state import State, abstract_state
from bert_jax.workdir.checkpoint_files import damage, split_checkpoint_path, steps_in
from bert_jax.workdir.checkpoints import Checkpoints
from bert_jax.workdir.read_checkpoint import find_step, read_checkpoint
from bert_jax.workdir.run_directory import check_same_vocabulary, read_config


@dataclasses.dataclass(frozen=True)
class ParentCheckpoint:
    """The run that another one branches from, and at which of its steps."""

    workdir: epath.Path
    step: int
    flag: str  # as the user gave it

    @property
    def checkpoint(self) -> epath.Path:
        """The directory of the checkpoint."""
        return self.workdir / "checkpoints" / str(self.step)


def find_parent(config: Config, fingerprint: str) -> ParentCheckpoint:
    """The checkpoint that the run of a resolved config with its records' facts branches from; touches no device.

    `fingerprint` is that of the records' vocabulary.

    Raises:
      UserError: there is none, it is damaged, its run differs in what such a run may not change
        (config/schedule_changes.py), or the branch has no step after it.
    """
    workdir, step = split_checkpoint_path(config.branch_from)
    flag = f"--config.branch_from={config.branch_from}"
    try:
        theirs = read_config(workdir)
    except UserError as error:
        raise UserError(f"--config.branch_from: {error}") from None
    parent = ParentCheckpoint(workdir, find_step(workdir, step, flag), flag)
    if what := broadcast_from_first(lambda: damage(parent.checkpoint)):
        raise UserError(f"{flag}: checkpoint {parent.step} is damaged ({what}); give another one{_others(parent)}")
    check_same_vocabulary(workdir, fingerprint)
    _check_settings(parent, theirs, config)
    return parent


def _check_settings(parent: ParentCheckpoint, theirs: Config, config: Config) -> None:
    if lasting := lasting_differences(theirs, config, parent.step):
        raise UserError(f"{parent.flag} was trained with {'; '.join(lasting)}; give the same values")
    last = config.total_steps
    if parent.step >= last:
        raise UserError(
            f"{parent.flag} is at step {parent.step} and this run ends with step {last}; give it more steps, or an "
            f"earlier checkpoint{_others(parent, (step for step in _steps(parent) if step < last))}"
        )
    if why := why_not(theirs, config, parent.step):
        lengths = [difference for difference in differences(theirs, config) if is_length(difference)]
        fitting = (step for step in _steps(parent) if step < last and not why_not(theirs, config, step))
        raise UserError(
            f"{parent.flag} had {'; '.join(lengths)}, and at step {parent.step} that cannot change: its {why}; give "
            f"the same values, or an earlier checkpoint{_others(parent, fitting)}"
        )


def _steps(parent: ParentCheckpoint) -> list[int]:
    return steps_in(parent.workdir / "checkpoints")


def _others(parent: ParentCheckpoint, steps: Iterable[int] | None = None) -> str:
    """Which checkpoints there are of `steps`, else of all, without the parent's, in parentheses."""
    there = [str(step) for step in (_steps(parent) if steps is None else steps) if step != parent.step]
    return f" (there are those of steps {', '.join(there)})" if there else " (there is none)"


def read_parent_state(parent: ParentCheckpoint, program: Program) -> tuple[State, dict[str, Any]]:
    """State, laid out for the program's mesh, and description of the parent checkpoint; UserError if it is gone."""
    target = abstract_state(program.model, program.optimizer, program.shardings)
    _, state, description = read_checkpoint(parent.workdir, target, parent.step, parent.flag)
    return state, description


def copy_checkpoint(parent: ParentCheckpoint, read: tuple[State, dict[str, Any]], directory: epath.Path) -> None:
    """Write the parent checkpoint, with its description, as the first one of the run in `directory`."""
    with Checkpoints(directory / "checkpoints") as checkpoints:
        checkpoints.save(parent.step, *read)
    logging.info("the run is a branch of %s from its step %d", parent.workdir, parent.step)
