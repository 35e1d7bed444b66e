"""Predictions as files: the format is that of the output's name."""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from bert_jax.errors import UserError
from bert_jax.tasks.ids import check_id
from bert_jax.tasks.task import Example, Prediction

Lines = Iterator[str]
Pairs = Iterable[tuple[Example, Prediction]]


def json_lines(answered: Pairs) -> Lines:
    """An object a line: the row's id, if it has one, and the prediction."""
    for example, prediction in answered:
        ids = {} if example.id is None else {"id": example.id}
        yield json.dumps(ids | prediction, ensure_ascii=False)


def table(answered: Pairs) -> Lines:
    """Tab-separated, with a header: id, then the prediction.

    Labels have | between, and tags spaces, as where they are read (texts.py, word_lists.py); they are a JSON list where
    one of them has such a character in it.
    """
    header: list[str] = []
    for example, prediction in answered:
        # All digits of an id that is a number: it is a name.
        cells = {"id": None if example.id is None else str(example.id), **_flat(prediction)}
        if not header:
            header = list(cells)
            yield "\t".join(_cell(name, "") for name in header)
        yield "\t".join(_cell(cells.get(name), "|" if name == "labels" else " ") for name in header)


def conll(answered: Pairs) -> Lines:
    """A word and its tag a line, a blank line after each sentence."""
    for example, prediction in answered:
        yield from (f"{_cell(word, '')}\t{tag}" for word, tag in zip(example.words, prediction["tags"], strict=True))
        yield ""


def squad(answered: Pairs) -> Lines:
    """SQuAD's predictions file: an object of answers by the questions' ids."""
    answers: dict[str, str] = {}
    for example, prediction in answered:
        answers[str(example.id)] = prediction["answer"]
    yield json.dumps(answers, ensure_ascii=False, indent=1)


FORMATS: dict[str, Callable[[Pairs], Lines]] = {".jsonl": json_lines, ".tsv": table, ".conll": conll, ".json": squad}
_PARTS = {"|": re.compile(r"[|,]|^\[|^\s|\s$"), " ": re.compile(r"\s")}  # what a reader takes for more than one
_OF_TASK = {".conll": ("tagging", "tags"), ".json": ("qa", "answers to questions")}  # of one task alone


def format_of(name: str, kind: str) -> Callable[[Pairs], Lines]:
    """The format of an output of this name, of the task `kind`; "-", standard output, is JSON lines.

    Raises:
      UserError: the name says no format, or one in which this task's predictions cannot be written.
    """
    if name == "-":
        return json_lines
    for suffix, found in FORMATS.items():
        if name.endswith(suffix):
            task, what = _OF_TASK.get(suffix, (kind, ""))
            if task != kind:
                raise UserError(f"--output={name}: {suffix} is for {what}; give a name that ends in .jsonl or .tsv")
            return found
    raise UserError(f"--output={name}: its name says no format; let it end in {', '.join(FORMATS)}, or give -")


def check_ids(write: Callable[[Pairs], Lines], examples: Iterable[Example]) -> None:
    """Raise UserError at a bad id, and at a question without one, by which SQuAD's file names its answer."""
    for example in examples:
        check_id(example)
        if example.id is None and write is squad:
            raise UserError(
                f"{example.place} has no id, by which .json names an answer; give it one, or an --output that ends in "
                ".jsonl or .tsv"
            )


def _flat(prediction: Prediction) -> dict[str, Any]:
    """Probabilities of labels as columns of their own; what is nested deeper is left to JSON."""
    cells: dict[str, Any] = {}
    for name, value in prediction.items():
        if isinstance(value, dict):
            cells |= {f"{name}.{label}": number for label, number in value.items()}
        elif not (isinstance(value, list) and any(isinstance(member, dict) for member in value)):
            cells[name] = value
    return cells


def _cell(value: Any, between: str) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, str) or not isinstance(value, Sequence):
        return re.sub(r"[\t\n\r]", " ", str(value))
    if any(isinstance(member, str) and _PARTS[between].search(member) for member in value):
        return json.dumps(list(value), ensure_ascii=False)
    return between.join(_cell(member, between) for member in value)
