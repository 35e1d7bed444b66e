"""What a run was trained and is scored on: its vocabulary and its records, told apart from others by digests."""

import contextlib
import dataclasses

from etils import epath

from bert_jax.errors import UserError
from bert_jax.reporting.run_files import REMEDY, Count
from bert_jax.storage.json_file import check_schema, read_json
from bert_jax.workdir.checkpoint_files import read_description, steps_in


@dataclasses.dataclass(frozen=True)
class SplitDigest:
    """Of "train", "validation" or "evaluated": a digest of its records in their order (data/source.py)."""

    num_records: Count
    digest: str


PhaseDigests = dict[str, SplitDigest]  # by split; "evaluated": what is held out of evaluation.records


@dataclasses.dataclass(frozen=True)
class _Phase:
    splits: PhaseDigests = dataclasses.field(default_factory=dict)
    evaluated: SplitDigest | None = None


@dataclasses.dataclass(frozen=True)
class _Description:
    """What is read here of the JSON beside a checkpoint."""

    records: list[_Phase] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True)
class _Vocabulary:
    fingerprint: str = ""


def read_records(workdir: epath.PathLike) -> list[PhaseDigests]:
    """The records of each phase, as the newest checkpoint says; [] before there is one, or if it is of a version that
    did not.
    """
    directory = epath.Path(workdir) / "checkpoints"
    for step in reversed(steps_in(directory)):
        path = directory / str(step)
        with contextlib.suppress(OSError, UserError):  # damaged, or just being deleted by the run
            description = check_schema(read_description(path), _Description, str(path), REMEDY)
            return [_digests(phase) for phase in description.records if phase.splits]
    return []


def evaluated(phase: PhaseDigests) -> SplitDigest | None:
    """The split that evaluations in the phase are of; None if there is none, or it is not known."""
    return phase.get("evaluated") or phase.get("validation")


def _digests(phase: _Phase) -> PhaseDigests:
    return phase.splits | ({"evaluated": phase.evaluated} if phase.evaluated else {})


def read_fingerprint(workdir: epath.PathLike) -> str:
    """The vocabulary's fingerprint; "" if the run has not written it yet."""
    path = epath.Path(workdir) / "tokenizer" / "vocabulary.json"
    return read_json(path, _Vocabulary, REMEDY).fingerprint if path.exists() else ""
