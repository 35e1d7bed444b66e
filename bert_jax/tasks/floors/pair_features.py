"""What two texts have in common, in ten numbers."""

import itertools
import math
import re
from collections import Counter
from collections.abc import Sequence

import numpy as np

Pair = tuple[str, str]

_WORD = re.compile(r"[\w']+")
_NEGATIONS = frozenset(
    ["no", "not", "none", "nobody", "nothing", "nowhere", "never", "neither", "nor", "without", "cannot"]
)


class PairFeatures:
    """Features of pairs of texts; how rare a word is comes from the pairs that it is made with."""

    def __init__(self, pairs: Sequence[Pair]) -> None:
        texts = [text for pair in pairs for text in pair]
        self._documents = Counter(word for text in texts for word in set(_words(text)))
        self._texts = len(texts)

    def __call__(self, pairs: Sequence[Pair]) -> np.ndarray:
        """float64 [pairs, 10]: overlaps of words, plain and weighted; lengths; who denies something."""
        return np.asarray([self._of_pair(_words(a), _words(b)) for a, b in pairs], np.float64).reshape(-1, 10)

    def _of_pair(self, a: list[str], b: list[str]) -> list[float]:
        first, second = set(a), set(b)
        common = self._weight(first & second)
        return [
            _share(len(first & second), len(first | second)),
            _share(common, self._weight(first)),
            _share(common, self._weight(second)),
            _share(common, self._weight(first | second)),
            _share(len(_neighbours(a) & _neighbours(b)), len(_neighbours(a) | _neighbours(b))),
            len(a),
            len(b),
            abs(len(a) - len(b)),
            _denies(first),
            _denies(second),
        ]

    def _weight(self, words: set[str]) -> float:
        """The sum of their inverse document frequencies."""
        return math.fsum(math.log((1 + self._texts) / (1 + self._documents[word])) + 1 for word in words)


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())


def _neighbours(words: list[str]) -> set[tuple[str, str]]:
    return set(itertools.pairwise(words))


def _denies(words: set[str]) -> bool:
    return any(word in _NEGATIONS or word.endswith("n't") for word in words)


def _share(part: float, whole: float) -> float:
    """0 of nothing."""
    return part / whole if whole else 0.0
