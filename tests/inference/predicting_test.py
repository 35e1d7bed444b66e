"""Predicting needs no gold labels: those that no model knows, or that are none, change nothing."""

import dataclasses
import io
import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

from bert_jax.config import TaskConfig
from bert_jax.errors import UserError
from bert_jax.inference import answer_file
from bert_jax.inference.answers import FORMATS, format_of
from bert_jax.inference.predicting import begun_head, predict, read_inputs
from bert_jax.inference.predictor import load_predictor
from bert_jax.inference.task_scores import score_task
from bert_jax.storage.lock import only_maker
from bert_jax.tasks.classification import Classification
from bert_jax.tasks.examples import TextExample
from bert_jax.tasks.kinds import KINDS, trained_task
from bert_jax.tasks.similarity import Similarity
from bert_jax.tasks.tagging import Tagging
from bert_jax.tasks.task_files import read_files
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


@pytest.mark.parametrize(
    ("answer", "content", "said"),
    [
        (predict, None, "in.jsonl is not there"),
        (predict, '{"title": "x"}', "say which holds the text"),
        (score_task, None, "in.jsonl is not there"),
        (score_task, '{"text": "the cat"}', "no column"),
        (score_task, '{"text": "the cat", "label": "never seen"}', "never seen"),
    ],
)
def test_mistakes_in_the_input_are_found_before_the_weights_are_read(tmp_path, answer, content, said):
    write_workdir(tmp_path / "run", "classification")
    (tmp_path / "run" / "model.safetensors").unlink()
    source, output = tmp_path / "in.jsonl", [f"{tmp_path}/out.jsonl"] if answer is predict else []
    if content:
        source.write_text(content + "\n")
    with pytest.raises(UserError, match=said):
        answer(tmp_path / "run", str(source), *output)


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


JSON_LINES = '{"title": "dog"}\n{"title": "ran home"}\n'


@pytest.mark.parametrize("given", ["dog\nran home\n", JSON_LINES, f"\ufeff{JSON_LINES}", f"\n \n{JSON_LINES}"])
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
    model = write_workdir(tmp_path / "run", "classification")
    source, output = f"{tmp_path}/in.txt", tmp_path / "out.jsonl"
    Path(source).write_text("the cat sat\n")
    examples = KINDS["classification"]().read(source, TaskConfig(), False)
    head = begun_head(model, examples, "bfloat16")
    (tmp_path / "out.jsonl.partial").write_text(json.dumps(head) + '\n{"label": "invented"}\n')
    predict(tmp_path / "run", source, str(output))
    assert json.loads(output.read_text())["label"] != "invented"


@pytest.mark.parametrize("chunk", [5000, 120])
def test_answers_gone_on_with_are_those_of_an_undisturbed_run(tmp_path, monkeypatch, chunk):
    """To the last digit, wherever the earlier run was killed."""
    monkeypatch.setattr(answer_file, "CHUNK", chunk)
    model, draw = write_workdir(tmp_path / "run", "classification"), random.Random(0)
    words = " ".join(SENTENCES).split()
    source, output = tmp_path / "in.txt", tmp_path / "out.jsonl"
    source.write_text(
        "".join(" ".join(draw.choices(words, k=draw.choice([1, 2, 3, 8, 21]))) + "\n" for _ in range(300))
    )
    predict(tmp_path / "run", str(source), str(output))
    whole = output.read_text()
    lines = whole.splitlines()
    head = begun_head(model, KINDS["classification"]().read(str(source), TaskConfig(), False), "float32")
    for done in (1, 119, 120, 150, 299, 300):
        (tmp_path / "out.jsonl.partial").write_text("\n".join([json.dumps(head), *lines[:done], ""]))
        predict(tmp_path / "run", str(source), str(output))
        assert output.read_text() == whole


def test_answers_by_other_thresholds_or_windows_are_not_gone_on_with(tmp_path):
    """Of two models with the same weights."""
    model = write_workdir(tmp_path / "run", "multilabel")
    other = dataclasses.replace(model, settings=model.settings | {"thresholds": [0.25] * 2})
    windows = dataclasses.replace(model, text=dataclasses.replace(model.text, long="windows"))
    heads = [begun_head(each, [], "float32") for each in (model, other, windows)]
    assert heads[0] != heads[1]
    assert heads[0] != heads[2]


def test_answers_to_other_texts_are_not_gone_on_with(tmp_path):
    """Of a file that was changed, and has as many rows."""
    model = write_workdir(tmp_path / "run", "multilabel")
    texts = [TextExample("a.txt, line 1", None, text, None, None) for text in ("the dog", "the cat")]
    assert begun_head(model, texts[:1], "float32") == begun_head(model, texts[:1], "float32")
    assert begun_head(model, texts[:1], "float32") != begun_head(model, texts[1:], "float32")


@pytest.mark.parametrize(
    ("kind", "trained", "given", "message"),
    [
        (
            "classification",
            '"text": "a", "text2": "b"',
            '"text": "dog"',
            "has one text, and the rows of training",
        ),
        (
            "regression",
            '"text": "a"',
            '"question": "a", "answer": "b"',
            "has two texts, and the rows of training",
        ),
        ("multilabel", '"text": "a"', '"text": "a", "text2": "b"', "has two texts, and the rows of training"),
    ],
)
def test_a_model_of_pairs_reads_pairs(tmp_path, kind, trained, given, message):
    files = {}
    for name, texts in (("train", trained), ("other", given)):
        files[name] = str(tmp_path / f"{name}.jsonl")
        Path(files[name]).write_text(f'{{{texts}, "label": "1"}}\n{{{texts}, "label": "2"}}\n')
    task = read_files(TaskConfig(kind, train=files["train"])).task
    task = trained_task(kind, json.loads(json.dumps(task.settings())))
    read_inputs(task, files["train"], TaskConfig(kind), asked=False)
    with pytest.raises(UserError, match=rf"other\.jsonl, line 1 {message}"):
        read_inputs(task, files["other"], TaskConfig(kind), asked=False)
    with pytest.raises(UserError, match=rf"other\.jsonl, line 1 {message}"):
        read_files(TaskConfig(kind, train=files["train"], dev=files["other"]))
    with pytest.raises(UserError, match=r"give a (pair of texts|text)$"):
        task.example("dog" if task.pairs else ("dog", "cat"), "text 1")


def test_what_predicting_does_not_need_may_be_missing(tmp_path):
    columns = "text:sentence_A,text2:sentence_B,label:judgment,id:pair_ID"
    task, rows = Classification(("a", "b"), True), tmp_path / "rows.tsv"
    rows.write_text("sentence_A\tsentence_B\nthe cat\tdog\n")
    (found,) = read_inputs(task, str(rows), TaskConfig(columns=columns), asked=False)
    assert (found.id, found.text, found.text2) == (None, "the cat", "dog")
    with pytest.raises(UserError, match="no column 'pair_ID'; correct id: in --columns"):
        read_inputs(task, str(rows), TaskConfig(columns=columns), asked=True)
    with pytest.raises(UserError, match="no column 'judgment'"):
        task.read(str(rows), TaskConfig(columns=columns), needs_labels=True)
    triples = TaskConfig(columns="text:anchor,text2:positive,negatives:n1+n2")
    rows.write_text("anchor\tpositive\nthe cat\tdog\n")
    (found,) = read_inputs(Similarity(scored=False), str(rows), triples, asked=False)
    assert (found.text, found.text2, found.negatives) == ("the cat", "dog", ())


SENTENCE = "who lives in paris\n"


@pytest.mark.parametrize(("columns", "asked"), [("", False), ("word:0,tag:1", False), ("word:0,tag:3", True)])
def test_a_sentence_is_no_word_with_a_tag(tmp_path, columns, asked):
    task, rows = Tagging(("O", "B-LOC")), tmp_path / "rows.txt"
    rows.write_text(SENTENCE)
    with pytest.raises(UserError, match="where tags are, none of them a tag of the model; give a word a line"):
        read_inputs(task, str(rows), TaskConfig("tagging", columns=columns), asked)
    rows.write_text("who PRON\nlives VERB\n")
    (found,) = read_inputs(task, str(rows), TaskConfig("tagging", columns="word:0"), True)
    assert found.words == ("who", "lives")
    for kept in ("_", "-", "O", "B-LOC"):  # places that are kept for tags
        rows.write_text(f"who\t{kept}\nlives\t{kept}\n")
        (found,) = read_inputs(task, str(rows), TaskConfig("tagging"), False)
        assert found.words == ("who", "lives")


def test_an_input_is_not_written_over(tmp_path, verbs):
    write_workdir(tmp_path / "run", "classification")
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"text": "dog"}\n')
    (tmp_path / "link.jsonl").symlink_to(rows)
    for output in (rows, tmp_path / "link.jsonl"):
        done = verbs.run("predict", f"--workdir={tmp_path}/run", f"--input={rows}", f"--output={output}")
        assert f"--output={output} is --input, which would be lost; give another file" in done.stderr
    assert rows.read_text() == '{"text": "dog"}\n'


def test_columns_are_not_for_questions(tmp_path):
    write_workdir(tmp_path / "run", "qa")
    with pytest.raises(UserError, match="--columns=id:qid is not for --task=qa; leave it out"):
        predict(tmp_path / "run", f"{tmp_path}/in.jsonl", "-", columns="id:qid")


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


@pytest.mark.parametrize("value", ["NaN", "1.5", "true", '["a"]', '{"a": 1}'])
def test_an_id_is_text_or_a_whole_number(tmp_path, value):
    write_workdir(tmp_path / "run", "classification")
    (tmp_path / "in.jsonl").write_text(f'{{"id": "a", "text": "the cat"}}\n{{"id": {value}, "text": "dog"}}\n')
    with pytest.raises(UserError, match=r"in\.jsonl, line 2: its id is .*, and an id is text or a whole number"):
        predict(tmp_path / "run", f"{tmp_path}/in.jsonl", f"{tmp_path}/out.jsonl")
    assert not list(tmp_path.glob("out*"))
    (tmp_path / "in.jsonl").write_text('{"id": "a", "text": "x"}\n{"id": 7, "text": "x"}\n{"id": null, "text": "x"}\n')
    predict(tmp_path / "run", f"{tmp_path}/in.jsonl", f"{tmp_path}/out.jsonl")
    answers = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [answer.get("id") for answer in answers] == ["a", 7, None]


def test_columns_of_words_hold_on_the_standard_input(monkeypatch):
    given = b"1\tthe\tO\n2\tcat\tO\n"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(given))))
    (found,) = read_inputs(Tagging(("B-X", "O")), "-", TaskConfig(columns="word:1"), asked=False)
    assert found.words == ("the", "cat")
