"""Pairs with scores, and positives with negatives."""

import json

import pytest

from bert_jax.errors import UserError
from bert_jax.tasks.columns import PAIRS_AND_NEGATIVES, Columns
from bert_jax.tasks.pairs import read_pairs


def read(path, columns=None, need_labels=True, header=None):
    return read_pairs(path, Columns.of(columns, PAIRS_AND_NEGATIVES), need_labels, header)


@pytest.mark.parametrize(("name", "count"), [("sts/train", 3835), ("sts/test", 2845), ("sick/dev", 500)])
def test_scored_pairs(real, name, count):
    examples = read(real(f"{name}.tsv"))
    assert len(examples) == count
    assert all(0 <= e.score <= 5 and e.negatives == () for e in examples)


def test_positives_and_negatives(write):
    path = write("a.tsv", "anchor\tpositive\tnegative\tnegative_1\na\tb\tc\td\na\tb\t\td\na\tb\t\t\n")
    assert [(e.text, e.text2, e.score, e.negatives) for e in read(path)] == [
        ("a", "b", None, ("c", "d")),
        ("a", "b", None, ("d",)),
        ("a", "b", None, ()),
    ]
    assert [e.negatives for e in read(path, "text:anchor,text2:positive,negatives:negative_1")] == [("d",), ("d",), ()]
    assert [e.negatives for e in read(path, "text:0,text2:1,negatives:3+2")] == [("d", "c"), ("d",), ()]
    row = {"query": "a", "positive": "b", "negatives": ["c", "d"]}
    assert [e.negatives for e in read(write("a.jsonl", json.dumps(row)))] == [("c", "d")]
    row = {"anchor": "a", "positive": "b", "negative": ["c", "d"]}
    assert [e.negatives for e in read(write("a.jsonl", json.dumps(row)))] == [("c", "d")]
    assert [e.score for e in read(write("a.tsv", "sentence1\tsentence2\na\tb\n"))] == [None]


def test_labels_that_say_yes_or_no(write):
    rows = "".join(f"a\tb\t{label}\n" for label in ("1", "0", "duplicate", "not_duplicate", "True", "not equivalent"))
    path = write("a.tsv", "question1\tquestion2\tis_duplicate\n" + rows)
    assert [e.score for e in read(path)] == [1, 0, 1, 0, 1, 0]
    assert [e.score for e in read(write("a.jsonl", '{"text1": "a", "text2": "b", "label": true}'))] == [1]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("text\tscore\nx\t1\n", r"a\.tsv has one column of text, 'text', and a pair needs two; .*text2:NAME"),
        ("text1\ttext2\tscore\nx\ty\tnan\n", r"line 2: 'score' is 'nan', not a number"),
        ("text1\ttext2\tlabel\nx\ty\tentailment\n", r"line 2: 'label' is 'entailment', not a number"),
    ],
)
def test_what_is_no_pair(write, content, message):
    with pytest.raises(UserError, match=message):
        read(write("a.tsv", content))


def test_prediction_needs_no_scores(write):
    path = write("a.tsv", "text1\ttext2\tscore\nx\ty\t\nx\ty\t2\n")
    assert [e.score for e in read(path, need_labels=False)] == [None, 2]
    assert [e.score for e in read(path, "text:text1,text2:text2,label:3", need_labels=False)] == [
        None,
        None,
    ]


def test_scores_beside_negatives_are_told(write, caplog):
    path = write("a.tsv", "anchor\tpositive\tnegative\tscore\na\tb\tc\t0.5\n")
    assert [(e.score, e.negatives) for e in read(path)] == [(None, ("c",))]
    assert "a.tsv has negatives, by which a pair is learned; not read: score" in caplog.text
    two = write("b.tsv", "anchor\tpositive\tnegative\tscore\tsimilarity\na\tb\tc\t0.5\t1\n")
    assert [e.negatives for e in read(two, need_labels=False)] == [("c",)]
    with pytest.raises(UserError, match=r"a\.tsv has negatives, .*; leave label:score out of --columns"):
        read(path, "text:anchor,text2:positive,label:score")
