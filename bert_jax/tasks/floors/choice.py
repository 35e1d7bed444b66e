"""A choice without a network: the one with most words of the text."""

from collections.abc import Sequence

import numpy as np

from bert_jax.tasks.floors import tfidf


def most_similar(train_texts: Sequence[str], texts: Sequence[str], choices: Sequence[Sequence[str]]) -> list[int]:
    """The number of the choice whose TF-IDF has the largest cosine with the text; of equal ones the first.

    Args:
      train_texts: texts and choices of the training file. How rare a word is comes from them and from those to choose
        among; of more than 100,000 so many are drawn.
      texts: to choose for.
      choices: of each text, one or more.
    """
    known = [train_texts[row] for row in tfidf.drawn(len(train_texts))]
    vectorizer = tfidf.of_words([*known, *texts, *(choice for some in choices for choice in some)])
    pairs = [(text, choice) for text, some in zip(texts, choices, strict=True) for choice in some]
    ends = np.cumsum([len(some) for some in choices])
    return [int(np.argmax(each)) for each in np.split(tfidf.cosines(vectorizer, pairs), ends[:-1])] if pairs else []
