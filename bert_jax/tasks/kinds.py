"""All tasks by their names on the command line."""

from typing import Any

from bert_jax.tasks.choice import Choice
from bert_jax.tasks.classification import Classification
from bert_jax.tasks.multilabel import Multilabel
from bert_jax.tasks.qa import Qa
from bert_jax.tasks.regression import Regression
from bert_jax.tasks.similarity import Similarity
from bert_jax.tasks.tagging import Tagging
from bert_jax.tasks.task import Task

KINDS: dict[str, type[Any]] = {
    kind.kind: kind for kind in (Classification, Multilabel, Regression, Choice, Tagging, Qa, Similarity)
}


def trained_task(kind: str, settings: dict[str, Any]) -> Task:
    """The task of a trained model, as task.json has it."""
    fields = {name: tuple(value) if isinstance(value, list) else value for name, value in settings.items()}
    return KINDS[kind](**fields)
