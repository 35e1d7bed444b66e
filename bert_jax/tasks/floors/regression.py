"""Numbers without a network: their mean, words, what two texts have in common."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from bert_jax.tasks.floors import tfidf
from bert_jax.tasks.floors.pair_features import Pair, PairFeatures
from bert_jax.tasks.libraries import FLOORS, needed, one_thread


def mean(scores: Sequence[float], n: int) -> list[float]:
    """The mean of the training scores, n times."""
    return [float(np.mean(scores))] * n


def words(texts: Sequence[str], scores: Sequence[float], test_texts: Sequence[str]) -> list[float]:
    """Scores of test_texts from TF-IDF of words and their pairs, by ridge regression.

    Args:
      texts: to learn from; of more than 100,000 so many are drawn.
      scores: theirs.
      test_texts: to score.
    """
    rows = tfidf.drawn(len(texts))
    texts, scores = [texts[row] for row in rows], [scores[row] for row in rows]
    vectorizer = tfidf.of_words_and_pairs(texts)
    if vectorizer is None or not test_texts:
        return mean(scores, len(test_texts))
    return _learned(_ridge(), vectorizer.transform(texts), scores, vectorizer.transform(test_texts))


def pairs(texts: Sequence[Pair], scores: Sequence[float], test_texts: Sequence[Pair]) -> list[float]:
    """Scores of pairs of texts from ten numbers about what they have in common, by ridge regression.

    Arguments as those of `words`.
    """
    with needed(FLOORS, "scikit-learn"):
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler
    rows = tfidf.drawn(len(texts))
    texts, scores = [texts[row] for row in rows], [scores[row] for row in rows]
    if not test_texts:
        return []
    features = PairFeatures(texts)
    return _learned(make_pipeline(StandardScaler(), _ridge()), features(texts), scores, features(test_texts))


def _ridge() -> Any:
    with needed(FLOORS, "scikit-learn"):
        from sklearn.linear_model import Ridge
    return Ridge(1.0)


def _learned(model: Any, features: Any, scores: Sequence[float], test_features: Any) -> list[float]:
    with one_thread():
        return np.asarray(model.fit(features, scores).predict(test_features), np.float64).tolist()
