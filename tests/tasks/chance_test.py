"""The interval of a headline score is the same whether scores or sums of counts are drawn."""

import numpy as np
import pytest

from bert_jax.tasks import chance
from bert_jax.tasks.classification import Classification
from bert_jax.tasks.examples import TaggingExample, TextExample
from bert_jax.tasks.multilabel import Multilabel
from bert_jax.tasks.regression import Regression
from bert_jax.tasks.scores.spread import bootstrap_interval
from bert_jax.tasks.tagging import Tagging

ANY = np.random.default_rng(0)
HALF = ANY.random(40) < 0.5


def text(label):
    return TextExample("x.tsv, line 1", None, "a", None, label)


CLASSIFIED = [text("a" if half else "b") for half in HALF], [{"label": "a"} for _ in HALF]
LABELLED = (
    [text(("a", "b") if half else ("b",)) for half in HALF],
    [
        {"labels": [name for name in "ab" if shares[name] >= 0.5], "probabilities": shares}
        for shares in [{"a": float(a), "b": float(b)} for a, b in ANY.random((40, 2))]
    ],
)
TAGGED = (
    [TaggingExample("x.txt, line 1", None, ("w", "w"), ("B-A", "O") if half else ("O", "B-B")) for half in HALF],
    [{"tags": ["B-A", "O"]} for _ in HALF],
)
ODD = (  # tags that are mistakes, of which LOC looks like the end of an entity in a scheme that marks ends
    [TaggingExample("x.txt, line 1", None, ("w", "w", "w"), ("B-A", "I-A", "LOC" if half else "O")) for half in HALF],
    [{"tags": ["B-A", "I-A", "O"] if half else ["B-A", "O", "O"]} for half in ANY.random(40) < 0.7],
)
NUMBERS = [text(float(n)) for n in range(40)], [{"score": float(n)} for n in ANY.random(40)]


@pytest.mark.parametrize(
    ("task", "answered"),
    [
        (Classification(("a", "b")), CLASSIFIED),
        (Multilabel(("a", "b"), (0.5, 0.5)), LABELLED),
        (Tagging(("B-A", "B-B", "O")), TAGGED),
        (Tagging(("B-A", "I-A", "O")), ODD),
        (Tagging(("B-A", "I-A", "O"), "strict"), ODD),
        (Regression(), NUMBERS),
    ],
    ids=lambda value: getattr(value, "kind", ""),
)
def test_the_interval_is_that_of_the_task_s_own_score(task, answered):
    examples, predictions = answered
    name = task.metrics[0].name

    def score(drawn):
        return task.scores([predictions[place] for place in drawn], [examples[place] for place in drawn])[name]

    wanted = bootstrap_interval(score, len(examples), samples=chance.SAMPLES)
    assert wanted[0] < wanted[1]
    assert chance.interval(task, predictions, examples) == pytest.approx(wanted)
