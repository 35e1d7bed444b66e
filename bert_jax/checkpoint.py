"""Checkpoints with Orbax: written in the background, whole or absent, restored onto any mesh.

Moves pytrees of arrays and a small JSON beside them; knows no model and no training.
"""

import errno
import os
from collections.abc import Mapping
from typing import Any, Self

import jax
import orbax.checkpoint as ocp
from absl import logging
from etils import epath

from bert_jax.checkpoint_files import being_written, damage, set_aside_unusable, write_digests
from bert_jax.errors import UserError
from bert_jax.storage.cloud import absolute

Tree = Any


class Checkpoints:
    """The numbered checkpoints of one directory, of which the newest `keep` stay."""

    def __init__(self, directory: epath.PathLike, keep: int = 1, read_only: bool = False) -> None:
        """Open a directory; one that is opened for writing is left with whole checkpoints only (see checkpoint_files).

        Raises:
          UserError: it has checkpoints and all are damaged.
        """
        self.directory = absolute(directory)  # Orbax takes no relative path
        self._read_only = read_only
        self._saving = 0
        if not read_only and jax.process_index() == 0:  # the others wait for this one where the manager is made
            set_aside_unusable(self.directory)
        options = ocp.CheckpointManagerOptions(
            max_to_keep=None if read_only else keep,
            read_only=read_only,
            create=not read_only,
            cleanup_tmp_directories=not read_only,  # in an object store, where what is torn has no name of its own
            async_options=ocp.AsyncOptions(post_finalization_callback=self._write_digests),
        )
        # Named here, or a process that has not saved yet could not read what it finds.
        handlers = {"state": ocp.PyTreeCheckpointHandler(), "description": ocp.JsonCheckpointHandler()}
        self._manager = ocp.CheckpointManager(self.directory, options=options, item_handlers=handlers)

    def latest_step(self) -> int | None:
        """The newest whole checkpoint's step, or None."""
        return self._manager.latest_step()

    def steps(self) -> list[int]:
        """The steps of all whole checkpoints, oldest first."""
        return sorted(self._manager.all_steps())

    def save(self, step: int, state: Tree, description: Mapping[str, Any]) -> None:
        """Start writing `state` (arrays) with `description` (JSON) beside it; the next call waits for this one.

        A step that is there already is not written again.

        Raises:
          UserError: no space was left for this checkpoint or the one before.
        """
        if step in self._manager.all_steps():
            return
        self.wait()
        self._saving = step
        items = {"state": ocp.args.PyTreeSave(state), "description": ocp.args.JsonSave(dict(description))}
        try:
            self._manager.save(step, args=ocp.args.Composite(**items))
        except Exception as error:
            self._raise_if_full(error)
            raise

    def wait(self) -> None:
        """Return when what was saved is on disk. Raises as `save` does."""
        try:
            self._manager.wait_until_finished()
        except Exception as error:
            self._raise_if_full(error)
            raise

    def restore(self, step: int, target: Tree) -> Tree:
        """The state of `step`, laid out as `target` (ShapeDtypeStructs with shardings) says.

        `target` may leave out branches, say opt_state: they are not read.

        Raises:
          UserError: the checkpoint holds other arrays than `target`; the first that differs is named. Or it is damaged.
        """
        if self._read_only and (what := damage(self.directory / str(step))):
            raise UserError(
                f"{self.directory}/{step} is damaged ({what}); move it away, or let the run go on: it sets it aside"
            )
        self._check_same_arrays(step, target)
        restore_args = ocp.checkpoint_utils.construct_restore_args(target)
        item = ocp.args.PyTreeRestore(target, restore_args=restore_args, partial_restore=True)
        return self._manager.restore(step, args=ocp.args.Composite(state=item)).state

    def description(self, step: int) -> dict[str, Any]:
        """The JSON that was saved beside the state of `step`."""
        item = ocp.args.JsonRestore()
        return self._manager.restore(step, args=ocp.args.Composite(description=item)).description

    def close(self) -> None:
        """Wait for what is being written, then let go of the directory. Raises as `save` does."""
        try:
            self._manager.close()  # waits first
        except Exception as error:
            self._raise_if_full(error)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        """Close; an error that is on its way is not covered by what closing then says."""
        try:
            self.close()
        except Exception:
            if error is None:
                raise

    def _write_digests(self) -> None:
        """Called by Orbax, in the thread that writes, when all files are there and the final name is not."""
        if jax.process_index() == 0:
            for directory in being_written(self.directory, self._saving):
                write_digests(directory)

    def _check_same_arrays(self, step: int, target: Tree) -> None:
        there = _shapes(self._manager.item_metadata(step)["state"].tree)
        for path, shape in _shapes(target).items():
            if there.get(path) != shape:
                raise UserError(
                    f"{self.directory}/{step} is of another architecture: {path} is {there.get(path, 'absent')} there "
                    f"and {shape} in this config; give the config it was made with, or another --workdir"
                )

    def _raise_if_full(self, error: Exception) -> None:
        # By the system's words: it is an OSError from Orbax's own files and a ValueError from TensorStore's.
        if any(os.strerror(code) in str(error) for code in (errno.ENOSPC, errno.EDQUOT)):
            logging.debug("saving failed", exc_info=error)
            raise UserError(
                f"no space left on the disk of {self.directory}; the checkpoint before stays, "
                "free some space and run the same command again"
            ) from error


def read_params(workdir: epath.PathLike, target: Tree, step: int | None = None) -> tuple[int, Tree, dict[str, Any]]:
    """The same as `read_checkpoint` of the parameters alone, which `target` is of."""
    step, state, description = read_checkpoint(workdir, {"params": target}, step)
    return step, state["params"], description


def read_checkpoint(workdir: epath.PathLike, target: Tree, step: int | None = None) -> tuple[int, Tree, dict[str, Any]]:
    """Step, state and description of the newest checkpoint of the run in `workdir`, or of that of `step`.

    Raises:
      UserError: there is no such checkpoint, or it is of another model than `target`, which may leave out branches.
    """
    directory = epath.Path(workdir) / "checkpoints"
    nothing = UserError(f"{workdir} has no checkpoint yet; let `python -m bert_jax.pretrain` write one first")
    if not directory.exists():
        raise nothing
    with Checkpoints(directory, read_only=True) as checkpoints:
        steps = checkpoints.steps()
        if not steps:
            raise nothing
        if step is not None and step not in steps:
            there = ", ".join(str(other) for other in steps)
            raise UserError(f"--step={step} is no checkpoint of {workdir}; it has those of steps {there}")
        step = steps[-1] if step is None else step
        return step, checkpoints.restore(step, target), checkpoints.description(step)


def _shapes(tree: Tree) -> dict[str, tuple[int, ...]]:
    leaves = jax.tree_util.tree_leaves_with_path(tree, is_leaf=lambda leaf: hasattr(leaf, "shape"))
    named = {"/".join(_name(entry) for entry in path): leaf for path, leaf in leaves}
    return {path: tuple(leaf.shape) for path, leaf in named.items() if hasattr(leaf, "shape")}


def _name(entry: Any) -> str:
    """A path entry as it stands on disk: a NamedTuple's field and a dict's key read alike."""
    return str(getattr(entry, "key", getattr(entry, "name", getattr(entry, "idx", entry))))
