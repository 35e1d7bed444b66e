"""Answers as lines of each format."""

import json

import pytest

from bert_jax.inference.answers import conll, json_lines, table
from bert_jax.tasks.columns import Columns
from bert_jax.tasks.examples import TaggingExample, TextExample
from bert_jax.tasks.texts import read_texts


@pytest.mark.parametrize(
    ("labels", "cell"),
    [
        (["a b", "c"], "a b|c"),
        (["one"], "one"),
        ([], ""),
        (["a, b"], '["a, b"]'),
        (["a|b", "ü"], '["a|b", "ü"]'),
        (["[a]", "c"], '["[a]", "c"]'),
    ],
)
def test_labels_of_a_table_are_read_back_as_they_were(tmp_path, labels, cell):
    example = TextExample("in.tsv, line 1", "x1", "the cat", None, None)
    lines = list(table([(example, {"labels": labels, "probabilities": {"a b": 0.25}})]))
    assert lines == ["id\tlabels\tprobabilities.a b", f"x1\t{cell}\t0.25"]
    (tmp_path / "out.tsv").write_text("".join(f"{line}\n" for line in lines))
    columns = Columns.of("text:id,label:labels")
    assert [row.label for row in read_texts(str(tmp_path / "out.tsv"), columns, "labels", True)] == [tuple(labels)]


def test_a_table_has_a_line_a_row_and_ids_as_they_are():
    examples = [TextExample("in.jsonl", number, "the cat", None, None) for number in (1234567.0, 1234568.0, "a\tb")]
    answered = [(example, {"label": "x", "probabilities": {"new\nline": 0.25}}) for example in examples]
    lines = ["id\tlabel\tprobabilities.new line", "1234567.0\tx\t0.25", "1234568.0\tx\t0.25", "a b\tx\t0.25"]
    assert list(table(answered)) == lines


def test_an_id_of_0_or_nothing_is_an_id_and_probabilities_have_six_digits():
    answered = [(TextExample("in.jsonl", own, "the cat", None, None), {"score": 0.123456789}) for own in (0, "", None)]
    assert [json.loads(line) for line in json_lines(answered)] == [
        {"id": 0, "score": 0.123456789},
        {"id": "", "score": 0.123456789},
        {"score": 0.123456789},
    ]
    assert list(table(answered)) == ["id\tscore", "0\t0.123457", "\t0.123457", "\t0.123457"]


def test_a_word_is_a_line_whatever_is_in_it():
    example = TaggingExample("in.jsonl, line 1", None, ("New\nYork", "a\tb", "c d"), None)
    assert list(conll([(example, {"tags": ["B-LOC", "O", "O"]})])) == ["New York\tB-LOC", "a b\tO", "c d\tO", ""]


@pytest.mark.parametrize(("tags", "cell"), [(["O", "B-LOC"], "O B-LOC"), (["a b", "O"], '["a b", "O"]')])
def test_tags_of_a_table(tags, cell):
    example = TaggingExample("in.jsonl, line 1", None, ("in", "Paris"), None)
    assert list(table([(example, {"tags": tags, "probabilities": [0.5, 0.75]})]))[1] == f"\t{cell}\t0.5 0.75"
