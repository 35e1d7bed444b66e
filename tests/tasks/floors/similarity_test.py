"""The cosine of TF-IDF."""

import pytest

from bert_jax.tasks.floors.similarity import cosine
from bert_jax.tasks.scores.regression import regression


@pytest.mark.parametrize(
    ("name", "first", "score", "spearman", "pearson"), [("sts", 2, 1, 0.601, 0.607), ("sick", 1, 3, 0.589, 0.621)]
)
def test_pairs(labelled_files, name, first, score, spearman, pearson):
    train, test = (labelled_files.rows(f"{name}/{part}.tsv")[1:] for part in ("train", "test"))
    known = [text for row in train for text in row[first : first + 2]]
    found = cosine(known, [(row[first], row[first + 1]) for row in test])
    scores = regression([float(row[score]) for row in test], found)
    assert round(scores["spearman"], 3) == spearman
    assert round(scores["pearson"], 3) == pearson


def test_texts_without_known_words_have_nothing_in_common():
    assert cosine(["a word"], [("word a", "a word"), ("other", "other"), ("", "a")]) == pytest.approx([1, 0, 0])
    assert cosine([], [("a", "a")]) == [0]
    assert cosine(["a"], []) == []
