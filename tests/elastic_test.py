"""One run that stops on one mesh and resumes on another, as people do it: SIGTERM, then the same command elsewhere."""

import json
import re
import signal
import time

import numpy as np
import pytest

from bert_jax.parallel.processes import RESUME
from tests.jobs import job_flags

pytestmark = pytest.mark.timeout(900)
STEPS = 60
OPTIONS = (
    f"--config.phases[0].steps={STEPS}",
    "--config.model.num_hidden_layers=1",
    "--config.train.log_every_steps=1",
    "--config.train.checkpoint_every_steps=1000",  # only where it is stopped
    "--config.evaluation.every_steps=1000",
)
# (processes, devices of each, data, fsdp, tensor, accumulation), and the step from which on it is stopped: soon, since
# on a crowded machine it may have got a good deal further before it is
LIVES = [((1, 8, 8, 1, 1, 1), 6), ((1, 8, 4, 1, 2, 1), 12), ((2, 2, 2, 2, 1, 2), 18), ((1, 1, 1, 1, 1, 4), None)]


def start(chain, workdir, layout):
    processes, devices, data, fsdp, tensor, accumulation = layout
    flags = [*OPTIONS, f"--config.mesh.data={data}", f"--config.mesh.fsdp={fsdp}", f"--config.mesh.tensor={tensor}"]
    flags.append(f"--config.train.accumulation_steps={accumulation}")
    return [chain.start_pretrain(workdir, *flags, *own, devices=devices) for own in job_flags(processes)]


def logged(workdir):
    """The steps logged so far, with their losses."""
    path = workdir / "metrics.jsonl"
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    lines = [json.loads(line) for line in lines if line.endswith("\n")]
    return [(line["step"], line["loss"]) for line in lines if line["split"] == "train"]


def wait_for_step(job, workdir, step, before):
    """Return when the job has logged `step`, and more steps than the `before` that were logged when it started."""
    while not len(logged(workdir)) >= max(step, before + 1):
        assert all(process.poll() is None for process in job), [process.communicate()[1] for process in job]
        time.sleep(0.02)


def end(job, status):
    """The error output of process 0, when all have ended with `status`."""
    outputs = [process.communicate(timeout=600)[1] for process in job]
    for process, stderr in zip(job, outputs, strict=True):
        assert process.returncode == status, stderr
    return outputs[0]


@pytest.mark.slow
def test_a_run_goes_on_on_other_meshes_to_the_curve_of_one_that_never_stopped(chain, tmp_path):
    straight, moved = tmp_path / "straight", tmp_path / "moved"
    end(start(chain, straight, (1, 1, 1, 1, 1, 1)), 0)
    starts = []
    for layout, stop_at in LIVES:
        before = len(logged(moved))
        job = start(chain, moved, layout)
        if stop_at:
            wait_for_step(job, moved, stop_at, before)
            job[-1].send_signal(signal.SIGTERM)  # any one of the processes may get the signal
        stderr = end(job, RESUME if stop_at else 0)
        starts.append(int(re.search(r"from step (\d+) to", stderr)[1]))
        data, fsdp, tensor = layout[2:5]
        assert f"{{'replica': 1, 'data': {data}, 'fsdp': {fsdp}, 'tensor': {tensor}}}" in stderr
    assert starts[0] == 0
    assert all(first >= stop for first, (_, stop) in zip(starts[1:], LIVES, strict=False))
    assert starts == sorted(set(starts))
    steps, losses = zip(*logged(moved), strict=True)
    assert steps == tuple(range(1, STEPS + 1))  # no step twice, none left out; which records a step reads: pod_test.py
    _, expected = zip(*logged(straight), strict=True)
    np.testing.assert_allclose(losses, expected, rtol=1e-4)
