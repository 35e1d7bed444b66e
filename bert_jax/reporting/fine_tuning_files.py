"""The files of a fine-tuning's workdir that its page is made of, each read against its schema."""

import dataclasses
from typing import Any, NotRequired, TypedDict

from etils import epath

from bert_jax.errors import UserError
from bert_jax.reporting.run_files import REMEDY, Count, Number, read_metrics, read_whole
from bert_jax.storage.json_file import check_schema, read_json, read_json_lines
from bert_jax.tasks.examples import ChoiceExample, PairExample, QuestionExample, TaggingExample, TextExample
from bert_jax.tasks.kinds import KINDS, trained_task
from bert_jax.tasks.task import Example, Prediction, Task
from bert_jax.tasks.text_lengths import TextLengths

_Answered = list[tuple[Example, Prediction]]
Score = Number | None  # None: no number


@dataclasses.dataclass(frozen=True)
class _TaskConfig:
    kind: str
    train: str = ""
    dev: str = ""
    test: str = ""


@dataclasses.dataclass(frozen=True)
class _Config:
    """What the page needs; settings of another version are shown as they are."""

    task: _TaskConfig


@dataclasses.dataclass(frozen=True)
class Spread:
    """A score over the seeds."""

    mean: Score
    sd: Score
    each: list[Score]


@dataclasses.dataclass(frozen=True)
class Summary:
    """WORKDIR/scores.json, which is there once all seeds are done."""

    headline: str
    seeds: list[int]
    best_seed: int
    steps: list[Count]
    dev: dict[str, Spread]
    test: dict[str, Spread]
    floors: dict[str, dict[str, dict[str, Score]]] = dataclasses.field(default_factory=dict)
    lengths: dict[str, TextLengths] = dataclasses.field(default_factory=dict)

    @property
    def best_place(self) -> int:
        """The number in the name of the best seed's directory."""
        return self.seeds.index(self.best_seed) if self.best_seed in self.seeds else 0


@dataclasses.dataclass(frozen=True)
class _SeedScores:
    settings: dict[str, Any]


class _Labelled(TypedDict):
    label: str
    probabilities: dict[str, Number]


class _Labels(TypedDict):
    labels: list[str]
    probabilities: dict[str, Number]


class _Scored(TypedDict):
    score: Number


class _Alike(TypedDict):
    score: Number
    _rank: NotRequired[Count]  # of the positive among those of all anchors
    _neighbours: NotRequired[list[tuple[str, Number]]]  # of a few: the nearest texts, with their cosines


class _Chosen(TypedDict):
    label: int
    probabilities: list[Number]


class _Tagged(TypedDict):
    tags: list[str]
    probabilities: list[Number]


class _Found(TypedDict):
    answer: str
    start: int | None
    probability: Number


# Of each kind of task: its example and its prediction.
_LINES: dict[str, tuple[type[Any], type[Any]]] = {
    "classification": (TextExample, _Labelled),
    "multilabel": (TextExample, _Labels),
    "regression": (TextExample, _Scored),
    "choice": (ChoiceExample, _Chosen),
    "tagging": (TaggingExample, _Tagged),
    "qa": (QuestionExample, _Found),
    "similarity": (PairExample, _Alike),
}


@dataclasses.dataclass(frozen=True)
class _Line:
    example: dict[str, Any]
    prediction: dict[str, Any]


def is_fine_tuning(workdir: epath.PathLike) -> bool:
    """Whether the config in `workdir` is of a fine-tuning; False where there is none."""
    path = epath.Path(workdir) / "config.json"
    return path.exists() and "task" in read_json(path, dict[str, Any], REMEDY)


def read_task_config(path: epath.Path) -> dict[str, Any]:
    """The settings of config.json; UserError if it is damaged, as with all of these."""
    return read_whole(path, _Config)


def read_summary(path: epath.Path) -> Summary | None:
    """None while seeds are still trained."""
    return read_json(path, Summary, REMEDY) if path.exists() else None


def read_lines(seed_directory: epath.Path) -> list[dict[str, Any]]:
    """The metrics of one seed, none where it has not begun."""
    path = seed_directory / "metrics.jsonl"
    return read_metrics(path) if path.exists() else []


def read_task(kind: str, seed_directory: epath.Path) -> Task | None:
    """The task with its label names, of a seed that is done; else without; None if it is of a later version."""
    if kind not in KINDS:
        return None
    path = seed_directory / "scores.json"
    settings = read_json(path, _SeedScores, REMEDY).settings if path.exists() else {}
    try:
        return trained_task(kind, settings)
    except TypeError as error:
        raise UserError(f"{path} is damaged or of another version: {error}; {REMEDY}") from None


def read_predictions(kind: str, path: epath.Path) -> _Answered:
    """The examples of a split and what was predicted; [] where there is no such file."""
    if kind not in _LINES or not path.exists():
        return []
    example, prediction = _LINES[kind]
    answered = []
    for number, line in enumerate(read_json_lines(path, _Line, REMEDY), 1):
        place = f"{path}, line {number}"
        check_schema(line.prediction, prediction, place, REMEDY)
        answered.append((check_schema(line.example, example, place, REMEDY), line.prediction))
    return answered
