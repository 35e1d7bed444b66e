"""The parts of a page that show a task's answers, by the task's name."""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from bert_jax.reporting.answers.choice import choice_parts
from bert_jax.reporting.answers.classification import classification_parts, classification_remark
from bert_jax.reporting.answers.multilabel import multilabel_parts
from bert_jax.reporting.answers.numbers import regression_parts, similarity_parts
from bert_jax.reporting.answers.parts import Answered, Make, Part
from bert_jax.reporting.answers.qa import qa_parts
from bert_jax.reporting.answers.tagging import tagging_parts
from bert_jax.tasks.libraries import MissingLibraryError
from bert_jax.tasks.task import Task

_PARTS: dict[str, Callable[[Any, Answered], Iterator[Make]]] = {
    "classification": classification_parts,
    "multilabel": multilabel_parts,
    "regression": regression_parts,
    "choice": choice_parts,
    "tagging": tagging_parts,
    "qa": qa_parts,
    "similarity": similarity_parts,
}

_REMARKS: dict[str, Callable[[Answered], str]] = {"classification": classification_remark}


def remark_on(kind: str, answered: Answered) -> str:
    """A sentence about answers that are less than they seem; "" if there is nothing to say."""
    return _REMARKS[kind](answered) if kind in _REMARKS else ""


def parts_of(task: Task, answered: Answered) -> list[Part]:
    """Tables, drawings and examples of what the model of a task answered; none of no answers.

    What needs a library that is not installed is left out.
    """
    return list(_without_missing(_PARTS[task.kind](task, answered))) if answered else []


def _without_missing(makers: Iterable[Make]) -> Iterator[Part]:
    for make in makers:
        with contextlib.suppress(MissingLibraryError):
            part = make()
            if part is not None:
                yield part
