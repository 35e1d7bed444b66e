"""The records of a run stay the same over all its starts, or the user allows that they change.

What they are lies in each checkpoint's description, and is compared before a run resumes: other records come in another
order, and what was held out before may be trained on.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from absl import logging
from etils import epath

from bert_jax.data.source import RecordSource
from bert_jax.errors import UserError
from bert_jax.parallel.first_process import broadcast_from_first
from bert_jax.training.phase_input import PhaseInput


@dataclasses.dataclass(frozen=True)
class SplitRecords:
    """Of "train" or "validation"."""

    num_records: int
    digest: str


@dataclasses.dataclass(frozen=True)
class PhaseRecords:
    """What the records of a phase are, how they were made, and of what text."""

    options: Mapping[str, Any]
    inputs: Any
    splits: Mapping[str, SplitRecords] = dataclasses.field(default_factory=dict)  # {}: an earlier version, unknown
    evaluated: SplitRecords | None = None  # of evaluation.records, which are free to change; reports compare them


def records_of(opened: PhaseInput) -> PhaseRecords:
    """What is there now; the first process of a job reads a little of every shard."""

    def split(source: RecordSource) -> SplitRecords:
        return SplitRecords(len(source), broadcast_from_first(source.digest))

    splits, evaluated, held_out = {"train": split(opened.train)}, None, opened.validation
    if held_out and held_out.directory == opened.train.directory:
        splits["validation"] = split(held_out)
    elif held_out:
        evaluated = split(held_out)
    return PhaseRecords(opened.manifest.options, opened.manifest.inputs, splits, evaluated)


def check_same_records(
    workdir: epath.PathLike,
    step: int,
    before: Sequence[PhaseRecords | None],
    phases: Sequence[PhaseInput],
    now: Sequence[PhaseRecords],
    may_differ: bool,
) -> None:
    """Compare the records of each phase that the run in `workdir` has begun at `step`; None: they are not known.

    Raises:
      UserError: some differ, and they may not.
    """
    changed = [
        f"{opened.train.directory} had {', '.join(changes)}"
        for opened, then, there in zip(phases, before, now, strict=True)
        if then is not None and opened.first_step < step and (changes := _changes(then, there))
    ]
    if changed and not may_differ:
        raise UserError(
            f"{workdir} was trained up to step {step} on other records: {'; '.join(changed)}; give the same records to "
            "resume, another --workdir, or --config.data.allow_other_records=true to resume with those of now"
        )
    if changed:
        logging.warning("resuming after step %d with other records: %s", step, "; ".join(changed))


def _changes(then: PhaseRecords, now: PhaseRecords) -> list[str]:
    """What differs, as "WHAT IT WAS, not WHAT IT IS"; nothing where the records themselves are the same."""
    both = [name for name in then.splits if name in now.splits]
    if both and all(then.splits[name] == now.splits[name] for name in both):
        return []
    # Only what both versions have: a later one may have more options.
    options = [name for name in then.options if name in now.options and then.options[name] != now.options[name]]
    changes = [f"--{name}={then.options[name]}, not {now.options[name]}" for name in options]
    if then.inputs != now.inputs:
        changes.append("other text")
    for name in both:
        old, new = then.splits[name].num_records, now.splits[name].num_records
        if old != new:
            changes.append(f"{old:,} {name} records, not {new:,}")
    if then.splits and not changes:
        changes.append("other records of the same number, made with the same options")
    return changes
