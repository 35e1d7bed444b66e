"""Similarity without a network: the words that two texts share."""

from collections.abc import Sequence

from bert_jax.tasks.floors import tfidf


def cosine(train_texts: Sequence[str], pairs: Sequence[tuple[str, str]]) -> list[float]:
    """The cosine of the TF-IDF of both texts of each pair, 0 to 1.

    Args:
      train_texts: how rare a word is comes from them; of more than 100,000 so many are drawn. Words that they do not
        have are left out.
      pairs: to compare.
    """
    known = [train_texts[row] for row in tfidf.drawn(len(train_texts))]
    return tfidf.cosines(tfidf.of_words(known), pairs).tolist()
