"""Scores of one label an example; how far its probability can be trusted."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from bert_jax.tasks.libraries import needed, quiet

_WHAT = "a classification's score needs"


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


def numbers(answers: Sequence[str], labels: Sequence[str]) -> np.ndarray:
    """int64 [examples]: the place of each answer among the labels, -1 if it is not there."""
    place = {label: number for number, label in enumerate(labels)}
    return np.asarray([place.get(answer, -1) for answer in answers], np.int64)


def confusion(gold: np.ndarray, predicted: np.ndarray, labels: int) -> np.ndarray:
    """Examples, int64 [gold label, predicted label], of so many labels.

    From `numbers`; examples of which one is -1 are left out.
    """
    known = (gold >= 0) & (predicted >= 0)
    cells = gold[known] * labels + predicted[known]
    return np.bincount(cells, minlength=labels * labels).reshape(labels, labels)


def from_confusion(matrix: np.ndarray) -> dict[str, float]:
    """The scores of `classification` from its confusion matrix: hundreds of times as quick, for many drawn test sets.

    The same to rounding where all labels are known. Matthews correlation of many labels: Gorodkin 2004.
    """
    total, right = matrix.sum(), np.diag(matrix)
    true, found = matrix.sum(axis=1), matrix.sum(axis=0)
    f1 = 2 * right / np.maximum(true + found, 1)
    spread = np.sqrt(float(total**2 - true @ true)) * np.sqrt(float(total**2 - found @ found))
    scores = {
        "accuracy": float(right.sum() / total),
        "macro_f1": float(f1.mean()),
        "weighted_f1": float(f1 @ true / total),
        "matthews": float(right.sum() * total - true @ found) / spread if spread else 0.0,
    }
    return scores | ({"f1": float(f1[1])} if len(matrix) == 2 else {})


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
