"""Scores of one number an example."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from bert_jax.tasks.libraries import needed, quiet


def regression(gold: Sequence[float], predicted: Sequence[float]) -> dict[str, float]:
    """Correlations and errors over one or more examples: pearson, spearman (-1 to 1), mse and mae.

    A correlation is NaN where it is not defined: numbers that are all the same, fewer than two, or not finite.
    """
    with needed("a regression's score needs", "scipy"):
        from scipy import stats
    gold_array, predicted_array = np.asarray(gold, np.float64), np.asarray(predicted, np.float64)
    errors = predicted_array - gold_array
    return {
        "pearson": _correlation(stats.pearsonr, gold_array, predicted_array),
        "spearman": _correlation(stats.spearmanr, gold_array, predicted_array),
        "mse": float(np.mean(errors**2)),
        "mae": float(np.mean(np.abs(errors))),
    }


def _correlation(of: Callable[..., Any], gold: np.ndarray, predicted: np.ndarray) -> float:
    if len(gold) < 2 or not (np.isfinite(gold).all() and np.isfinite(predicted).all()):
        return float("nan")
    with quiet():
        return float(of(gold, predicted).statistic)
