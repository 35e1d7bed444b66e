"""A run read back from files that the training side wrote."""

import json

import pytest

from bert_jax.config import Config, PhaseConfig
from bert_jax.config.file import to_json
from bert_jax.errors import UserError
from bert_jax.reporting.run_history import Run, read_run
from bert_jax.workdir.goodput import Start
from bert_jax.workdir.metrics_log import MetricsLog


@pytest.fixture
def workdir(tmp_path):
    phases = (PhaseConfig(steps=100, global_batch_size=8, max_seq_length=128), PhaseConfig(50, 2, 512))
    (tmp_path / "config.json").write_text(to_json(Config(phases=phases)))
    with MetricsLog(tmp_path, resume_step=0) as log:
        log.write("train", 60, {"loss": 3.0})
        log.write("train", 120, {"loss": float("nan"), "mfu": 0.5})
        log.write("validation", 120, {"loss": 2.5})
    return tmp_path


def test_points_leave_out_what_is_no_number(workdir):
    run = read_run(workdir)
    assert run.points("train", "loss") == [(60, 3.0)]
    assert run.points("train", "mfu") == [(120, 0.5)]
    assert run.points("train", "nothing of that name") == []
    assert run.final("validation", "loss") == 2.5
    assert run.final("train", "loss") is None
    assert run.final("test", "loss") is None


def test_phases_and_tokens(workdir):
    run = read_run(workdir)
    assert [begun for begun, _ in run.phases()] == [0, 100]
    assert run.last_step() == 120
    assert run.tokens() == 100 * 8 * 128 + 20 * 2 * 512


def test_the_time_between_being_killed_and_resuming_is_not_training_time():
    def run_at(*times):
        lines = [{"split": "train", "step": 1 + number, "time": time} for number, time in enumerate(times)]
        return Run("run", {}, lines, [])

    assert run_at(0, 10, 21, 30).seconds() == 30
    assert run_at(0, 10, 20, 86420, 86430).seconds() == 30
    assert run_at(5).seconds() == 0
    assert run_at().seconds() == 0


def test_long_evaluations_are_training_time_and_short_stops_are_not():
    lines = []
    for begun in (0, 1100, 2200):
        lines += [{"split": "train", "step": 1, "time": begun + second} for second in (1, 2, 3)]
        lines.append({"split": "validation", "step": 1, "time": begun + 63})
    assert Run("run", {}, lines, []).seconds() == 3 * 62  # no log of starts: a long gap before a train line is a stop
    starts = [Start(begun, begun + 64, 0, 1) for begun in (0, 2200)]
    assert Run("run", {}, lines, [], starts).seconds() == 1162 + 62
    assert Run("run", {}, lines, [], starts[1:]).seconds() == 3 * 62  # the first ones were of an earlier version
    quick = [{"split": "train", "step": 1, "time": second} for second in (1, 2, 7, 8)]
    assert Run("run", {}, quick, [], [Start(0, 2, 0, 1), Start(6, 8, 1, 2)]).seconds() == 2


def test_a_line_that_is_just_being_written_is_not_read(workdir):
    before = read_run(workdir)
    with (workdir / "metrics.jsonl").open("a") as file:
        file.write('{"split": "train", "st')
    assert read_run(workdir) == before


def test_a_directory_without_a_run_is_refused(tmp_path, workdir):
    with pytest.raises(UserError, match=r"has no config\.json.*--workdir"):
        read_run(tmp_path / "nothing")
    (workdir / "metrics.jsonl").unlink()
    with pytest.raises(UserError, match=r"has no metrics\.jsonl"):
        read_run(workdir)


def test_a_damaged_file_is_named(workdir):
    (workdir / "samples.json").write_text(json.dumps([{"tokens": ["a"]}])[:-3])
    with pytest.raises(UserError, match=r"samples\.json is not JSON"):
        read_run(workdir)
