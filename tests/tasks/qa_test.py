"""Questions as a task: answers where the logits say, thresholds, scores, and what of it a trained model keeps."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from bert_jax.config import FineTuningConfig, ModelConfig, TaskConfig, TextConfig
from bert_jax.errors import UserError
from bert_jax.tasks.encoding import TextEncoder
from bert_jax.tasks.examples import QuestionExample
from bert_jax.tasks.kinds import trained_task
from bert_jax.tasks.qa import Qa
from bert_jax.tasks.scores.qa import qa
from bert_jax.tasks.task_files import in_both_orders
from bert_jax.text.load_tokenizer import load_tokenizer
from bert_jax.text.tokenizer import Tokenizer
from bert_jax.text.wordpiece import WordPiece

VOCABULARY = Path(__file__).parents[3] / "shared" / "golden" / "bert-base-uncased-vocab.txt"
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789.,?"


@pytest.fixture(scope="module")
def small():
    """A tokenizer of letters."""
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *LETTERS, *(f"##{letter}" for letter in LETTERS)]
    return Tokenizer(WordPiece(pieces, True))


def example(context="ada wrote it in 1843", *answers, question="when?", is_impossible=False, has_gold=True):
    return QuestionExample("f.json, question 1", 1, question, context, answers, is_impossible, has_gold)


def encoder(tokenizer, length=384):
    return TextEncoder(tokenizer, TextConfig(max_length=length), windows=True)


def outputs_of(rows, spans, null=0.0):
    """Logits of 9 at the (row, start, end) of `spans`, of `null` at [CLS], else -9."""
    found = [np.full((length, 2), -9, np.float32) for length in rows.lengths]
    for each in found:
        each[0] = null
    for row, start, end in spans:
        found[row][start, 0] = found[row][end, 1] = 9
    return found


@pytest.mark.parametrize(
    "name", ["squad2/train.json.xz", "squad2/test_other_articles.json", "covidqa_long/test.json.xz"]
)
def test_the_answer_is_where_the_logits_are(real, name):
    """Long contexts, double spaces and all: each answer comes back if its labels are predicted."""
    path = real(name)
    if not VOCABULARY.exists():
        pytest.skip("no vocabulary beside the project")
    task = Qa(has_impossible=True, max_answer_length=400)
    examples = task.read(path, TaskConfig(), needs_labels=True)
    rows = task.encode(examples, encoder(load_tokenizer(VOCABULARY)))
    labels = zip(range(len(rows)), rows.labels["start_positions"], rows.labels["end_positions"], strict=True)
    predictions = task.predictions(outputs_of(rows, [each for each in labels if each[1]]), rows, examples)
    in_a_window = set(rows.example[rows.labels["start_positions"] > 0].tolist())
    for number, (one, predicted) in enumerate(zip(examples, predictions, strict=True)):
        assert predicted["answer"] == one.context[predicted["start"] : predicted["end"]]
        if number not in in_a_window:
            assert predicted["answer"] == ""
        elif "covid" not in name:  # there a window may hold the answer without having most about its start
            assert one.answers[0][0].strip() in predicted["answer"]
    scores = task.scores(predictions, examples)
    assert scores["f1"] > (0.6 if "covid" in name else 0.99)


def test_a_trained_model_keeps_the_lengths_and_the_threshold():
    config = TaskConfig(max_query_length=20, max_answer_length=7)
    task = Qa().fitted([example(is_impossible=True), example("ada", ("ada", 0))], config)
    assert task == Qa(20, 7, has_impossible=True)
    task = dataclasses.replace(task, null_threshold=-1.5)
    assert trained_task("qa", json.loads(json.dumps(task.settings()))) == task


def test_where_training_has_answers_to_all_there_always_is_one(small):
    task = Qa().fitted([example("ada", ("ada", 0))], TaskConfig())
    examples = [example(), example(question=""), example("a")]
    rows = task.encode(examples, encoder(small))
    predictions = task.predictions(outputs_of(rows, [], null=50.0), rows, examples)
    assert all(each["answer"] for each in predictions)
    assert all(one["answer"] for each in predictions for one in each["candidates"])
    assert task.tuned(predictions, [example("ada", ("ada", 0))] * 3) == task


def test_gold_answers_are_not_needed(small):
    examples = [example(has_gold=False), example("", has_gold=False)]
    rows = Qa().encode(examples, encoder(small))
    predictions = Qa().predictions(outputs_of(rows, [(0, 7, 9)]), rows, examples)
    assert [each["answer"] for each in predictions] == ["ada", ""]
    assert predictions[0]["probability"] > 0.99


def test_an_answer_is_no_longer_than_asked_for(small):
    one = example()
    rows = Qa().encode([one], encoder(small))
    outputs = outputs_of(rows, [(0, 7, 11)])
    assert Qa(max_answer_length=5).predictions(outputs, rows, [one])[0]["answer"] == "ada wr"
    for candidate in Qa(max_answer_length=4).predictions(outputs, rows, [one])[0]["candidates"]:
        assert len(candidate["answer"].replace(" ", "")) <= 4


def tuning(small):
    """Four questions: two with answers of which one is doubtful, two without, of which one is doubtful."""
    context = "ada wrote it in 1843"
    gold = [example(context, ("ada", 0)), example(context, ("1843", 16))]
    examples = [*gold, *[example(context, is_impossible=True)] * 2, example("", is_impossible=True)]
    rows = Qa().encode(examples, encoder(small))
    labels = rows.labels["start_positions"], rows.labels["end_positions"]
    spans = [(row, *(int(each[row]) for each in labels)) for row in range(2)]
    outputs = outputs_of(rows, [*spans, (2, *spans[0][1:]), (3, *spans[1][1:])])
    for row, null in enumerate((4.0, 6.0, 7.0, 12.0)):
        outputs[row][0] = null
    return examples, rows, outputs


def test_the_threshold_is_the_one_of_the_best_f1(small):
    examples, rows, outputs = tuning(small)
    task = Qa(has_impossible=True, null_threshold=0.0)
    predictions = task.predictions(outputs, rows, examples)
    assert [each["answer"] for each in predictions] == ["ada", "1843", "ada", "", ""]
    tuned = task.tuned(predictions, examples)
    assert tuned.null_threshold == 12 - 18
    scores = task.scores(predictions, examples)
    assert (scores["f1"], scores["best_f1"], scores["best_f1_threshold"]) == (0.8, 1.0, -6)
    assert tuned.scores(tuned.predictions(outputs, rows, examples), examples)["f1"] == 1
    never = dataclasses.replace(task, null_threshold=-100.0)  # the best threshold does not depend on the one before
    assert never.tuned(never.predictions(outputs, rows, examples), examples) == tuned


def predicted(difference, *candidates):
    return {
        "answer": candidates[0],
        "null_score_difference": difference,
        "candidates": [{"answer": one} for one in candidates],
    }


def test_the_threshold_may_be_above_0_where_none_is_said_too_often():
    examples = [example("ada", ("ada", 0)), example("ada", is_impossible=True)]
    predictions = [predicted(6.0, "", "ada"), predicted(12.0, "", "ada")]
    assert Qa(has_impossible=True).tuned(predictions, examples).null_threshold == 6


def test_the_threshold_is_not_that_of_the_most_exact_matches():
    examples = [example("ada", ("ada", 0)), example("ada", ("ada wrote", 0)), example("ada", is_impossible=True)]
    predictions = [predicted(-9.0, "ada"), predicted(-6.0, "ada"), predicted(3.0, "", "ada")]
    task = Qa(has_impossible=True)
    assert task.scores(predictions, examples)["best_exact"] == 2 / 3
    assert task.tuned(predictions, examples).null_threshold == -6


def test_scores_have_all_metrics(small):
    examples, rows, outputs = tuning(small)
    for task in (Qa(has_impossible=True), Qa()):
        scores = task.scores(task.predictions(outputs, rows, examples), examples)
        assert task.metrics[0].name == "f1"
        assert {metric.name for metric in task.metrics} <= set(scores)
    assert scores["NoAns_f1"] == pytest.approx(1 / 3)  # the empty context alone


def test_misplaced_answers_are_gold_for_scores_but_not_for_training(small, caplog):
    examples = [example("ada", ("ada", -1)), example("ada", ("ada", 0))]
    task = Qa().fitted(examples, TaskConfig())
    assert "1 of 2 questions are not trained on" in caplog.text
    rows = task.encode(examples, encoder(small))
    assert rows.labels["example_weights"].tolist() == [0, 1]
    assert task.scores([{"answer": "ada"}] * 2, examples) == qa([["ada"]] * 2, ["ada"] * 2)


def test_a_file_of_misplaced_answers_alone_is_refused():
    with pytest.raises(
        UserError, match=r"--train=f\.json: no question has an answer at its offset; count offsets in char"
    ):
        Qa().fitted([example("ada", ("ada", -1))], TaskConfig(train="f.json"))


def test_strict_refuses_misplaced_answers(write):
    answers = {"text": ["ada"], "answer_start": [1]}
    path = write("rows.jsonl", json.dumps({"id": 1, "question": "who?", "context": "ada wrote", "answers": answers}))
    assert len(Qa().read(path, TaskConfig(), needs_labels=True)) == 1
    with pytest.raises(UserError, match="--strict"):
        Qa().read(path, TaskConfig(strict=True), needs_labels=True)


def test_dev_questions_without_answers_are_said_to_be_unknown(caplog):
    examples = [example("ada", ("ada", 0)), example(is_impossible=True)]
    Qa().for_scoring(examples)
    assert caplog.messages == ["1 of 2 questions have no answer; training had none such, and they are all answered"]
    caplog.clear()
    Qa(has_impossible=True).for_scoring(examples)
    assert not caplog.messages


def test_floors_are_those_known_from_elsewhere(real):
    task = Qa(has_impossible=True)
    examples = task.read(real("squad2/test.json.xz"), TaskConfig(), needs_labels=True)
    floors = task.floors([], examples)
    assert round(floors["no answer"]["f1"], 3) == round(floors["no answer"]["exact"], 3) == 0.518
    assert 0.268 <= floors["names and numbers"]["HasAns_f1"] <= 0.29
    assert set(Qa().floors([], examples[:9])) == {"names and numbers"}


@pytest.mark.parametrize(
    ("asked", "positions", "length"), [(0, 512, 384), (0, 128, 128), (512, 512, 512), (64, 512, 64)]
)
def test_rows_are_of_the_papers_length_where_the_model_reads_it(asked, positions, length):
    config = FineTuningConfig(text=TextConfig(max_length=asked))
    model = ModelConfig(max_position_embeddings=positions)
    assert config.for_model(model, Qa.default_max_length).text.max_length == length
    assert config.for_model(model).text.max_length == (asked or positions)


def test_questions_have_no_other_order():
    with pytest.raises(UserError, match="double_unordered is for pairs of texts"):
        in_both_orders([example()])
