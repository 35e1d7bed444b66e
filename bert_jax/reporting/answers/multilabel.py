"""Any number of labels an example: each with its threshold, and where the model was surest and wrong."""

from collections.abc import Iterator
from functools import partial

import numpy as np

from bert_jax.reporting.answers.parts import (
    MOST_MISTAKES,
    Answered,
    Card,
    Cards,
    Cell,
    Make,
    Option,
    Table,
    plain,
)
from bert_jax.reporting.percent import percent
from bert_jax.tasks.multilabel import Multilabel
from bert_jax.tasks.task import Prediction

_MOST_LABELS, _MOST_OPTIONS = 40, 8  # rows of the table; labels of an example


def multilabel_parts(task: Multilabel, answered: Answered) -> Iterator[Make]:
    """A table of labels, the worst mistakes."""
    yield partial(_label_table, task, answered)
    yield partial(_worst, answered)


def _label_table(task: Multilabel, answered: Answered) -> Table:
    gold = np.array([[label in one.label for label in task.labels] for one, _ in answered])
    given = np.array([[label in each["labels"] for label in task.labels] for _, each in answered])
    correct, predicted, support = (gold & given).sum(axis=0), given.sum(axis=0), gold.sum(axis=0)
    order = sorted(np.argsort(-support, kind="stable")[:_MOST_LABELS].tolist())
    rows = []
    for place in order:
        shares = (
            correct[place] / max(predicted[place], 1),
            correct[place] / max(support[place], 1),
            2 * correct[place] / max(predicted[place] + support[place], 1),
        )
        counts = (f"{support[place]:,}", f"{predicted[place]:,}", f"{task.thresholds[place]:.2f}")
        rows.append([Cell(task.labels[place]), *map(Cell, (*map(percent, shares), *counts))])
    some = f"Of {len(task.labels):,}, the {len(order)} most frequent. " if len(order) < len(task.labels) else ""
    explained = f"{some}A label is given from the threshold on: as chosen on the dev file, 0.5 without one."
    head = ("Label", "precision", "recall", "F1", "gold", "predicted", "threshold")
    return Table("Scores by label", explained, head, rows)


def _worst(answered: Answered) -> Cards:
    wrong = [(_surprise(each, one.label), one, each) for one, each in answered if set(each["labels"]) != set(one.label)]
    wrong.sort(key=lambda found: -found[0])
    cards = [
        Card(
            f"gold: {', '.join(one.label) or 'no label'}",
            plain(one.text, one.text2),
            _options(each, one.label),
            one.place,
        )
        for _, one, each in wrong[:MOST_MISTAKES]
    ]
    explained = f"{len(wrong):,} of {len(answered):,} have a wrong label or miss one. " + (
        "First those that it was surest of; ✗ was given and is wrong." * bool(cards)
    )
    return Cards("Worst mistakes", explained, cards)


def _surprise(prediction: Prediction, gold: list[str]) -> float:
    """How sure the model was of the label that it is the most wrong about."""
    wrong = set(prediction["labels"]) ^ set(gold)
    shares = {label: prediction["probabilities"].get(label, 0.0) for label in wrong}
    return max(1 - share if label in gold else share for label, share in shares.items())


def _options(prediction: Prediction, gold: list[str]) -> list[Option]:
    """Labels that are right or were given, likeliest first."""
    shown = [
        (label, share)
        for label, share in sorted(prediction["probabilities"].items(), key=lambda item: -item[1])
        if label in gold or label in prediction["labels"]
    ]
    given = prediction["labels"]
    return [
        Option(label if label in given else f"{label} (missed)", share, "right" if label in gold else "wrong")
        for label, share in shown[:_MOST_OPTIONS]
    ]
