"""Scores of several labels an example, and the thresholds above which a label is given."""

import numpy as np

from bert_jax.tasks.libraries import needed, quiet

_MIDDLE = 0.5  # of equally good thresholds the one nearest to it is taken


def multilabel(gold: np.ndarray, probabilities: np.ndarray, thresholds: np.ndarray | float) -> dict[str, float]:
    """Scores over one or more examples.

    Args:
      gold: bool [examples, labels].
      probabilities: float [examples, labels].
      thresholds: float [labels], or one for all: a label is given where its probability is at least that.

    Returns:
      micro_f1; macro_f1 (without labels that neither gold nor predictions have: their F1 is 0/0);
      micro_average_precision; macro_average_precision (without labels that gold does not have); micro_roc_auc;
      precision_at_1 (of the examples that have a label, the share whose most probable label is one of theirs);
      subset_accuracy (all labels right). An average without anything to average over is 0 for F1, NaN for others.
    """
    gold = np.asarray(gold, bool)
    probabilities = np.asarray(probabilities, np.float64)
    given = probabilities >= thresholds
    micro, macro = _counts(gold.ravel(), given.ravel()), _counts(gold, given)
    return {
        "micro_f1": float(_f1(*micro)),
        "macro_f1": float(np.mean(_f1(*macro)[macro[1] + macro[2] > 0])) if np.any(gold | given) else 0.0,
        **_of_rankings(gold, probabilities),
        "subset_accuracy": float(np.mean(np.all(gold == given, axis=1))),
    }


def _of_rankings(gold: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    """The scores that need no threshold."""
    with needed("a multilabel score needs", "scikit-learn"):
        from sklearn import metrics
    names = ("micro_average_precision", "macro_average_precision", "micro_roc_auc", "precision_at_1")
    scores = dict.fromkeys(names, float("nan"))
    if not gold.any():
        return scores
    some, labelled = gold.any(axis=0), gold.any(axis=1)
    with quiet():
        precision = metrics.average_precision_score
        scores["micro_average_precision"] = float(precision(gold.ravel(), probabilities.ravel()))
        each = [precision(gold[:, label], probabilities[:, label]) for label in np.flatnonzero(some)]
        scores["macro_average_precision"] = float(np.mean(each))
        if not gold.all():
            scores["micro_roc_auc"] = float(metrics.roc_auc_score(gold.ravel(), probabilities.ravel()))
    best = np.take_along_axis(gold, probabilities.argmax(axis=1)[:, None], axis=1)[:, 0]
    scores["precision_at_1"] = float(np.mean(best[labelled]))
    return scores


def best_threshold(gold: np.ndarray, probabilities: np.ndarray) -> float:
    """The one threshold for all labels that gives the best micro F1. From held-out examples, never from the test's.

    Candidates are .5 and the middles between neighbouring probabilities; .5 is also taken where gold has no label.
    """
    gold, probabilities = np.asarray(gold, bool).ravel(), np.asarray(probabilities, np.float64).ravel()
    ascending = np.unique(probabilities)
    below = np.concatenate([[0.0], ascending[:-1]])
    middles = below + (ascending - below) / 2
    middles = np.where(middles > below, middles, ascending)  # where there is no number between the two
    candidates = np.unique(np.append(middles, _MIDDLE))
    sorted_all, sorted_gold = np.sort(probabilities), np.sort(probabilities[gold])
    given = len(sorted_all) - np.searchsorted(sorted_all, candidates)
    correct = len(sorted_gold) - np.searchsorted(sorted_gold, candidates)
    scores = _f1(correct, given, np.full_like(given, len(sorted_gold)))
    best = candidates[scores == scores.max()]
    return float(best[np.argmin(np.abs(best - _MIDDLE))])


def _counts(gold: np.ndarray, given: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Right ones, given ones and gold ones, over the first axis."""
    return (gold & given).sum(axis=0), given.sum(axis=0), gold.sum(axis=0)


def _f1(correct: np.ndarray, given: np.ndarray, gold: np.ndarray) -> np.ndarray:
    """0 where it is 0/0."""
    return 2 * correct / np.maximum(given + gold, 1)
