"""The files of a workdir that a report is made of, each read against its schema; what it holds is given as it is."""

import dataclasses
from typing import Annotated, Any

from etils import epath
from msgspec import Meta

from bert_jax.errors import UserError
from bert_jax.storage.json_file import check_schema, read_json, read_json_lines

_REMEDY = "restore it, or train again in a new --workdir"
_Count = Annotated[int, Meta(ge=0, le=10**12)]
_Number = Annotated[float, Meta(ge=-1e300, le=1e300)]  # JSON's 1e999 is infinity


@dataclasses.dataclass(frozen=True)
class _Phase:
    steps: _Count
    global_batch_size: _Count
    max_seq_length: _Count
    packed_rows: _Count = 0


@dataclasses.dataclass(frozen=True)
class _Config:
    """What the report counts with; settings of another version are shown as they are."""

    phases: list[_Phase]


@dataclasses.dataclass(frozen=True)
class _Line:
    split: str
    step: _Count
    time: _Number


@dataclasses.dataclass(frozen=True)
class _Prediction:
    position: _Count
    label: str
    guesses: list[tuple[str, _Number]]


@dataclasses.dataclass(frozen=True)
class _NextSentence:
    label: str
    probability_next: _Number


@dataclasses.dataclass(frozen=True)
class _Sample:
    tokens: list[str]
    predictions: list[_Prediction]
    next_sentence: _NextSentence | None = None


_VALUES: Any = dict[str, _Number | None]


def read_run_config(path: epath.Path) -> dict[str, Any]:
    """The settings of config.json; UserError if it is damaged, as with all of these."""
    config = read_json(path, dict[str, Any], _REMEDY)
    check_schema(config, _Config, str(path), _REMEDY)
    return config


def read_metrics(path: epath.Path) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl; the last may be just being written, and is left out then."""
    lines = read_json_lines(path, dict[str, Any], _REMEDY)
    for number, line in enumerate(lines, 1):
        place = f"{path}, line {number}"
        check_schema(line, _Line, place, _REMEDY)
        check_schema({name: value for name, value in line.items() if name != "split"}, _VALUES, place, _REMEDY)
    return lines


def read_samples(path: epath.Path) -> list[dict[str, Any]]:
    """The records of samples.json; none if the run has not ended."""
    if not path.exists():
        return []
    samples = read_json(path, list[dict[str, Any]], _REMEDY)
    for sample in check_schema(samples, list[_Sample], str(path), _REMEDY):
        if any(prediction.position >= len(sample.tokens) for prediction in sample.predictions):
            raise UserError(f"{path} is damaged: a prediction is of no token; {_REMEDY}")
    return samples
