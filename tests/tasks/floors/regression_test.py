"""Simple regressions on real pairs, whose numbers are known from elsewhere."""

import pytest

from bert_jax.tasks.floors import regression as floors
from bert_jax.tasks.scores.regression import regression


@pytest.mark.parametrize(
    ("name", "first", "score", "pearson", "spearman"), [("sick", 1, 3, 0.701, 0.664), ("sts", 2, 1, 0.691, 0.668)]
)
def test_pairs(labelled_files, name, first, score, pearson, spearman):
    train, test = (
        [((row[first], row[first + 1]), float(row[score])) for row in labelled_files.rows(f"{name}/{part}.tsv")[1:]]
        for part in ("train", "test")
    )
    gold = [value for _, value in test]
    found = regression(gold, floors.pairs([p for p, _ in train], [s for _, s in train], [p for p, _ in test]))
    assert found["pearson"] >= pearson
    assert found["spearman"] >= spearman
    constant = floors.mean([value for _, value in train], len(gold))
    assert found["mse"] < regression(gold, constant)["mse"]


def test_words_say_more_than_the_mean(labelled_files):
    train, test = (labelled_files.json_lines(f"movie_reviews/{part}.jsonl.xz") for part in ("train", "test"))
    texts, test_texts = ([" ".join(row["text"].split()[:200]) for row in rows] for rows in (train, test))
    scores, gold = ([float(row["label"] == "pos") for row in rows] for rows in (train, test))
    found = regression(gold, floors.words(texts, scores, test_texts))
    assert found["pearson"] > 0.4
    assert found["mse"] < regression(gold, floors.mean(scores, len(gold)))["mse"]


def test_nothing_to_learn_from_is_the_mean():
    assert floors.mean([1, 2, 6], 2) == [3, 3]
    assert floors.words(["!", "?"], [1, 2], ["word"]) == [1.5]
    assert floors.words(["one word"], [1], []) == []
    assert floors.pairs([("a", "b")], [1], []) == []
    assert floors.pairs([("a", "b")], [2.5], [("c", "d")]) == [2.5]
