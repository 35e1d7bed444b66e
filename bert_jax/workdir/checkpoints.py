"""Checkpoints with Orbax: written in the background, whole or absent, restored onto any mesh.

Moves pytrees of arrays and a small JSON beside them; knows no model and no training.
"""

import errno
import os
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Self

import jax
import orbax.checkpoint as ocp
from absl import logging
from etils import epath
from orbax.checkpoint import checkpoint_managers as policies
from orbax.checkpoint.multihost import get_barrier_sync_fn

from bert_jax.errors import UserError
from bert_jax.storage.cloud import absolute, is_remote
from bert_jax.workdir.checkpoint_files import (
    being_written,
    damage,
    described,
    read_description,
    set_aside_unusable,
    warn_if_unchecked,
    write_digests,
)

Tree = Any

_LEAST_PART = 2**20  # bytes of an array that all processes have, where they write it together


class Checkpoints:
    """The numbered checkpoints of one directory, of which the newest `keep` stay, and those of `always` given steps."""

    def __init__(
        self, directory: epath.PathLike, keep: int = 1, read_only: bool = False, always: Sequence[int] = ()
    ) -> None:
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
            preservation_policy=_kept(None if read_only else keep, always),
            read_only=read_only,
            create=not read_only,
            cleanup_tmp_directories=not read_only,  # in an object store, where what is torn has no name of its own
            async_options=ocp.AsyncOptions(
                post_finalization_callback=self._write_digests,
                # Made in a thread, a directory that cannot be made leaves others waiting for it for five minutes.
                create_directories_asynchronously=False,
                barrier_sync_fn=_barrier,
            ),
        )
        # Named here, or a process that has not saved yet could not read what it finds.
        handlers = {"state": _state_handler(), "description": ocp.JsonCheckpointHandler()}
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
          UserError: this checkpoint or the one before could not be written: no space was left, or no permission.
        """
        if step in self._manager.all_steps():
            return
        self.wait()
        self._saving = step
        items = {
            "state": ocp.args.PyTreeSave(state),
            "description": ocp.args.JsonSave(described(step, description)),
        }
        try:
            self._manager.save(step, args=ocp.args.Composite(**items))
        except Exception as error:
            self._explain(error)
            raise

    def wait(self) -> None:
        """Return when what was saved is on disk. Raises as `save` does."""
        try:
            self._manager.wait_until_finished()
        except Exception as error:
            self._explain(error)
            raise

    def restore(self, step: int, target: Tree) -> Tree:
        """The state of `step`, laid out as `target` (ShapeDtypeStructs with shardings) gives it.

        `target` may leave out branches, say opt_state: they are not read.

        Raises:
          UserError: the checkpoint holds other arrays than `target`; the first that differs is named. Or it is damaged.
        """
        # By the first process alone, since each would read all of it.
        is_checked = self._read_only and jax.process_index() == 0
        if is_checked and (what := damage(self.directory / str(step))):
            raise UserError(
                f"{self.directory}/{step} is damaged ({what}); move it away, or let the run resume: it sets it aside"
            )
        if is_checked:
            warn_if_unchecked(self.directory / str(step))
        self._check_same_arrays(step, target)
        restore_args = ocp.checkpoint_utils.construct_restore_args(target)
        item = ocp.args.PyTreeRestore(target, restore_args=restore_args, partial_restore=True)
        return self._manager.restore(step, args=ocp.args.Composite(state=item)).state

    def description(self, step: int) -> dict[str, Any]:
        """The JSON that was saved beside the state of `step`; UserError if it is damaged."""
        return read_description(self.directory / str(step))

    def close(self) -> None:
        """Wait for what is being written, then let go of the directory. Raises as `save` does."""
        try:
            self._manager.close()  # waits first
        except Exception as error:
            self._explain(error)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        """Close; an error that is on its way is not covered by what closing then raises."""
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

    def _explain(self, error: Exception) -> None:
        """Raise UserError if a checkpoint could not be written for a reason that the system gave."""
        code = _system_error(error)
        if code is None or is_remote(self.directory):
            return
        logging.debug("saving failed", exc_info=error)
        reason = f"{self.directory} cannot be written ({os.strerror(code)}); fix that"
        if code in (errno.ENOSPC, errno.EDQUOT):
            reason = f"no space left on the disk of {self.directory}; free some"
        raise UserError(f"{reason} and run the same command again, the checkpoint before stays") from error


def _kept(newest: int | None, always: Sequence[int]) -> policies.PreservationPolicy:
    return policies.AnyPreservationPolicy([policies.LatestN(newest), policies.CustomSteps(list(always))])


def _state_handler() -> ocp.PyTreeCheckpointHandler:
    """Orbax's, so that what a process reads does not grow with the number of processes."""
    arrays = ocp.type_handlers.ArrayHandler(
        # Of a small array that all have, each would write a part, and each read all parts.
        min_slice_bytes_for_replica_parallel=_LEAST_PART,
        # None, else each process writes a file and each reads all of them; they are for random keys, which we have not.
        array_metadata_store=None,
    )
    registry = ocp.type_handlers.create_type_handler_registry((jax.Array, arrays))
    return ocp.PyTreeCheckpointHandler(type_handler_registry=registry)


def _barrier(*, key: str, timeout_ms: int) -> None:
    """Wait for the job's other processes, as Orbax does by itself; raise instead when this one's write has failed.

    The others are at another barrier then, and each would wait for twenty minutes. Called in Orbax's threads.
    """
    if (error := sys.exc_info()[1]) is not None:
        raise error
    get_barrier_sync_fn()(key=key, timeout_ms=timeout_ms)


def _system_error(error: BaseException | None) -> int | None:
    """The number of the system's error, of an OSError from Orbax's own files or a ValueError from TensorStore's."""
    while error is not None:
        if isinstance(error, OSError) and error.errno is not None:
            return error.errno
        if found := re.search(r"os_error_code='(\d+)'", str(error)):
            return int(found[1])
        error = error.__cause__ or error.__context__
    return None


def _shapes(tree: Tree) -> dict[str, tuple[int, ...]]:
    leaves = jax.tree_util.tree_leaves_with_path(tree, is_leaf=lambda leaf: hasattr(leaf, "shape"))
    named = {"/".join(_name(entry) for entry in path): leaf for path, leaf in leaves}
    return {path: tuple(leaf.shape) for path, leaf in named.items() if hasattr(leaf, "shape")}


def _name(entry: Any) -> str:
    """A path entry as it stands on disk: a NamedTuple's field and a dict's key read alike."""
    return str(getattr(entry, "key", getattr(entry, "name", getattr(entry, "idx", entry))))
