"""TF-IDF of words, and how many examples and features a floor learns from."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from bert_jax.tasks.libraries import FLOORS, needed

MOST_ROWS = 100_000  # that a floor learns from; of more, so many are drawn
_MOST_ANSWERS = 500_000  # rows times labels, where there is one model for each label
_MOST_FEATURES = 200_000
_LONG = 50  # words of a text on average
_SINGLE_LETTERS_TOO = r"(?u)\b\w+\b"


def drawn(rows: int, labels: int = 1, seed: int = 0) -> np.ndarray:
    """int64: the rows to learn from, in order; all of them unless they are too many to take seconds."""
    most = min(MOST_ROWS, max(_MOST_ANSWERS // max(labels, 1), 1))
    if rows <= most:
        return np.arange(rows)
    return np.sort(np.random.default_rng(seed).choice(rows, most, replace=False))


def are_long(texts: Sequence[str]) -> bool:
    """Whether these are documents rather than sentences: they have rare words enough, and are told apart by many."""
    return sum(len(text.split()) for text in texts) >= _LONG * max(len(texts), 1)


def of_words_and_pairs(texts: Sequence[str]) -> Any:
    """A vectorizer fitted on texts: words and pairs of neighbouring words, sublinear; None if they have no word.

    Of documents only what occurs in two of them.
    """
    return _fitted(texts, ngram_range=(1, 2), min_df=2 if are_long(texts) and len(texts) > 2 else 1)


def of_words(texts: Sequence[str]) -> Any:
    """A vectorizer fitted on texts: words, those of one letter too, sublinear; None if they have no word."""
    return _fitted(texts, token_pattern=_SINGLE_LETTERS_TOO)


def cosines(vectorizer: Any, pairs: Sequence[tuple[str, str]]) -> np.ndarray:
    """float64 [pairs]: the cosine of both texts' vectors; 0 without a vectorizer or a known word."""
    if vectorizer is None or not pairs:
        return np.zeros(len(pairs))
    first, second = (vectorizer.transform(list(texts)) for texts in zip(*pairs, strict=True))
    return np.asarray(first.multiply(second).sum(axis=1), np.float64).ravel()  # the vectors have length 1


def _fitted(texts: Sequence[str], **options: Any) -> Any:
    with needed(FLOORS, "scikit-learn"):
        from sklearn.feature_extraction.text import TfidfVectorizer
    vectorizer = TfidfVectorizer(sublinear_tf=True, max_features=_MOST_FEATURES, **options)
    try:
        return vectorizer.fit(texts)
    except ValueError:  # "empty vocabulary", or none of the words is in two documents
        return None
