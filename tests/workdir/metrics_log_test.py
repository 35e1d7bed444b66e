"""The log of metrics as a killed run leaves it."""

import json
import signal
import subprocess
import sys

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from bert_jax.errors import UserError
from bert_jax.workdir.metrics_log import MetricsLog


def read_lines(workdir):
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


def scalars(workdir, tag):
    events = EventAccumulator(str(workdir / "tensorboard"), size_guidance={"scalars": 0})
    events.Reload()
    return [(event.step, event.value) for event in events.Scalars(tag)]


def test_a_line_holds_split_step_time_and_values(tmp_path):
    with MetricsLog(tmp_path / "made" / "on_demand", resume_step=0) as log:
        log.write("train", 10, {"phase": 0, "loss": 2.5, "masked_lm_accuracy": 0.25})
        written = read_lines(tmp_path / "made" / "on_demand")  # flushed: on disk before the log is closed
    time = written[0].pop("time")
    assert written == [{"split": "train", "step": 10, "phase": 0, "loss": 2.5, "masked_lm_accuracy": 0.25}]
    assert time > 1.6e9


def test_numbers_that_json_lacks_become_null_and_every_line_stays_readable(tmp_path):
    with MetricsLog(tmp_path, resume_step=0) as log:
        log.write("train", 1, {"loss": float("nan"), "gradient_norm": float("inf"), "learning_rate": 1e-4})
    text = (tmp_path / "metrics.jsonl").read_text()
    line = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert (line["loss"], line["gradient_norm"], line["learning_rate"]) == (None, None, 1e-4)
    assert str(scalars(tmp_path, "train/loss")) == "[(1, nan)]"


KILLED_RUN = """
import sys, time
from bert_jax.workdir.metrics_log import MetricsLog
log = MetricsLog(sys.argv[1], resume_step=0)
for step in range(0, 100, 10):
    log.write("train", step, {"loss": 100.0 - step})
    log.write("validation", step, {"loss": 200.0 - step})
print("written", flush=True)
time.sleep(60)
"""


def test_a_killed_run_that_goes_on_tells_no_step_twice(tmp_path):
    with subprocess.Popen([sys.executable, "-c", KILLED_RUN, str(tmp_path)], stdout=subprocess.PIPE) as run:
        assert run.stdout.readline() == b"written\n"
        run.send_signal(signal.SIGKILL)
    with (tmp_path / "metrics.jsonl").open("a") as torn:
        torn.write('{"split": "train", "step": 20, "lo')

    with MetricsLog(tmp_path, resume_step=40) as log:
        log.write("train", 40, {"loss": -1.0})  # logged by the first run already
        for step in range(50, 120, 10):
            log.write("train", step, {"loss": 1000.0 - step})

    expected = [(step, 100.0 - step) for step in range(0, 50, 10)]
    expected += [(step, 1000.0 - step) for step in range(50, 120, 10)]
    train = [(line["step"], line["loss"]) for line in read_lines(tmp_path) if line["split"] == "train"]
    assert train == expected
    assert scalars(tmp_path, "train/loss") == expected
    assert [step for step, _ in scalars(tmp_path, "validation/loss")] == [0, 10, 20, 30, 40]
    assert [file.name for file in tmp_path.glob("metrics*")] == ["metrics.jsonl"]


@pytest.mark.parametrize("text", ["not json\n", "[1]\n", '{"loss": 1}\n'])
def test_a_foreign_metrics_file_is_refused_and_left_alone(tmp_path, text):
    (tmp_path / "metrics.jsonl").write_text(text)
    with pytest.raises(UserError, match=r"metrics\.jsonl.*move it away"):
        MetricsLog(tmp_path, resume_step=0)
    assert (tmp_path / "metrics.jsonl").read_text() == text
