"""Classification without a network: the most frequent label, words, what two texts have in common."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from bert_jax.tasks.floors import tfidf
from bert_jax.tasks.floors.pair_features import Pair, PairFeatures
from bert_jax.tasks.libraries import FLOORS, needed, one_thread, quiet


def majority(labels: Sequence[str], n: int) -> list[str]:
    """The most frequent of the training labels, n times; of equally frequent ones the first of the alphabet."""
    counts = Counter(labels)
    return [min(counts, key=lambda label: (-counts[label], label))] * n


def words(texts: Sequence[str], labels: Sequence[str], test_texts: Sequence[str]) -> list[str]:
    """Labels of test_texts from TF-IDF of words and their pairs, by logistic regression.

    Args:
      texts: to learn from; of more than 100,000 so many are drawn, of fewer where there are many labels.
      labels: theirs.
      test_texts: to label.
    """
    rows = tfidf.drawn(len(texts), len(set(labels)))
    texts, labels = [texts[row] for row in rows], [labels[row] for row in rows]
    vectorizer = tfidf.of_words_and_pairs(texts)
    if vectorizer is None or len(set(labels)) < 2 or not test_texts:
        return majority(labels, len(test_texts))
    model = regression(10.0 if tfidf.are_long(texts) else 1.0, balanced=True)
    with quiet(), one_thread():
        return _learned(model, vectorizer.transform(texts), labels, vectorizer.transform(test_texts))


def pairs(texts: Sequence[Pair], labels: Sequence[str], test_texts: Sequence[Pair]) -> list[str]:
    """Labels of pairs of texts from ten numbers about what they have in common, by logistic regression.

    Arguments as those of `words`.
    """
    with needed(FLOORS, "scikit-learn"):
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler
    rows = tfidf.drawn(len(texts))
    texts, labels = [texts[row] for row in rows], [labels[row] for row in rows]
    if len(set(labels)) < 2 or not test_texts:
        return majority(labels, len(test_texts))
    features = PairFeatures(texts)
    model = make_pipeline(StandardScaler(), regression(1.0, balanced=False))
    with quiet(), one_thread():
        return _learned(model, features(texts), labels, features(test_texts))


def regression(strength: float, balanced: bool) -> Any:
    """A logistic regression that is not fitted yet; the greater the strength, the less it is held back.

    balanced: whether rare labels weigh as much as frequent ones.
    """
    with needed(FLOORS, "scikit-learn"):
        from sklearn.linear_model import LogisticRegression
    return LogisticRegression(C=strength, class_weight="balanced" if balanced else None, max_iter=1000)


def _learned(model: Any, features: Any, labels: Sequence[str], test_features: Any) -> list[str]:
    return [str(label) for label in model.fit(features, labels).predict(test_features)]
