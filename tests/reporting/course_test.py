"""What a run had spent, against sums by hand and against a real run's clock."""

import dataclasses
import json

import pytest

from bert_jax.config import Config
from bert_jax.config.file import from_dict
from bert_jax.objectives.pretraining import PretrainingObjective
from bert_jax.reporting.course import course, points
from bert_jax.reporting.parent_run import ParentRun
from bert_jax.reporting.run_history import Run, read_run

PHASES = [
    {"steps": 100, "global_batch_size": 8, "max_seq_length": 128},
    {"steps": 50, "global_batch_size": 64, "packed_rows": 2, "max_seq_length": 512},
]


def run_of(*lines):
    return Run("run", {"phases": PHASES}, [{"time": 0.0, **line} for line in lines], [])


def train(step, rate=None, flops=None):
    values = {"tokens_per_second": rate, "flops_per_token": flops}
    return {"split": "train", "step": step} | {name: value for name, value in values.items() if value}


def held_out(step, loss):
    return {"split": "validation", "step": step, "loss": loss}


def test_each_stretch_has_the_rate_of_its_line():
    run = run_of(train(60, 1024, 10), held_out(60, 4), train(100, 2048, 10), train(130, 512, 30), held_out(130, 3))
    assert points(run, "validation", "loss", over="step") == [(60, 4), (130, 3)]
    assert points(run, "validation", "loss", over="tokens") == [(60 * 1024, 4), (100 * 1024 + 30 * 1024, 3)]
    assert points(run, "validation", "loss", over="seconds") == [(60, 4), (60 + 20 + 60, 3)]
    assert points(run, "validation", "loss", over="flops") == [(60 * 10240, 4), (100 * 10240 + 30 * 30720, 3)]


def test_between_lines_and_beyond_the_last():
    spent = course(run_of(train(50, 1024, 10), train(60, 2048, 10)))
    assert spent(0).seconds == spent(0).tokens == spent(0).flops == 0
    assert spent(25).seconds == 25
    assert spent(55).seconds == 50 + 2.5
    assert spent(100).seconds == 50 + 25  # as fast as the last line
    assert spent(110).tokens == 110 * 1024
    assert spent(110).seconds is None  # of the second phase nothing is known


def test_a_branch_has_spent_what_its_parent_had():
    """Of 120 steps, 20 of them in the second phase; before its first line it is as fast as that."""
    branch = dataclasses.replace(run_of(train(140, 512, 30), held_out(140, 3)), parent=ParentRun("parent", 120))
    known = dataclasses.replace(branch.parent, lines=[train(50, 2048, 10), train(100, 1024, 10), train(110, 256, 30)])
    spent = course(dataclasses.replace(branch, parent=known))(140)
    assert spent.tokens == 100 * 1024 + 40 * 1024
    assert spent.seconds == 25 + 50 + 10 * 4 + 30 * 2
    assert spent.flops == 100 * 10240 + 40 * 30720
    gone = course(branch)(140)  # all as the only line
    assert (gone.tokens, gone.seconds, gone.flops) == (140 * 1024, 140 * 2, 140 * 30720)
    assert points(branch, "validation", "loss", over="seconds") == [(280, 3)]


def test_a_line_without_a_rate_is_as_fast_as_its_neighbour():
    assert course(run_of(train(1), train(11, 1024), train(12), train(20, 512)))(20).seconds == 12 + 16


def test_a_run_of_an_earlier_version_has_no_flops():
    run = run_of(train(60, 1024), held_out(60, 4))
    assert points(run, "validation", "loss", over="flops") == []
    assert points(run, "validation", "loss", over="seconds") == [(60, 4)]
    assert points(run_of(held_out(60, 4)), "validation", "loss", over="seconds") == []


def test_a_real_run(finished_run):
    """FLOPs are the objective's; the time in steps is the clock's, which has the first step apart."""
    run = read_run(finished_run)
    config = from_dict(json.loads((finished_run / "config.json").read_text()), "config.json", Config)
    (phase,) = config.phases
    spent = course(run)(run.last_step())
    row = PretrainingObjective(config.model).flops_per_row(phase.max_seq_length, predictions=6)
    assert spent.tokens == run.tokens() == 20 * 16 * 32
    assert spent.flops == pytest.approx(20 * 16 * row, rel=1e-12)
    assert 0 < spent.seconds < run.starts[-1].ended - run.starts[0].started
