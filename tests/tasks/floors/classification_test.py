"""Simple classifiers on real files, whose numbers are known from elsewhere."""

import sys

import pytest
from sklearn import metrics

from bert_jax.errors import UserError
from bert_jax.tasks.floors import classification as floors
from bert_jax.tasks.floors import tfidf


def test_acceptable_sentences(labelled_files):
    train = labelled_files.rows("cola/train.tsv")
    for file, expected in (("cola/dev_in_domain.tsv", 0.19), ("cola/dev_out_of_domain.tsv", 0.13)):
        test = labelled_files.rows(file)
        texts, labels = [row[3] for row in train], [row[1] for row in train]
        found = floors.words(texts, labels, [row[3] for row in test])
        assert round(metrics.matthews_corrcoef([row[1] for row in test], found), 2) == expected


@pytest.mark.parametrize(
    ("file", "accuracy"), [("cola/dev_in_domain.tsv", 0.693), ("cola/dev_out_of_domain.tsv", 0.686)]
)
def test_all_sentences_are_acceptable(labelled_files, file, accuracy):
    labels = [row[1] for row in labelled_files.rows("cola/train.tsv")]
    gold = [row[1] for row in labelled_files.rows(file)]
    assert round(metrics.accuracy_score(gold, floors.majority(labels, len(gold))), 3) == accuracy


@pytest.mark.slow
@pytest.mark.parametrize(("first_words", "accuracy"), [(100, 0.630), (400, 0.850), (None, 0.910)])
def test_reviews(labelled_files, first_words, accuracy):
    train, test = (labelled_files.json_lines(f"movie_reviews/{name}.jsonl.xz") for name in ("train", "test"))
    texts, test_texts = ([" ".join(row["text"].split()[:first_words]) for row in rows] for rows in (train, test))
    found = floors.words(texts, [row["label"] for row in train], test_texts)
    assert metrics.accuracy_score([row["label"] for row in test], found) == pytest.approx(accuracy)


def test_pairs(labelled_files):
    train, test = (labelled_files.rows(f"sick/{name}.tsv")[1:] for name in ("train", "test"))
    gold = [row[4] for row in test]
    labels = [row[4] for row in train]
    assert round(metrics.accuracy_score(gold, floors.majority(labels, len(gold))), 3) == 0.567
    found = floors.pairs([(row[1], row[2]) for row in train], labels, [(row[1], row[2]) for row in test])
    assert metrics.accuracy_score(gold, found) >= 0.757


def test_one_label_or_no_word_is_the_majority():
    assert floors.words(["a word", "more words"], ["x", "x"], ["a word", "?"]) == ["x", "x"]
    assert floors.words(["!", "?", "..."], ["x", "y", "y"], ["words"]) == ["y"]
    assert floors.words(["some words", "others"], ["x", "y"], []) == []
    assert floors.pairs([("a", "b")], ["x"], [("c", "d")]) == ["x"]
    assert floors.pairs([("", ""), ("a b", "a")], ["x", "y"], [("", "")]) == ["x"]
    assert floors.majority(["b", "a", "c", "b", "a"], 2) == ["a", "a"]


def test_of_too_many_rows_the_same_are_drawn_each_time(monkeypatch):
    monkeypatch.setattr(tfidf, "MOST_ROWS", 10)
    rows = tfidf.drawn(1000)
    assert len(set(rows.tolist())) == 10
    assert rows.tolist() == sorted(rows.tolist()) == tfidf.drawn(1000).tolist()
    assert tfidf.drawn(7).tolist() == list(range(7))
    assert len(tfidf.drawn(1000, labels=100_000)) == 5
    assert len(floors.words([f"word {n}" for n in range(1000)], ["x", "y"] * 500, ["word"])) == 1


def test_a_library_that_is_missing_is_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.feature_extraction.text", None)
    with pytest.raises(
        UserError, match=r"^the floors \(scores of simple methods\) need scikit-learn; run launch/setup.sh tasks$"
    ):
        floors.words(["a", "b"], ["x", "y"], ["a"])
