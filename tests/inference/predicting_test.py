"""Predicting needs no gold labels: those that no model knows, or that are none, change nothing."""

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from bert_jax.config import TaskConfig
from bert_jax.errors import UserError
from bert_jax.inference.answers import FORMATS, format_of
from bert_jax.inference.predicting import begun_head, predict, read_inputs
from bert_jax.inference.predictor import load_predictor
from bert_jax.storage.lock import only_maker
from bert_jax.tasks.classification import Classification
from bert_jax.tasks.kinds import KINDS
from bert_jax.tasks.tagging import Tagging
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


TITLES = TaskConfig(columns="text:title,label:y")


def test_the_columns_of_training_are_read_wherever_one_of_them_is_there(tmp_path):
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"title": "the cat", "text": "dog"}\n{"title": null, "text": "ran home"}\n')
    with pytest.raises(UserError, match=r"rows\.jsonl, line 2.*title"):
        read_inputs(Classification(("a", "b")), str(rows), TITLES, asked=False)
    rows.write_text('{"text": "dog"}\n')
    (found,) = read_inputs(Classification(("a", "b")), str(rows), TITLES, asked=False)
    assert found.text == "dog"
    with pytest.raises(UserError, match="no column 'title'"):
        read_inputs(Classification(("a", "b")), str(rows), TITLES, asked=True)


def test_a_text_of_a_pair_is_not_left_out(tmp_path):
    pair = TaskConfig(columns="text:sentence_A,text2:sentence_B")
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"sentence_A": "the cat", "hypo": "dog"}\n')
    with pytest.raises(UserError, match="no column 'sentence_B'"):
        read_inputs(Classification(("a", "b")), str(rows), pair, asked=False)


@pytest.mark.parametrize("given", ["dog\nran home\n", '{"title": "dog"}\n{"title": "ran home"}\n'])
def test_the_standard_input_is_read_once(monkeypatch, given):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(given.encode()))))
    found = read_inputs(Classification(("a", "b")), "-", TITLES, asked=False)
    assert [one.text for one in found] == ["dog", "ran home"]


def test_another_tokenizer_is_refused(tmp_path):
    write_workdir(tmp_path / "run", "classification")
    words = tmp_path / "run" / "tokenizer" / "vocab.txt"
    words.write_text("\n".join([*words.read_text().split()[:-2], *words.read_text().split()[:-3:-1]]) + "\n")
    (tmp_path / "run" / "tokenizer" / "vocabulary.json").unlink()
    with pytest.raises(UserError, match="tokenizer is not the vocabulary that the model was trained with"):
        load_predictor(tmp_path / "run")


@pytest.mark.parametrize("kind", ["classification", "similarity"])
def test_the_log_advises_what_can_be_done_about_long_texts(tmp_path, kind, caplog):
    write_workdir(tmp_path / "run", kind)
    (tmp_path / "in.jsonl").write_text(json.dumps({"text": "home " * 40, "text2": "the mat"}) + "\n")
    predict(tmp_path / "run", f"{tmp_path}/in.jsonl", f"{tmp_path}/out.jsonl")
    (line,) = (message for message in caplog.messages if "longer than 24 tokens" in message)
    advice = ": cut (a model fine-tuned with --long=windows reads all of them)" if kind == "classification" else ": cut"
    assert line.endswith(advice)


def test_answers_in_another_precision_are_not_gone_on_with(tmp_path):
    crc = write_workdir(tmp_path / "run", "classification").weights_crc32c
    source, output = f"{tmp_path}/in.txt", tmp_path / "out.jsonl"
    Path(source).write_text("the cat sat\n")
    examples = KINDS["classification"]().read(source, TaskConfig(), False)
    head = begun_head(crc, examples, "bfloat16")
    (tmp_path / "out.jsonl.partial").write_text(json.dumps(head) + '\n{"label": "invented"}\n')
    predict(tmp_path / "run", source, str(output))
    assert json.loads(output.read_text())["label"] != "invented"


@pytest.mark.parametrize(("name", "kind"), [("a.conll", "qa"), ("a.json", "tagging"), ("a.json", "choice")])
def test_a_format_of_another_task_is_refused_before_anything_is_read(tmp_path, name, kind):
    write_workdir(tmp_path / "run", kind)
    with pytest.raises(UserError, match=rf"{name}: \.\w+ is for .*; give a name that ends in \.jsonl or \.tsv"):
        predict(tmp_path / "run", "not/there.jsonl", f"{tmp_path}/{name}")
    assert format_of("a.conll", "tagging") is FORMATS[".conll"]
    assert format_of("a.json", "qa") is FORMATS[".json"]


def test_one_process_writes_an_output(tmp_path):
    write_workdir(tmp_path / "run", "classification")
    (tmp_path / "in.txt").write_text("the cat sat\n")
    output = tmp_path / "out.jsonl"
    flags = [f"--workdir={tmp_path}/run", f"--input={tmp_path}/in.txt", f"--output={output}"]
    with only_maker(output):
        command = [sys.executable, "-m", "bert_jax.predict", *flags]
        done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert f"error: --output={output} is being written by process" in done.stderr.splitlines()[-1]
    assert not output.exists()


def test_an_answer_that_would_have_no_name_is_refused(tmp_path):
    write_workdir(tmp_path / "run", "qa")
    row = {"question": "who sat?", "context": "the cat sat"}
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(each) + "\n" for each in (row | {"id": "a"}, row)))
    with pytest.raises(UserError, match=r"in\.jsonl, line 2 has no id, by which \.json names an answer"):
        predict(tmp_path / "run", f"{tmp_path}/in.jsonl", f"{tmp_path}/out.json")
    assert not list(tmp_path.glob("out*"))


def test_columns_of_words_hold_on_the_standard_input(monkeypatch):
    given = b"1\tthe\tO\n2\tcat\tO\n"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(given))))
    (found,) = read_inputs(Tagging(("B-X", "O")), "-", TaskConfig(columns="word:1"), asked=False)
    assert found.words == ("the", "cat")
