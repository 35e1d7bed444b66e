"""Texts one by one are those of the whole table, and none is read before it is asked for."""

import dataclasses
import itertools

import pytest

from bert_jax.errors import UserError
from bert_jax.tasks.columns import Columns
from bert_jax.tasks.text_stream import stream_texts
from bert_jax.tasks.texts import read_texts

FILES = {
    "a.txt": "one\n\n two \r\nthree",
    "b.txt": "text\tlabel\na\tb\n",
    "c.tsv": 'id\ttext\nx\t"a\ny\t\n\n',
    "d.csv": 'sentence1,sentence2\n"a, ""b""",c\n\n"d\ne",f\n',
    "e.jsonl": '{"text": "a", "id": 3}\n\n{"id": null, "text": "b", "more": 1}\n',
}


@pytest.mark.parametrize("name", FILES)
def test_the_same_as_the_table(write, name):
    path = write(name, FILES[name])
    table = read_texts(path, Columns(), "class", need_labels=False)
    assert list(stream_texts(path, Columns())) == [dataclasses.replace(example, label=None) for example in table]


def test_each_row_has_its_own_id_and_title(write):
    rows = (
        '{"text": "a"}\n{"_id": 7, "title": "T", "text": "b"}\n{"_id": "c", "text": "c"}\n{"title": "T", "text": "d"}\n'
    )
    found = list(stream_texts(write("a.jsonl", rows), Columns()))
    assert [(one.id, one.text) for one in found] == [(None, "a"), (7, "T b"), ("c", "c"), (None, "d")]


def test_columns_without_a_header(write):
    path = write("a.tsv", "x\t1\ty\nz\t0\tw\n")
    found = list(stream_texts(path, Columns.of("text:0,text2:2")))
    assert [(one.text, one.text2) for one in found] == [("x", "y"), ("z", "w")]
    assert found[1].place == f"{path}, line 2"


def test_rows_are_read_when_they_are_asked_for(write):
    path = write("a.jsonl", '{"text": "a"}\n{"text": "b"}\n{"text": 7}\n')
    texts = stream_texts(path, Columns())
    assert [one.text for one in itertools.islice(texts, 2)] == ["a", "b"]
    with pytest.raises(UserError, match=r"line 3: 'text' is 7, not text"):
        next(texts)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", "", r"a\.txt has no rows; give one with text"),
        ("a.tsv", "text\tlabel\n", r"a\.tsv has no rows below its header"),
        ("a.tsv", "text\tlabel\na\tb\nc\n", r"line 3 has 1 cell and the first row 2"),
        ("a.xml", "<a>", r"its name does not say what it is"),
        ("a.jsonl", '{"title": "a", "body": "b"}\n', r"say which holds the text with --columns"),
    ],
)
def test_what_is_no_text(write, name, content, message):
    with pytest.raises(UserError, match=message):
        list(stream_texts(write(name, content), Columns()))


def test_a_second_text_that_the_first_row_has_not_is_not_left_out(write):
    path = write("a.jsonl", '{"text": "a"}\n{"id": 1, "text": "b"}\n{"text": "c", "text2": "d"}\n')
    with pytest.raises(
        UserError, match=r"line 3: the text is in 'text' and 'text2', and in the rows before in 'text';"
    ):
        list(stream_texts(path, Columns()))
    assert [one.text for one in stream_texts(path, Columns.of("text:text"))] == ["a", "b", "c"]
    more = '{"body": "a"}\n{"body": "b", "url": "x"}\n'  # more columns, by which nothing is decided
    assert [one.text for one in stream_texts(write("b.jsonl", more), Columns())] == ["a", "b"]
