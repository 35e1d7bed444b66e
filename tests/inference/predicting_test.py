"""Predicting needs no gold labels: those that no model knows, or that are none, change nothing."""

import json

import pytest

from bert_jax.inference.predicting import predict
from tests.fine_tuned_workdirs import write_workdir

SENTENCES = ("the cat sat", "where is paris", "dog ran home")
# Of each task, rows of a file, and what is strange about their labels: the column, and its values.
ROWS = {
    "classification": ([{"text": text} for text in SENTENCES], {"label": ["never seen", "", "neutral"]}),
    "multilabel": ([{"text": text} for text in SENTENCES], {"labels": [["z"], [], ["a"]]}),
    "regression": ([{"text": text} for text in SENTENCES], {"label": ["none", "", "1.5"]}),
    "choice": (
        [{"text": text, "choices": ["good", "bad"]} for text in SENTENCES],
        {"label": [7, -1, 0]},
    ),
    "tagging": (
        [{"words": text.split()} for text in SENTENCES],
        {"tags": [["X"] * 3, ["O"] * 3, ["B-PER"] * 3]},
    ),
    "similarity": ([{"text": text, "text2": "the mat"} for text in SENTENCES], {"score": ["?", "", "1"]}),
}


@pytest.mark.parametrize("kind", ROWS)
def test_strange_labels_change_nothing(tmp_path, kind):
    write_workdir(tmp_path / "run", kind)
    rows, strange = ROWS[kind]
    (column, labels), answers = next(iter(strange.items())), []
    with_labels = [row | {column: label} for row, label in zip(rows, labels, strict=True)]
    for name, lines in (("bare", rows), ("labelled", with_labels)):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        assert predict(tmp_path / "run", f"{tmp_path}/{name}.jsonl", f"{tmp_path}/{name}.out.jsonl") == len(rows)
        answers.append((tmp_path / f"{name}.out.jsonl").read_text())
    assert answers[0] == answers[1]
