"""Texts with a class, classes or a number: real files against their plain lines, and each way a row can be wrong."""

import collections
import json
import lzma
from pathlib import Path

import pytest

from bert_jax.errors import UserError
from bert_jax.tasks.columns import Columns
from bert_jax.tasks.texts import read_texts


def read(path, columns=None, kind="class", need_labels=True, header=None):
    return read_texts(path, Columns.of(columns), kind, need_labels, header)


def labels(path, **options):
    return [example.label for example in read(path, **options)]


# Real files.


@pytest.mark.parametrize(("name", "count"), [("train", 8551), ("dev_in_domain", 527), ("dev_out_of_domain", 516)])
def test_cola_has_no_header(real, name, count):
    path = real(f"cola/{name}.tsv")
    examples = read(path, "text:3,label:1")
    lines = [line.split("\t") for line in Path(path).read_text().split("\n") if line]
    assert [(e.text, e.label) for e in examples] == [(line[3], line[1]) for line in lines]
    assert len(examples) == count
    assert {e.text2 for e in examples} == {e.id for e in examples} == {None}
    with pytest.raises(UserError, match=r"line 1: is it a header"):
        read(path)


@pytest.mark.parametrize(("name", "count"), [("train", 4500), ("dev", 500), ("test", 4927)])
def test_sick_has_classes_and_numbers(real, name, count):
    examples, scored = (read(real(f"sick/{name}.tsv"), kind=kind) for kind in ("class", "number"))
    assert len(examples) == count
    classes = collections.Counter(e.label for e in examples)
    assert classes.most_common(1)[0][0] == "NEUTRAL"
    assert set(classes) == {"NEUTRAL", "ENTAILMENT", "CONTRADICTION"}
    assert round(classes["NEUTRAL"] / count, 2) in (0.56, 0.57)
    assert all(1 <= e.label <= 5 for e in scored)
    assert [(e.id, e.text, e.text2, e.place) for e in examples] == [(e.id, e.text, e.text2, e.place) for e in scored]
    assert examples == read(real(f"sick/{name}.tsv"), "text:1,text2:2,label:4,id:0")


@pytest.mark.parametrize(("name", "count"), [("train", 3835), ("dev", 750), ("test", 2845)])
def test_sts(real, name, count):
    path = real(f"sts/{name}.tsv")
    examples = read(path, kind="number")
    lines = [line.split("\t") for line in Path(path).read_text().split("\n")[1:] if line]
    assert [(e.text, e.text2, e.label) for e in examples] == [(a, b, float(score)) for _, score, a, b in lines]
    assert len(examples) == count


@pytest.mark.parametrize(("name", "count"), [("train", 1296), ("dev", 185), ("test", 371)])
def test_hallmarks_of_cancer(real, name, count):
    path = real(f"hoc/{name}.jsonl.xz")
    examples = read(path, kind="labels")
    with lzma.open(path, "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    assert [(e.id, e.text, list(e.label)) for e in examples] == [(r["id"], r["text"], r["labels"]) for r in rows]
    assert len(examples) == count


def test_all_of_hallmarks_of_cancer(real):
    examples = [e for part in ("train", "dev", "test") for e in read(real(f"hoc/{part}.jsonl.xz"), kind="labels")]
    assert sum(e.label == () for e in examples) == 272
    assert len({label for e in examples for label in e.label}) == 10


def test_movie_reviews(real):
    counts = {name: len(read(real(f"movie_reviews/{name}.jsonl.xz"))) for name in ("train", "dev", "test")}
    assert counts == {"train": 1600, "dev": 200, "test": 200}


# Labels.


def test_classes_are_text(write):
    rows = [{"text": "x", "label": label} for label in ("pos", " pos ", 1, 1.0, True, False, -1, "null", "NA")]
    path = write("a.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    assert labels(path) == ["pos", "pos", "1", "1.0", "True", "False", "-1", "null", "NA"]


@pytest.mark.parametrize(
    ("cell", "classes"),
    [
        ("a", ("a",)),
        ("a, b ,c", ("a", "b", "c")),
        ("a|b, c|", ("a", "b, c")),
        ("a, b|", ("a, b",)),
        ("b,a,b", ("b", "a")),
        ("", ()),
        (" ", ()),
        ('["a, b", "c"]', ("a, b", "c")),
        ("[]", ()),
        ("[1, 2]", ("1", "2")),
    ],
)
def test_classes_in_a_cell(write, cell, classes):
    assert labels(write("a.tsv", f"text\tlabels\nx\t{cell}\n"), kind="labels") == [classes]
    row = json.dumps({"text": "x", "labels": cell})
    assert labels(write("a.jsonl", row), kind="labels") == [classes]
    assert labels(write("b.jsonl", json.dumps({"text": "x", "labels": list(classes)})), kind="labels") == [classes]


def test_numbers(write):
    cells = ["1", " 2.5 ", "-3e-2", "+.5"]
    assert labels(write("a.tsv", "text\tscore\n" + "".join(f"x\t{c}\n" for c in cells)), kind="number") == [
        1,
        2.5,
        -0.03,
        0.5,
    ]
    assert labels(write("a.jsonl", '{"text": "x", "label": 3}\n'), kind="number") == [3.0]


@pytest.mark.parametrize(
    "value", ["nan", "inf", "-Infinity", "high", "", "3,5", "1_000", "1e999", True, None, [1], 10**400]
)
def test_what_is_no_number(write, value):
    path = write("a.jsonl", json.dumps({"text": "x", "label": 1}) + "\n" + json.dumps({"text": "x", "label": value}))
    with pytest.raises(UserError, match=r"a\.jsonl, line 2: 'label' is .*, not a number.*; fix or remove the row") as e:
        read(path, kind="number")
    assert len(str(e.value)) < 250 + len(path)
    assert labels(path, kind="number", need_labels=False) == [1.0, None]


@pytest.mark.parametrize("value", ["", "  ", None, float("nan"), ["a"], {"a": 1}])
def test_what_is_no_class(write, value):
    path = write("a.jsonl", '{"text": "x", "label": "a"}\n' + json.dumps({"text": "x", "label": value}))
    with pytest.raises(UserError, match=r"a\.jsonl, line 2 has (no label|a label that is a list or object) in 'label'"):
        read(path)
    assert labels(path, need_labels=False) == ["a", None]


@pytest.mark.parametrize("value", ["['a', 'b']", None, [["a"]], [None], [""], [float("nan")], float("nan")])
def test_what_is_no_list_of_classes(write, value):
    path = write("a.jsonl", json.dumps({"text": "x", "labels": value}))
    with pytest.raises(UserError, match=r"a\.jsonl, line 1"):
        read(path, kind="labels")
    assert labels(path, kind="labels", need_labels=False) == [None]


# Labels that are not needed, and columns.


@pytest.mark.parametrize("kind", ["class", "labels", "number"])
@pytest.mark.parametrize("columns", [None, "text:text", "text:text,label:label"])
def test_prediction_needs_no_labels(write, kind, columns):
    path = write("a.tsv", "id\ttext\n7\tx\n8\t\n")
    found = read(path, columns, kind, need_labels=False)
    assert [(e.id, e.text, e.label) for e in found] == [("7", "x", None), ("8", "", None)]
    with pytest.raises(
        UserError, match=r"a\.tsv has no column (that is known to be the label, but|'label' but) id, text"
    ):
        read(path, columns, kind)


def test_each_line_of_text_is_a_row(write):
    assert [e.text for e in read(write("a.txt", "x\n\ny\n"), need_labels=False)] == ["x", "", "y"]


def test_a_single_column_is_the_text_whatever_it_is_called(write):
    assert [e.text for e in read(write("a.tsv", "body\nx\n"), header=True, need_labels=False)] == ["x"]
    assert [(e.text, e.label) for e in read(write("a.tsv", "x\t1\n"), "label:1")] == [("x", "1")]
    with pytest.raises(UserError, match=r"has the columns label, none of a known name"):
        read(write("a.jsonl", '{"label": "a"}'), need_labels=False)


def test_an_empty_second_text_is_one(write):
    path = write("a.tsv", "sentence1\tsentence2\tlabel\nx\t\t1\n\ty\t0\n")
    assert [(e.text, e.text2) for e in read(path)] == [("x", ""), ("", "y")]
    assert [(e.text, e.text2) for e in read(path, "text:sentence2")] == [("", None), ("y", None)]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"text": None, "label": "a"}, r"line 2: 'text' is null, not text; fix it"),
        ({"label": "a"}, r"line 2: 'text' is missing, not text"),
        ({"text": 5, "label": "a"}, r"line 2: 'text' is 5, not text"),
        ({"text": ["x"], "label": "a"}, r"line 2: 'text' is \[\"x\"\], not text"),
    ],
)
def test_a_text_that_is_none(write, row, message):
    path = write("a.jsonl", '{"text": "x", "label": "a"}\n' + json.dumps(row))
    for need_labels in (True, False):
        with pytest.raises(UserError, match=message):
            read(path, need_labels=need_labels)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ("text:body,label:label", r"a\.tsv, line 1 has no column 'body' but text, label; correct --columns"),
        ("text:0,label:2", r"a\.tsv has no column '2' but text, label; correct label: in --columns"),
        ("text:0,id:9,label:1", r"a\.tsv has no column '9' but text, label; correct id: in --columns"),
    ],
)
def test_a_column_that_is_not_there(write, columns, message):
    with pytest.raises(UserError, match=message) as caught:
        read(write("a.tsv", "text\tlabel\nx\t1\n"), columns)
    assert "\n" not in str(caught.value)
