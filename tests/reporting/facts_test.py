"""What the numbers are said to mean."""

import dataclasses

import pytest

from bert_jax.objectives.pretraining_metrics import METRICS
from bert_jax.reporting.facts import compact, duration, results, work
from bert_jax.reporting.parent_run import ParentRun
from bert_jax.reporting.pretraining_page import verdict
from bert_jax.reporting.run_history import Run
from bert_jax.workdir.goodput import Start


def run_with(**held_out):
    return Run("run", {}, [{"split": "validation", "step": 1000, "time": 0.0, **held_out}], [])


@pytest.mark.parametrize(
    ("loss", "words"),
    [
        (4.2, "The model reads context: its held-out loss is 4.20 nats, 1.70 below the 5.90"),
        (5.86, "The model knows how common each word is, and no more yet"),
        (5.94, "The model knows how common each word is, and no more yet"),
        (8.0, "The model has learned little yet: its held-out loss is 8.00 nats, 2.10 above the 5.90"),
    ],
)
def test_the_loss_is_held_against_the_unigram_floor(loss, words):
    assert verdict(run_with(masked_lm_loss=loss, unigram_loss=5.9)).startswith(words)


def test_a_run_that_diverged_is_not_praised_for_what_it_was():
    before = {"split": "validation", "step": 500, "time": 0.0, "masked_lm_loss": 4.0, "unigram_loss": 5.9}
    after = before | {"step": 1000, "masked_lm_loss": None}
    assert "diverged" in verdict(Run("run", {}, [before, after], []))
    assert "diverged" in verdict(Run("run", {}, [after], []))
    assert "diverged" in verdict(Run("run", {}, [before, after | {"split": "train"}], []))


def test_without_evaluation_nothing_is_judged():
    train = {"split": "train", "step": 1200, "time": 0.0, "masked_lm_loss": 4.0}
    assert verdict(Run("run", {}, [train], [])) == "1,200 steps are done; nothing held out has been evaluated yet."
    assert results(Run("run", {}, [train], []), METRICS) == []


def test_results_stand_beside_their_floors():
    run = run_with(
        masked_lm_loss=4.2,
        unigram_loss=5.9,
        masked_lm_accuracy=0.31,
        unigram_accuracy=0.062,
        next_sentence_accuracy=None,
    )
    assert [(fact.value, fact.beside) for fact in results(run, METRICS)] == [
        ("4.20", "unigram floor 5.90"),
        ("31.0%", "commonest word 6.2%"),
    ]


def test_work_leaves_out_what_was_not_logged():
    phases = [{"steps": 2000, "global_batch_size": 32, "max_seq_length": 128}]
    line = {"split": "train", "step": 1000, "time": 0.0, "tokens_per_second": 12345.6}
    facts = {fact.name: (fact.value, fact.beside) for fact in work(Run("run", {"phases": phases}, [line], []))}
    assert facts["Steps"] == ("1,000", "of 2,000")
    assert facts["Tokens"][0] == "4.1 million"
    assert facts["Tokens a second"][0] == "12,346"
    assert "MFU" not in facts
    with_mfu = Run("run", {"phases": phases}, [line | {"mfu": 0.25}], [])
    assert "25.0%" in [fact.value for fact in work(with_mfu)]


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0 s"), (59.6, "1 min 0 s"), (252, "4 min 12 s"), (12000, "3 h 20 min"), (180000, "2 d 2 h")],
)
def test_duration(seconds, said):
    assert duration(seconds) == said


@pytest.mark.parametrize(
    ("number", "said"), [(12, "12"), (12345, "12,345"), (4.1e6, "4.1 million"), (4.26e10, "42.6 billion")]
)
def test_compact(number, said):
    assert compact(number) == said


def test_goodput_stands_beside_where_the_rest_went():
    starts = [
        Start(0.0, 60.0, 0, 10, {"steps": 50.0, "start": 10.0}),
        Start(90.0, 130.0, 10, 20, {"steps": 38.0, "evaluation": 2.0}),
    ]
    facts = {fact.name: fact for fact in work(Run("run", {}, [], [], starts))}
    assert facts["Goodput"].value == "88.0%"
    assert facts["Goodput"].beside == "of 1 min 40 s in 2 starts; start 10.0%, evaluation 2.0%"
    assert "Goodput" not in {fact.name for fact in work(Run("run", {}, [], []))}


def training_time_of(run):
    return next((fact.value, fact.beside) for fact in work(run) if fact.name == "Training time")


def test_training_time_is_that_of_all_starts():
    """100 steps before the first line, and a restart between the two lines."""
    phases = {"phases": [{"steps": 300, "global_batch_size": 8, "max_seq_length": 128}]}
    lines = [
        {"split": "train", "step": step, "time": time, "tokens_per_second": 1024.0}
        for step, time in ((100, 150.0), (200, 400.0))
    ]
    starts = [
        Start(0.0, 170.0, 0, 115, {"start": 40.0, "steps": 115.0, "compilation": 10.0, "waiting for input": 5.0}),
        Start(270.0, 420.0, 110, 210, {"start": 30.0, "steps": 98.0, "evaluation": 20.0, "waiting for the host": 2.0}),
    ]
    assert training_time_of(Run("run", phases, lines, [], starts)) == ("4 min 0 s", "evaluation included")
    in_steps = ("3 min 20 s", "evaluation not included")  # 200 steps, of a second by the lines' rate
    assert training_time_of(Run("run", phases, lines, [], starts[1:])) == in_steps  # the log has not the first start
    assert training_time_of(Run("run", phases, lines, [])) == in_steps
    no_rates = [{name: line[name] for name in ("split", "step", "time")} for line in lines]
    assert training_time_of(Run("run", phases, no_rates, [])) == ("4 min 10 s", "evaluation included")


def test_a_branch_is_said_to_be_one():
    """Its own time is that from the parent's step on, steps and tokens are from the beginning."""
    phases = {"phases": [{"steps": 300, "global_batch_size": 8, "max_seq_length": 128}]}
    line = {"split": "train", "step": 200, "time": 100.0, "tokens_per_second": 1024.0}
    run = Run("run", phases, [line], [], parent=ParentRun("runs/parent", 120))
    facts = {fact.name: (fact.value, fact.beside) for fact in work(run)}
    assert facts["Steps"] == ("200", "of 300; branch of runs/parent at step 120")
    assert facts["Training time"] == ("1 min 20 s", "since step 120, evaluation not included")
    starts = [Start(0.0, 100.0, 120, 200, {"steps": 90.0})]
    assert training_time_of(dataclasses.replace(run, starts=starts))[0] == "1 min 30 s"


def test_skipped_steps_are_shown_where_there_are_some():
    def shown(*skipped):
        lines = [{"split": "train", "step": 1, "time": 0.0, "skipped_steps": number} for number in skipped]
        return {fact.name: fact.value for fact in work(Run("run", {}, lines, []))}

    assert shown(0, 2, 1)["Steps skipped"] == "3"
    assert "Steps skipped" not in shown(0, 0)
