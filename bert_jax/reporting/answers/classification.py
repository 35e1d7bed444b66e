"""One label an example: which labels it knows, which it takes for another, how far its confidence can be trusted."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial

import numpy as np

from bert_jax.reporting.answer_figures import reliability_figure
from bert_jax.reporting.answers.parts import (
    MOST_MISTAKES,
    Answered,
    Card,
    Cards,
    Cell,
    Drawing,
    Make,
    Option,
    Table,
    cells,
    plain,
)
from bert_jax.reporting.percent import percent
from bert_jax.tasks.classification import Classification
from bert_jax.tasks.scores import classification as scores
from bert_jax.tasks.task import Prediction

_MOST_IN_MATRIX = 15  # labels; of more, pairs are listed
_MOST_PAIRS, _MOST_LABELS = 20, 40  # rows of a table
_SHOWN_OPTIONS = 3


def classification_parts(task: Classification, answered: Answered) -> Iterator[Make]:
    """A table of labels, confusions, calibration, the worst mistakes."""
    gold, predicted = [one.label for one, _ in answered], [each["label"] for _, each in answered]
    yield partial(label_table, gold, predicted, task.labels)
    yield partial(confusions, gold, predicted, task.labels)
    yield partial(_calibration, gold, answered, task.labels)
    yield partial(_worst, answered)


def classification_remark(answered: Answered) -> str:
    """That the model has learned no more than one label; "" if it has."""
    said = {each["label"] for _, each in answered}
    return f"It says “{said.pop()}” to everything." if len(said) == 1 else ""


def label_table(gold: Sequence[str], predicted: Sequence[str], labels: Sequence[str], what: str = "Label") -> Table:
    """Precision, recall and F1 of each label; of many, of those that most examples have."""
    found = scores.per_label(gold, predicted, labels)
    shown = sorted(labels, key=lambda label: -found[label]["support"])[:_MOST_LABELS]
    said = Counter(predicted)
    rows = [
        cells(label, *shares_of(found[label]), f"{found[label]['support']:,.0f}", f"{said[label]:,}")
        for label in labels
        if label in shown
    ]
    some = f"Of {len(labels):,}, the {len(shown)} most frequent." if len(shown) < len(labels) else ""
    return Table(f"Scores by {what.lower()}", some, (what, "precision", "recall", "F1", "gold", "predicted"), rows)


def shares_of(found: Mapping[str, float]) -> list[str]:
    """Precision, recall and F1 for a table."""
    return [percent(found[name]) for name in ("precision", "recall", "f1")]


def confusions(gold: Sequence[str], predicted: Sequence[str], labels: Sequence[str]) -> Table | None:
    """The confusion matrix, or the most frequent confusions where there are many labels."""
    matrix = scores.confusion(scores.numbers(gold, labels), scores.numbers(predicted, labels), len(labels))
    return _matrix(matrix, labels) if len(labels) <= _MOST_IN_MATRIX else _pairs(matrix, labels)


def _matrix(matrix: np.ndarray, labels: Sequence[str]) -> Table:
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    rows = [
        [Cell(label), *(Cell(f"{count:,}", float(share)) for count, share in zip(counts, of_row, strict=True))]
        for label, counts, of_row in zip(labels, matrix.tolist(), shares.tolist(), strict=True)
    ]
    explained = "A row is a gold label, a column what the model said; the darker, the larger the share of the row."
    return Table("Confusion matrix", explained, ("gold ↓ predicted →", *labels), rows)


def _pairs(matrix: np.ndarray, labels: Sequence[str]) -> Table | None:
    wrong = matrix.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:_MOST_PAIRS]
    places = [divmod(int(place), len(labels)) for place in order]
    rows = [
        cells(labels[true], labels[said], f"{wrong[true, said]:,}", percent(wrong[true, said] / matrix[true].sum()))
        for true, said in places
        if wrong[true, said]
    ]
    head = ("gold", "predicted", "examples", "of the gold label's")
    return Table("Most frequent confusions", "", head, rows, text_columns=2) if rows else None


def _calibration(gold: Sequence[str], answered: Answered, labels: Sequence[str]) -> Drawing:
    probabilities = np.array([[each["probabilities"].get(label, 0.0) for label in labels] for _, each in answered])
    bins = scores.reliability(gold, probabilities, labels)
    explained = (
        "How often the model is right, by how sure it is; numbers are examples. On the dashed line both are equal; "
        f"below it the model is too sure. They differ by {percent(scores.calibration_error(bins))} on average "
        "(expected calibration error)."
    )
    return Drawing("Calibration", explained, reliability_figure(bins))


def _worst(answered: Answered) -> Cards:
    wrong = [(one, each) for one, each in answered if each["label"] != one.label]
    wrong.sort(key=lambda pair: -_confidence(pair[1]))
    cards = [
        Card(
            f"{one.label} taken for {each['label']}",
            plain(one.text, one.text2),
            _options(each, one.label),
            one.place,
        )
        for one, each in wrong[:MOST_MISTAKES]
    ]
    explained = f"{len(wrong):,} of {len(answered):,} are wrong. " + (
        "First those that it was surest of." * bool(cards)
    )
    return Cards("Worst mistakes", explained, cards)


def _confidence(prediction: Prediction) -> float:
    return float(prediction["probabilities"].get(prediction["label"], 0.0))


def _options(prediction: Prediction, gold: str) -> list[Option]:
    """The likeliest labels and the right one, likeliest first."""
    shares = sorted(prediction["probabilities"].items(), key=lambda item: -item[1])
    shown = [item for place, item in enumerate(shares) if place < _SHOWN_OPTIONS or item[0] == gold]
    said = prediction["label"]
    return [
        Option(label, share, "right" if label == gold else "wrong" if label == said else "") for label, share in shown
    ]
