"""Scores of one label an example; how far its probability can be trusted."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from bert_jax.tasks.libraries import needed, quiet

_WHAT = "a classification's score"


def classification(gold: Sequence[str], predicted: Sequence[str], labels: Sequence[str]) -> dict[str, float]:
    """Scores over one or more examples.

    Args:
      gold: of each example.
      predicted: likewise.
      labels: all that the model knows, in its order. Those that no example has count 0 in macro F1, as everywhere where
        all labels are given.

    Returns:
      accuracy, macro_f1 (mean over labels), weighted_f1 (weighted by the label's examples) and matthews (-1 to 1; 0 if
      all answers are the same). With two labels also f1: that of the second, as for MRPC and QQP in GLUE.
    """
    with needed(_WHAT, "scikit-learn"):
        from sklearn import metrics
    gold, predicted, labels = list(gold), list(predicted), list(labels)

    def f1(average: str, of: list[str]) -> float:
        return float(metrics.f1_score(gold, predicted, labels=of, average=average, zero_division=0))

    with quiet():
        scores = {
            "accuracy": float(metrics.accuracy_score(gold, predicted)),
            "macro_f1": f1("macro", labels),
            "weighted_f1": f1("weighted", labels),
            "matthews": float(metrics.matthews_corrcoef(gold, predicted)),
        }
        if len(labels) == 2:
            scores["f1"] = f1("macro", labels[1:])  # of one label, whatever its name
    return scores


def per_label(gold: Sequence[str], predicted: Sequence[str], labels: Sequence[str]) -> dict[str, dict[str, float]]:
    """Label -> precision, recall, f1 and support (examples that have it), in the order of `labels`; 0 where 0/0."""
    with needed(_WHAT, "scikit-learn"):
        from sklearn import metrics
    with quiet():
        columns = metrics.precision_recall_fscore_support(
            list(gold), list(predicted), labels=list(labels), average=None, zero_division=0
        )
    names = ("precision", "recall", "f1", "support")
    rows = np.asarray(columns, np.float64).T.tolist()
    return {label: dict(zip(names, row, strict=True)) for label, row in zip(labels, rows, strict=True)}


def confusion(gold: Sequence[str], predicted: Sequence[str], labels: Sequence[str]) -> np.ndarray:
    """int64 [gold label, predicted label]: examples. Examples with a label that is not in `labels` are left out."""
    number = {label: place for place, label in enumerate(labels)}
    pairs = [(number[g], number[p]) for g, p in zip(gold, predicted, strict=True) if g in number and p in number]
    matrix = np.zeros((len(labels), len(labels)), np.int64)
    np.add.at(matrix, tuple(np.asarray(pairs, np.int64).reshape(-1, 2).T), 1)
    return matrix


@dataclasses.dataclass(frozen=True)
class ReliabilityBin:
    """The examples whose best probability is more than `low` and at most `high` (0 is in the first bin)."""

    low: float
    high: float
    count: int
    confidence: float  # mean of their best probabilities; NaN without examples
    accuracy: float  # share of them that are right; NaN without examples


def reliability(
    gold: Sequence[str], probabilities: np.ndarray, labels: Sequence[str], bins: int = 10
) -> list[ReliabilityBin]:
    """Confidence beside accuracy in bins of equal width (Guo et al. 2017, "On Calibration of Modern Neural Networks").

    Args:
      gold: of each example.
      probabilities: float [examples, labels].
      labels: the names of the columns.
      bins: how many.
    """
    probabilities = np.asarray(probabilities, np.float64).reshape(len(gold), len(labels))
    confidence = probabilities.max(axis=1)
    right = np.asarray([labels[place] for place in probabilities.argmax(axis=1)], object) == np.asarray(gold, object)
    edges = np.linspace(0, 1, bins + 1)
    place = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, bins - 1)
    return [
        ReliabilityBin(
            low=float(edges[number]),
            high=float(edges[number + 1]),
            count=int(np.sum(place == number)),
            confidence=_mean(confidence[place == number]),
            accuracy=_mean(right[place == number]),
        )
        for number in range(bins)
    ]


def calibration_error(bins: Sequence[ReliabilityBin]) -> float:
    """Expected calibration error: the mean of |accuracy - confidence| over bins, weighted by their examples."""
    examples = sum(a_bin.count for a_bin in bins)
    gaps = [a_bin.count * abs(a_bin.accuracy - a_bin.confidence) for a_bin in bins if a_bin.count]
    return sum(gaps) / examples if examples else float("nan")


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else float("nan")
