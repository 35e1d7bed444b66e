"""What lies beside a checkpoint's arrays, as JSON: enough to use them without anything else, and to resume."""

import contextlib
import dataclasses
import json
import platform
from collections.abc import Sequence
from typing import Any

import jax
from etils import epath

import bert_jax
from bert_jax.config import Config
from bert_jax.config.file import to_json
from bert_jax.errors import UserError
from bert_jax.storage.json_file import check_schema
from bert_jax.training.meter import MonitorState
from bert_jax.training.phase_input import PhaseInput
from bert_jax.training.same_records import PhaseRecords
from bert_jax.workdir.checkpoint_files import read_description, steps_in
from bert_jax.workdir.checkpoints import Checkpoints


@dataclasses.dataclass(frozen=True)
class Description:
    """What a resumed run reads of it. Earlier versions wrote less: what is not there has its default."""

    step: int = 0
    owes_evaluation: bool = False  # the one of this step was interrupted
    watch: MonitorState = dataclasses.field(default_factory=MonitorState)  # the monitor's; files have this older name
    records: list[PhaseRecords] = dataclasses.field(default_factory=list)  # of every phase
    data: PhaseRecords | None = None  # of the phase of this step: options and inputs only
    first_position: int = 0  # of that phase in the order of its records; an earlier version began each phase at 0

    def as_begun(self, phases: Sequence[PhaseInput]) -> list[PhaseInput]:
        """The phases, of which that of this step has its records in the order in which it was begun."""
        return [
            dataclasses.replace(each, first_position=self.first_position)
            if each.first_step < self.step < each.last_step
            else each
            for each in phases
        ]

    def records_of(self, phases: Sequence[PhaseInput]) -> list[PhaseRecords | None]:
        """What is known of each phase's records."""
        if self.records:
            return [*self.records, *[None] * len(phases)][: len(phases)]  # a branch may have more phases, or fewer
        return [self.data if opened.first_step < self.step <= opened.last_step else None for opened in phases]


def describe(
    config: Config,
    records: Sequence[PhaseRecords],
    opened: PhaseInput,
    step: int,
    owes_evaluation: bool,
    watch: MonitorState,
) -> dict[str, Any]:
    """The description of the checkpoint of `step`, which is in the phase `opened`."""
    return {
        "step": step,
        "config": json.loads(to_json(config)),
        "vocab_fingerprint": opened.manifest.vocab_fingerprint,
        "data": {"inputs": opened.manifest.inputs, "options": opened.manifest.options},
        "records": [dataclasses.asdict(phase) for phase in records],
        "owes_evaluation": owes_evaluation,
        "first_position": opened.first_position,
        "watch": dataclasses.asdict(watch),
        "versions": versions(),
    }


def versions() -> dict[str, str]:
    """Of what computes."""
    return {"bert_jax": bert_jax.__version__, "jax": jax.__version__, "python": platform.python_version()}


def restore_description(checkpoints: Checkpoints, step: int) -> Description:
    """That of the checkpoint of `step`; UserError if it is damaged."""
    return description_of(checkpoints.description(step), checkpoints.directory / str(step))


def description_at(workdir: epath.PathLike, step: int) -> Description:
    """That of the checkpoint of `step`, which is there; UserError if it is damaged."""
    directory = epath.Path(workdir) / "checkpoints" / str(step)
    return description_of(read_description(directory), directory)


def newest_description(workdir: epath.PathLike) -> Description:
    """That of the newest checkpoint which has a readable one; waits for no other process, and touches nothing."""
    directory = epath.Path(workdir) / "checkpoints"
    for step in reversed(steps_in(directory)):
        with contextlib.suppress(OSError, UserError):  # a damaged checkpoint, which is seen to later
            return description_of(read_description(directory / str(step)), directory / str(step))
    return Description()


def description_of(content: dict[str, Any], checkpoint: epath.PathLike) -> Description:
    """What the JSON beside the checkpoint says; UserError if it is damaged."""
    return check_schema(content, Description, f"the description in {checkpoint}", "move that checkpoint away")
