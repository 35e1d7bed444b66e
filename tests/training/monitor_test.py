"""What a run logs beside its steps: series by group, the trace, the report while it runs, Weights & Biases."""

import json
import os
import subprocess
import sys
import threading
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from bert_jax.config import Config, FineTuningConfig, PhaseConfig, TrainConfig
from bert_jax.errors import UserError
from bert_jax.objectives.pretraining import PretrainingObjective
from bert_jax.training.logs import open_logs
from bert_jax.training.monitor import Monitor
from bert_jax.training.optimizer import learning_rate_schedule
from bert_jax.training.report_thread import ReportThread
from bert_jax.training.trace import Trace
from bert_jax.training.weights_and_biases import WeightsAndBiases
from bert_jax.workdir.goodput import Clock
from bert_jax.workdir.metrics_log import MetricsLog

pytestmark = pytest.mark.timeout(900)
STEPS = 40
HEADS = ("masked_lm", "next_sentence")


@pytest.fixture(scope="module")
def monitored(chain, tmp_path_factory):
    """A run of two layers, a lower and an upper one, with a trace of three steps, and what it said."""
    workdir = tmp_path_factory.mktemp("monitored") / "train"
    flags = [f"--config.phases[0].steps={STEPS}", "--config.model.num_hidden_layers=2", "--config.profile.steps=12-14"]
    return workdir, chain.pretrain(workdir, *flags).stderr


def test_tensorboard_and_json_have_the_same_series(monitored):
    workdir, _ = monitored
    events = EventAccumulator(str(workdir / "tensorboard"), size_guidance={"scalars": 0})
    events.Reload()
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    train = [line for line in lines if line["split"] == "train"]
    groups = [f"/{group}" for group in ("embeddings", "lower_layers", "upper_layers", "heads")]
    for name in (
        "loss",
        "learning_rate",
        "tokens_per_second",
        "mfu",
        "flops_per_token",
        "input_wait_share",
        "skipped_steps",
        "loss_spikes",
        *(f"{norm}{group}" for norm in ("gradient_norm", "update_norm") for group in ["", *groups]),
    ):
        logged = [(event.step, pytest.approx(event.value, rel=1e-6)) for event in events.Scalars(f"train/{name}")]
        assert [(line["step"], line[name]) for line in train if name in line] == logged, name
        assert len(logged) >= STEPS // 5 - 1, name


def test_the_run_logs_where_its_time_went(monitored):
    workdir, stderr = monitored
    (line,) = [line for line in stderr.splitlines() if "goodput" in line]
    assert "outside steps" in line
    assert "compilation" in line
    assert '"to_step": 40' in (workdir / "runs.jsonl").read_text()
    assert "Goodput" in (workdir / "report.html").read_text()


def test_an_interval_is_logged_without_asking_a_device_that_has_a_step_to_do(tmp_path):
    config = Config(phases=(PhaseConfig(steps=10),), train=TrainConfig(log_every_steps=2))
    rates = learning_rate_schedule(config.optimizer, config.phases)
    run = SimpleNamespace(
        directory=tmp_path,
        train=config.train,
        profile=config.profile,
        program=SimpleNamespace(objective=PretrainingObjective(config.model)),
        learning_rates=np.asarray(rates(np.arange(10))),
        peak_flops=1e9,
        total_steps=10,
    )
    monitor = Monitor(run, 0, Clock(None), [MetricsLog(tmp_path, 0)], None)
    monitor.start_feed(
        0, SimpleNamespace(first_step=0, last_step=10, shape_of=lambda batch: (256, 128), predictions=20)
    )
    sums = {f"{head}_{sum}": jnp.ones(()) for head in HEADS for sum in ("loss", "correct", "weight")}
    sums |= {"gradient_norm": jnp.ones(()), "skipped": jnp.zeros(())}
    with (
        monitor,
        jax.transfer_guard_host_to_device("disallow"),
    ):  # any arithmetic with a number of the host's is refused
        for step in range(1, 5):
            monitor.add(step, sums)
        monitor.flush()
    logged = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in logged] == [2, 4]
    assert [line["learning_rate"] for line in logged] == pytest.approx([float(rates(1)), float(rates(3))], rel=1e-6)


def test_the_trace_of_the_chosen_steps_loads(monitored):
    workdir, stderr = monitored
    assert f"the profiler's trace is in {workdir}/profile" in stderr
    (path,) = (workdir / "profile").rglob("*.xplane.pb")
    planes = list(jax.profiler.ProfileData.from_file(str(path)).planes)
    events = [event.name for plane in planes for line in plane.lines for event in line.events]
    assert len(events) > 100
    assert sum("PjitFunction(step)" in name for name in events) in (3, 6)  # as often as the lines that say it


@pytest.mark.parametrize(
    ("span", "first", "traced"), [((3, 4), 1, [3, 4]), ((3, 4), 4, [4]), ((3, 4), 5, []), (None, 1, [])]
)
def test_which_steps_are_traced_when_a_run_goes_on(tmp_path, span, first, traced):
    trace, seen = Trace(tmp_path, span), []
    for step in range(first, 8):
        trace.before(step)
        seen += [step] if trace._running else []
        if trace.ends_with(step):
            trace.stop()
    trace.stop()
    assert seen == traced
    assert len(list(tmp_path.rglob("*.xplane.pb"))) == bool(traced)


@pytest.mark.parametrize(("step", "is_told"), [(0, False), (3, False), (4, True), (9, True)])
def test_steps_that_are_done_are_not_traced_and_that_is_told_once(tmp_path, caplog, step, is_told):
    Trace(tmp_path / "profile", (3, 4), step)
    assert ("--config.profile.steps=3-4 are done" in caplog.text) == is_told
    (tmp_path / "profile").mkdir()  # an earlier start has traced them
    caplog.clear()
    Trace(tmp_path / "profile", (3, 4), step)
    assert caplog.text == ""


def test_steps_behind_the_runs_end_are_refused_before_it_begins(chain, tmp_path):
    done = chain.pretrain(tmp_path / "run", "--config.phases[0].steps=8", "--config.profile.steps=9-12", check=False)
    assert done.returncode == 1
    assert "--config.profile.steps=9-12 cannot be used; the run has 8 steps; trace some of them" in done.stderr
    assert not (tmp_path / "run").exists()


def test_the_report_is_drawn_beside_the_run_and_never_twice_at_once(tmp_path, caplog):
    begun, may_end = [], threading.Event()

    def slow(directory):
        begun.append(directory)
        assert may_end.wait(60)

    report = ReportThread(slow, tmp_path)
    report.start()
    report.start()
    may_end.set()
    report.wait()
    assert begun == [tmp_path]

    def broken(directory):
        begun.append(directory)
        raise UserError("no ink")

    report = ReportThread(broken, tmp_path)
    for _ in range(3):
        report.start()
        report.wait()
    assert len(begun) == 2
    assert caplog.text.count("no ink") == 1


SEND = """
import sys
from bert_jax.config import Config
from bert_jax.training.weights_and_biases import WeightsAndBiases
for start in range(2):
    there = WeightsAndBiases("project", sys.argv[1], Config())
    there.write("train", 5, {"loss": 2.5})
    there.close()
"""


def test_weights_and_biases_gets_the_numbers_of_every_start_as_one_run(tmp_path):
    pytest.importorskip("wandb")
    environment = os.environ | {"WANDB_MODE": "offline"}
    done = subprocess.run([sys.executable, "-c", SEND, tmp_path], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    name = (tmp_path / "wandb_run.txt").read_text()
    logs = list(tmp_path.rglob(f"run-{name}.wandb"))
    assert logs
    assert any(b"train/loss" in log.read_bytes() for log in logs)


def test_without_the_extra_one_line_names_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)  # as if it were not installed
    with pytest.raises(UserError, match=r"run launch/setup.sh wandb"):
        WeightsAndBiases("project", tmp_path, Config())


@pytest.mark.parametrize("kind", [Config, FineTuningConfig])
def test_runs_of_both_kinds_open_it_where_it_is_asked_for(kind, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    config = kind()
    assert len(open_logs(config, tmp_path, 0)) == 1
    config.train.wandb = "project"
    with pytest.raises(UserError, match=r"run launch/setup.sh wandb"):
        open_logs(config, tmp_path, 0)


def test_it_is_imported_only_where_it_is_asked_for():
    check = "import sys, bert_jax.training.pretraining; sys.exit('wandb' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0
