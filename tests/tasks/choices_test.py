"""COPA's rows, SWAG's and HellaSwag's, and choices of one's own."""

import json
from pathlib import Path

import pytest

from bert_jax.errors import UserError
from bert_jax.tasks.choices import read_choices
from bert_jax.tasks.columns import CHOICES, Columns

SWAG = ",video-id,fold-ind,startphrase,sent1,sent2,gold-source,ending0,ending1,ending2,ending3,label\n"


def read(path, columns=None, need_labels=True, header=None):
    return read_choices(path, Columns.of(columns, CHOICES), need_labels, header)


@pytest.mark.parametrize(("name", "count"), [("train", 800), ("dev", 100)])
def test_copa(real, name, count):
    path = real(f"copa/{name}.jsonl")
    examples = read(path)
    rows = [json.loads(line) for line in Path(path).read_text().splitlines()]
    ask = {"cause": "What was the CAUSE of this?", "effect": "What happened as a RESULT?"}
    assert [(e.id, e.text, e.text2, list(e.choices), e.label) for e in examples] == [
        (r["id"], f"{r['premise']} {ask[r['question']]}", None, r["choices"], r["label"]) for r in rows
    ]
    assert len(examples) == count


def test_copa_as_superglue_has_it(write):
    row = {"premise": "It rained.", "choice1": "Wet.", "choice2": "Dry.", "question": "effect", "idx": 3}
    (example,) = read(write("a.jsonl", json.dumps(row)), need_labels=False)
    assert (example.id, example.choices, example.label) == (3, ("Wet.", "Dry."), None)
    assert example.text == "It rained. What happened as a RESULT?"
    (example,) = read(write("a.jsonl", json.dumps(row | {"label": "choice2"})))  # as in tfds:super_glue/copa
    assert example.label == 1


def test_swag(write):
    path = write("a.csv", SWAG + '0,v,1,"A man, he","A man,",He,gold,runs.,"sits, now.",eats.,flies.,2\n')
    (example,) = read(path)
    assert (example.text, example.text2, example.label) == ("A man,", None, 2)
    assert example.choices == ("He runs.", "He sits, now.", "He eats.", "He flies.")
    (example,) = read(path, "text:4,choices:7+8+9")
    assert example.choices == ("runs.", "sits, now.", "eats.")


def test_numbers_of_columns_are_no_labels(write):
    """Where a table has no header, its columns are called by their numbers."""
    path = write("a.tsv", "".join(f"text\tsat\tran\tis\tgood\t{label}\n" for label in range(4)))
    assert [example.label for example in read(path, "text:0,choices:1+2+3+4,label:5")] == [0, 1, 2, 3]


def test_empty_choices_at_the_end_are_none_and_others_keep_their_place(write):
    path = write("a.tsv", "text\tchoice1\tchoice2\tchoice3\tchoice4\tlabel\nIt\truns\t\tsits\t\t2\n")
    (example,) = read(path)
    assert (example.choices, example.label) == (("runs", "", "sits"), 2)


def test_hellaswag(write):
    row = {"ind": 1, "ctx_a": "A pan.", "ctx_b": "then she", "ctx": "A pan. Then she", "endings": ["cooks.", "sings."]}
    (example,) = read(write("a.jsonl", json.dumps(row | {"label": "1"})))
    assert (example.text, example.choices, example.label) == ("A pan.", ("then she cooks.", "then she sings."), 1)
    (example,) = read(write("a.jsonl", json.dumps(row | {"ctx_b": "", "label": ""})), need_labels=False)
    assert (example.choices, example.label) == (("cooks.", "sings."), None)


def test_numbers_of_choices_may_differ(write):
    path = write("a.tsv", "text\tchoice1\tchoice2\tchoice10\tlabel\nx\ta\tb\tc\t2\nx\ta\tb\t\t1\n")
    assert [(e.choices, e.label) for e in read(path)] == [(("a", "b", "c"), 2), (("a", "b"), 1)]
    rows = [{"text": "x", "text2": "why?", "choices": list("abc"[:n]), "label": n - 1} for n in (2, 3)]
    examples = read(write("a.jsonl", "\n".join(map(json.dumps, rows))))
    assert [(e.text2, e.choices, e.label) for e in examples] == [("why?", ("a", "b"), 1), ("why?", ("a", "b", "c"), 2)]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"text": "x", "choices": ["a"], "label": 0}, r"line 1 has 1 choices, and two or more are needed"),
        ({"text": "x", "choices": "a", "label": 0}, r"line 1: 'choices' is no list of texts"),
        ({"text": "x", "choices": "[" * 100_000, "label": 0}, r"line 1: 'choices' is no list of texts"),
        ({"text": "x", "choices": ["a", 1], "label": 0}, r"line 1: 'choices' is no list of texts"),
        ({"text": "x", "choices": ["a", "b"], "label": 2}, r"line 1: 'label' is 2, and its choices have .* 0 to 1"),
        ({"text": "x", "choices": ["a", "b"], "label": -1}, r"line 1: 'label' is -1"),
        ({"text": "x", "choices": ["a", "b"], "label": True}, r"line 1: 'label' is True"),
        ({"text": "x", "choices": ["a", "b"], "label": "b"}, r"line 1: 'label' is 'b'"),
        ({"text": "x", "choices": ["a", "b"]}, r"no column that is known to be the label, but text, choices"),
        (
            {"text": "x", "label": 0},
            r"no columns that are known to be choices, but text, label.*--columns=choices:NAME",
        ),
        ({"choices": ["a", "b"], "label": 0}, r"has the columns choices, label, none of a known name"),
        ({"premise": "x", "question": "why", "choices": ["a", "b"], "label": 0}, r"'question' is 'why', neither cause"),
    ],
)
def test_what_is_no_choice(write, row, message):
    with pytest.raises(UserError, match=message) as caught:
        read(write("a.jsonl", json.dumps(row)))
    assert "\n" not in str(caught.value)
