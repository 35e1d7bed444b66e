"""Several labels a text without a network: words, each label against the rest."""

from collections.abc import Sequence

import numpy as np

from bert_jax.tasks.floors import tfidf
from bert_jax.tasks.floors.classification import regression
from bert_jax.tasks.libraries import FLOORS, needed, one_thread, quiet


def commonest(gold: np.ndarray) -> tuple[np.ndarray, float]:
    """The same labels for each text: how frequent each is, float64 [labels], and from which frequency on it is given.

    So many of the most frequent ones are given as have the best micro F1 on `gold`, bool [texts, labels], where there
    are labels.
    """
    counts = np.asarray(gold, bool).sum(axis=0)
    descending = np.sort(counts)[::-1]
    f1 = 2 * np.cumsum(descending) / (len(gold) * np.arange(1, len(counts) + 1) + counts.sum())
    return counts / len(gold), float(descending[f1.argmax()] / len(gold))


def words(texts: Sequence[str], gold: np.ndarray, test_texts: Sequence[str]) -> np.ndarray:
    """Probabilities of test_texts from TF-IDF of words and their pairs, by one logistic regression for each label.

    Args:
      texts: to learn from; of more than 100,000 so many are drawn, of fewer where there are many labels.
      gold: bool [texts, labels].
      test_texts: to label.

    Returns:
      float64 [test_texts, labels]; a label that no text has, or all have, is given 0, or 1.
    """
    with needed(FLOORS, "scikit-learn"):
        from sklearn.multiclass import OneVsRestClassifier
    gold = np.asarray(gold, bool)
    rows = tfidf.drawn(len(texts), gold.shape[1])
    texts, gold = [texts[row] for row in rows], gold[rows]
    probabilities = np.broadcast_to(gold.mean(axis=0), (len(test_texts), gold.shape[1])).astype(np.float64)
    vectorizer = tfidf.of_words_and_pairs(texts)
    varied = np.flatnonzero(gold.any(axis=0) & ~gold.all(axis=0))
    if vectorizer is None or not len(varied) or not test_texts:
        return probabilities
    # Without the weights of rare labels F1 at a threshold of .5 is poor: on hallmarks of cancer .544, not .718.
    model = OneVsRestClassifier(regression(10.0 if tfidf.are_long(texts) else 1.0, balanced=True))
    # A single column would be read as the one label of two classes.
    columns = gold[:, varied] if len(varied) > 1 else gold[:, varied[0]]
    with quiet(), one_thread():
        found = model.fit(vectorizer.transform(texts), columns).predict_proba(vectorizer.transform(test_texts))
    probabilities[:, varied] = found if len(varied) > 1 else found[:, 1:]
    return probabilities
