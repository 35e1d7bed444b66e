"""The files of a workdir that a report is made of, each read against its schema; what it holds is given as it is."""

import dataclasses
from typing import Annotated, Any

from etils import epath
from msgspec import Meta

from bert_jax.storage.json_file import check_schema, read_json, read_json_lines

REMEDY = "restore it, or train again in a new --workdir"
Count = Annotated[int, Meta(ge=0, le=10**12)]
Number = Annotated[float, Meta(ge=-1e300, le=1e300)]  # JSON's 1e999 is infinity


@dataclasses.dataclass(frozen=True)
class _Phase:
    steps: Count
    global_batch_size: Count
    max_seq_length: Count
    packed_rows: Count = 0


@dataclasses.dataclass(frozen=True)
class _Config:
    """What the report counts with; settings of another version are shown as they are."""

    phases: list[_Phase]


@dataclasses.dataclass(frozen=True)
class _Line:
    split: str
    step: Count
    time: Number


@dataclasses.dataclass(frozen=True)
class FilledWord:
    """A word that the model puts in the place of a [MASK]."""

    token: str
    probability: Annotated[float, Meta(ge=0, le=1)]


@dataclasses.dataclass(frozen=True)
class Filled:
    """A text of the user's with its masks, the best words for each first: a line of filled.jsonl."""

    text: str
    filled: str
    masks: list[list[FilledWord]]


_VALUES: Any = dict[str, Number | None]


def read_run_config(path: epath.Path) -> dict[str, Any]:
    """The settings of config.json; UserError if it is damaged, as with all of these."""
    return read_whole(path, _Config)


def read_whole(path: epath.Path, needed: type[Any]) -> dict[str, Any]:
    """All that a JSON file holds; what is `needed` of it is checked."""
    content = read_json(path, dict[str, Any], REMEDY)
    check_schema(content, needed, str(path), REMEDY)
    return content


def read_metrics(path: epath.Path) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl; the last may be just being written, and is left out then."""
    lines = read_json_lines(path, dict[str, Any], REMEDY)
    for number, line in enumerate(lines, 1):
        place = f"{path}, line {number}"
        check_schema(line, _Line, place, REMEDY)
        check_schema({name: value for name, value in line.items() if name != "split"}, _VALUES, place, REMEDY)
    return lines


def read_filled(path: epath.Path) -> list[Filled]:
    """What `predict --output=WORKDIR/filled.jsonl` has made of the user's sentences; [] if there are none."""
    return read_json_lines(path, Filled, "delete it, or predict again") if path.exists() else []
