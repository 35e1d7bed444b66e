"""Scores of tags, against seqeval's own numbers and scikit-learn's."""

import sys
import warnings

import numpy as np
import pytest
from seqeval import metrics as seqeval
from seqeval.scheme import IOB2, IOBES
from sklearn import metrics

from bert_jax.errors import UserError
from bert_jax.tasks.scores import tagging as scores

TYPES = ["PER", "LOC", "ORG"]
STRAY = ([["B-X", "I-X", "O"]], [["I-X", "I-X", "O"]])  # gold, predicted: of seqeval#23


def random_tags(prefixes, seed, n=80):
    random = np.random.default_rng(seed)
    tags = ["O", "O", *(f"{prefix}-{type_}" for prefix in prefixes for type_ in TYPES)]
    gold = [random.choice(tags, random.integers(1, 15)).tolist() for _ in range(n)]
    predicted = [[tag if random.random() < 0.7 else random.choice(tags) for tag in sentence] for sentence in gold]
    return gold, [[str(tag) for tag in sentence] for sentence in predicted]


def theirs(gold, predicted, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scores_of = {"precision": seqeval.precision_score, "recall": seqeval.recall_score, "f1": seqeval.f1_score}
        return {name: score(gold, predicted, **options) for name, score in scores_of.items()}


@pytest.mark.parametrize("prefixes", ["BI", "I", "BIES"])
def test_the_default_convention_equals_seqeval(prefixes):
    gold, predicted = random_tags(prefixes, seed=len(prefixes))
    assert scores.tagging(gold, predicted) == pytest.approx(theirs(gold, predicted))


@pytest.mark.parametrize(("prefixes", "scheme"), [("BI", IOB2), ("BIES", IOBES)])
def test_the_strict_convention_equals_seqeval(prefixes, scheme):
    gold, predicted = random_tags(prefixes, seed=7)
    found = scores.tagging(gold, predicted, "strict")
    assert found == pytest.approx(theirs(gold, predicted, mode="strict", scheme=scheme))
    assert 0 < found["f1"] != scores.tagging(gold, predicted)["f1"]


def test_bilou_is_bioes_with_other_letters():
    gold, predicted = random_tags("BIES", seed=3)
    renamed = [
        [[{"E": "L", "S": "U"}.get(tag[0], tag[0]) + tag[1:] for tag in sentence] for sentence in sentences]
        for sentences in (gold, predicted)
    ]
    for convention in ("conlleval", "strict"):
        assert scores.tagging(*renamed, convention) == scores.tagging(gold, predicted, convention)


def test_a_stray_i_is_an_entity_by_default_only():
    assert scores.tagging(*STRAY) == {"precision": 1, "recall": 1, "f1": 1}
    assert scores.tagging(*STRAY, "strict") == {"precision": 0, "recall": 0, "f1": 0}


def test_strict_entities_are_from_their_first_word_to_their_last():
    assert scores.spans(["B-A", "I-A", "O", "B-B"], "strict") == {("A", 0, 1), ("B", 3, 3)}
    assert scores.spans(["B-A", "E-A", "S-B"], "strict", ends=True) == {("A", 0, 1), ("B", 2, 2)}


def test_ends_are_asked_for_where_only_gold_has_them():
    assert scores.span_counts([["B-A", "E-A"]], [["B-A", "I-A"]], "strict").tolist() == [[0, 0, 1]]


def test_tags_with_i_only_have_entities():
    gold = [["I-PER", "I-PER", "O", "I-LOC"]]
    assert scores.tagging(gold, gold)["f1"] == 1
    assert scores.spans(gold[0]) == {("PER", 0, 1), ("LOC", 3, 3)}


def test_types_that_are_only_predicted_have_a_row():
    gold, predicted = [["B-A", "O", "B-B"]], [["B-A", "B-C", "O"]]
    assert scores.per_type(gold, predicted) == {
        "A": {"precision": 1, "recall": 1, "f1": 1, "support": 1},
        "B": {"precision": 0, "recall": 0, "f1": 0, "support": 1},
        "C": {"precision": 0, "recall": 0, "f1": 0, "support": 0},
    }


def test_types_equal_seqeval():
    gold, predicted = random_tags("BI", seed=9)
    report = seqeval.classification_report(gold, predicted, output_dict=True)
    table = scores.per_type(gold, predicted)
    assert list(table) == sorted(TYPES)
    for type_, row in table.items():
        expected = report[type_] | {"f1": report[type_]["f1-score"]}
        assert row == pytest.approx({name: expected[name] for name in row})


@pytest.mark.parametrize("convention", ["conlleval", "strict"])
def test_nothing_to_find_neither_fails_nor_warns(convention):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert scores.tagging([["O", "O"], []], [["O", "O"], []], convention)["f1"] == 0
        assert scores.tagging([["O"]], [["B-A"]], convention)["f1"] == 0
        assert scores.tagging([["B-A"]], [["O"]], convention)["f1"] == 0


def test_counts_of_sentences_add_up():
    gold, predicted = random_tags("BI", seed=4)
    counts = scores.span_counts(gold, predicted)
    assert counts.shape == (len(gold), 3)
    chosen = [1, 1, 5]
    expected = scores.tagging([gold[k] for k in chosen], [predicted[k] for k in chosen])
    assert scores.from_counts(counts[chosen]) == pytest.approx(expected)


def test_tags_without_prefixes_are_scored_by_word():
    gold, predicted = [["NN", "VB"], ["NN", "-LRB-", "O"]], [["NN", "NN"], ["NN", "-LRB-", "JJ"]]
    flat = [[tag for tags in sentences for tag in tags] for sentences in (gold, predicted)]
    assert scores.word_scores(gold, predicted) == pytest.approx(
        {"accuracy": 0.6, "macro_f1": metrics.f1_score(*flat, average="macro", zero_division=0)}
    )


def test_a_library_that_is_missing_is_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "seqeval.metrics.sequence_labeling", None)
    with pytest.raises(UserError, match=r"^a tagging's score needs seqeval; run launch/setup.sh tasks$"):
        scores.tagging(*STRAY)
