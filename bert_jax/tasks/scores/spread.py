"""How far a score is chance: over seeds, and over the examples of one test set."""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np


@dataclasses.dataclass(frozen=True)
class Spread:
    """One score over several seeds."""

    mean: float
    sd: float  # of the sample (n - 1); NaN of a single seed
    each: tuple[float, ...]  # in the order of the seeds


def over_seeds(values: Sequence[float]) -> Spread:
    """Mean and standard deviation of one or more values; NaN where one is NaN."""
    array = np.asarray(values, np.float64)
    return Spread(
        mean=float(array.mean()),
        sd=float(array.std(ddof=1)) if len(array) > 1 else float("nan"),
        each=tuple(array.tolist()),
    )


def bootstrap_interval(
    score: Callable[[np.ndarray], float], n: int, samples: int = 1000, seed: int = 0, level: float = 0.95
) -> tuple[float, float]:
    """The percentile interval of a score over test sets drawn with replacement from this one (Efron 1979).

    Args:
      score: the score of the examples of these numbers, int64 [n], each 0 to n - 1, some of them several times.
      n: examples in the test set, one or more.
      samples: how many test sets are drawn.
      seed: of the draws.
      level: share of the drawn scores that lies in the interval.

    Returns:
      Its lower and upper end. Draws whose score is NaN are left out; NaN, NaN if all are.
    """
    random = np.random.default_rng(seed)
    scores = np.asarray([score(random.integers(0, n, n)) for _ in range(samples)], np.float64)
    defined = scores[~np.isnan(scores)]
    if not len(defined):
        return float("nan"), float("nan")
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
