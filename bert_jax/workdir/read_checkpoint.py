"""A checkpoint read by another program than the run, which may be running and deleting checkpoints meanwhile."""

import time
from typing import Any

from absl import logging
from etils import epath

from bert_jax.errors import UserError
from bert_jax.storage.cloud import absolute
from bert_jax.workdir.checkpoint_files import names_in, steps_in
from bert_jax.workdir.checkpoints import Checkpoints, Tree

_TRIES = 20
_MOMENT = 0.5  # seconds in which a directory that is being deleted loses another file


def read_params(workdir: epath.PathLike, target: Tree, step: int | None = None) -> tuple[int, Tree, dict[str, Any]]:
    """The same as `read_checkpoint` of the parameters alone, which `target` is of."""
    step, state, description = read_checkpoint(workdir, {"params": target}, step)
    return step, state["params"], description


def read_checkpoint(
    workdir: epath.PathLike, target: Tree, step: int | None = None, asked_by: str = "--step={step}"
) -> tuple[int, Tree, dict[str, Any]]:
    """Step, state and description of the newest checkpoint of the run in `workdir`, or of that of `step`.

    It may be running: a checkpoint that it deletes meanwhile is left for the newest that is there then.
    `asked_by` is the flag that gave the step, for messages.

    Raises:
      UserError: there is no such checkpoint, it is damaged, or of another model than `target`, which may leave out
        branches.
    """
    directory = absolute(epath.Path(workdir) / "checkpoints")
    for _ in range(_TRIES):
        chosen = find_step(workdir, step, asked_by)
        names = names_in(directory / str(chosen))
        try:
            state, description = _read(directory, chosen, target)
            if names_in(directory / str(chosen)) == names:  # else something was perhaps gone when its turn came
                return chosen, state, description
        except Exception:
            if not (_is_overtaken(directory, chosen, step) or _is_being_deleted(directory / str(chosen), names)):
                raise
        logging.info("checkpoint %d was deleted while it was read", chosen)
    raise UserError(
        f"the run in {workdir} deletes its checkpoints faster than they can be read; wait for its end, or let it "
        "keep more (--config.train.keep_checkpoints)"
    )


def find_step(workdir: epath.PathLike, step: int | None, asked_by: str) -> int:
    """`step`, or that of the newest checkpoint; UserError if there is no such checkpoint."""
    steps = steps_in(absolute(epath.Path(workdir) / "checkpoints"))
    if not steps:
        raise UserError(f"{workdir} has no checkpoint yet; let `python -m bert_jax.pretrain` write one first")
    if step is not None and step not in steps:
        there = ", ".join(map(str, steps))
        raise UserError(f"{asked_by.format(step=step)} is no checkpoint of {workdir}; it has those of steps {there}")
    return steps[-1] if step is None else step


def _read(directory: epath.Path, step: int, target: Tree) -> tuple[Tree, dict[str, Any]]:
    with Checkpoints(directory, read_only=True) as checkpoints:
        return checkpoints.restore(step, target), checkpoints.description(step)


def _is_overtaken(directory: epath.Path, chosen: int, asked: int | None) -> bool:
    """Whether another checkpoint than the one that was `chosen` would be now."""
    return asked is None and steps_in(directory)[-1:] != [chosen]


def _is_being_deleted(directory: epath.Path, names: set[str]) -> bool:
    """Whether a checkpoint is gone, or loses files while one looks."""
    time.sleep(_MOMENT)
    return not names or names_in(directory) != names
