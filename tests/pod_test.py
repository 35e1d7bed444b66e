"""Several processes, each with devices of its own, talk over real sockets and are one job; one dies, and all stop."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from bert_jax.data.batches import record_ids, training_batches
from bert_jax.data.source import RecordSource
from bert_jax.parallel.processes import RESUME
from tests.jobs import finish, job_flags

pytestmark = pytest.mark.timeout(900)
ROOT = Path(__file__).parent.parent
READER = str(ROOT / "tests" / "read_batches.py")
STEPS = 12
ROWS = 16  # of tests/configs/one_phase.py
OPTIONS = (
    f"--config.phases[0].steps={STEPS}",
    "--config.model.num_hidden_layers=1",
    "--config.train.log_every_steps=1",
)
OFTEN = "--config.train.checkpoint_every_steps=2"
PEER_TIMEOUT = 10
# (processes, devices of each, data, fsdp, tensor)
ALONE = (1, 1, 1, 1, 1)
TWO = (2, 2, 2, 1, 2)  # data over the processes, tensor within each
FOUR = (4, 2, 4, 2, 1)


def mesh_flags(data, fsdp, tensor):
    return [f"--config.mesh.data={data}", f"--config.mesh.fsdp={fsdp}", f"--config.mesh.tensor={tensor}"]


def start_job(chain, workdir, layout, *options):
    processes, devices, *mesh = layout
    flags = [*OPTIONS, *mesh_flags(*mesh), *options]
    return [chain.start_pretrain(workdir, *flags, *own, devices=devices) for own in job_flags(processes)]


def curve(workdir):
    """Step -> loss of the training steps, each logged once."""
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    steps = [line["step"] for line in lines if line["split"] == "train"]
    assert steps == list(range(1, STEPS + 1))
    return [line["loss"] for line in lines if line["split"] == "train"]


def assert_same_curve(workdir, expected):
    # Sums over devices are made in another order, and a dozen of Adam's steps carry the rounding on.
    np.testing.assert_allclose(curve(workdir), curve(expected), rtol=2e-5)


@pytest.fixture(scope="module")
def alone(chain, tmp_path_factory):
    """The run of a single process on a single device."""
    workdir = tmp_path_factory.mktemp("alone")
    finish(start_job(chain, workdir, ALONE), timeout=600)
    return workdir


@pytest.mark.parametrize("layout", [pytest.param(TWO, id="2x2"), pytest.param(FOUR, id="4x2", marks=pytest.mark.slow)])
def test_losses_are_those_of_a_single_process(chain, alone, tmp_path, layout):
    finish(start_job(chain, tmp_path, layout), timeout=600)
    assert_same_curve(tmp_path, alone)


def test_what_the_first_process_finds_wrong_ends_all(chain, tmp_path):
    shutil.copytree(chain.records(32), tmp_path / "records-32")
    (shard,) = (tmp_path / "records-32").glob("bert-train.tfrecord*")
    shard.unlink()
    job = start_job(chain, tmp_path / "run", TWO, f"--config.data.records={tmp_path}/records-32")
    for process in job:
        stderr = process.communicate(timeout=280)[1]
        assert process.returncode == 1, stderr
        assert f"error: {shard} is missing; rebuild that shard with build_records or restore it" in stderr


def test_a_workdir_that_is_another_on_each_host_ends_all(chain, tmp_path):
    """Or else its checkpoints, written without a complaint, would lack what the other host has."""
    job = [
        chain.start_pretrain(tmp_path / f"host{number}", *OPTIONS, *own, devices=2)
        for number, own in enumerate(job_flags(2))
    ]
    for number, process in enumerate(job):
        stderr = process.communicate(timeout=280)[1]
        assert process.returncode == 1, stderr
        assert f"error: --workdir={tmp_path}/host{number} is another directory on process 1 of the job" in stderr
    assert not (tmp_path / "host1").exists()
    assert not list((tmp_path / "host0").glob("*shared*"))


def read(chain, directory, layout, first_step, last_step):
    """What each process of a job laid onto its devices: a list of {step, row numbers, record ids read, features}."""
    processes, devices, *mesh = layout
    flags = [f"--records={chain.records(32)}", f"--first_step={first_step}", f"--last_step={last_step}"]
    flags += [f"--rows={ROWS}", *(f"--mesh={size}" for size in mesh)]
    outputs = [directory / f"{first_step}-{number}.npz" for number in range(processes)]
    job = [
        chain.start(READER, *flags, f"--output={output}", *own, devices=devices)
        for output, own in zip(outputs, job_flags(processes), strict=True)
    ]
    finish(job, timeout=600)
    return [dict(np.load(output)) for output in outputs]


# 8 x data; 4 x data, 2 x tensor; two processes; one device. And four processes.
STAGES = [((1, 8, 8, 1, 1), 0, 3), ((1, 8, 4, 1, 2), 3, 5), (TWO, 5, 9), (FOUR, 9, 11), (ALONE, 11, STEPS)]


def test_every_process_reads_its_own_rows_and_together_they_are_the_batch_on_whatever_mesh(chain, tmp_path):
    """Records of a run that resumes from mesh to mesh: none twice, none skipped, each in its row."""
    source = RecordSource(chain.records(32), "train")
    whole = training_batches(
        source, global_batch_size=ROWS, rows=np.arange(ROWS), seed=0, first_step=0, last_step=STEPS
    )
    expected = list(whole)
    for layout, first_step, last_step in STAGES:
        parts = read(chain, tmp_path, layout, first_step, last_step)
        for step in range(first_step, last_step):
            assembled = {name: np.full_like(array, -1) for name, array in expected[step].items()}
            for part in parts:
                for name, array in assembled.items():
                    array[part[f"{step}/rows"]] = part[f"{step}/{name}"]
            for name, array in assembled.items():
                np.testing.assert_array_equal(array, expected[step][name], err_msg=f"{layout} {step} {name}")
        ids = [record_ids(step, np.arange(ROWS), ROWS, len(source), 0) for step in range(first_step, last_step)]
        assert sorted(np.concatenate([part["read"] for part in parts])) == sorted(np.concatenate(ids))


def wait_for_checkpoint(job, workdir, step):
    """Return when a checkpoint of `step` or later is there."""
    while not any(int(path.name) >= step for path in (workdir / "checkpoints").glob("[0-9]*") if path.name.isdigit()):
        assert all(process.poll() is None for process in job), [process.communicate()[1] for process in job]
        time.sleep(0.02)


@pytest.fixture
def scripts(tmp_path):
    """launch/pretrain.sh with this Python, and with nothing to install."""
    tree = tmp_path / "scripts"
    (tree / ".venv" / "bin").mkdir(parents=True)
    (tree / "launch").mkdir()
    shutil.copy(ROOT / "launch" / "pretrain.sh", tree / "launch")
    for path, text in ((".venv/bin/python", f'exec "{sys.executable}" "$@"'), ("launch/setup.sh", "exit 0")):
        (tree / path).write_text(f"#!/bin/sh\n{text}\n")
        (tree / path).chmod(0o755)
    return tree / "launch" / "pretrain.sh"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("lost", "accident"),
    [(1, signal.SIGKILL), (0, signal.SIGKILL), (0, signal.SIGSTOP)],
    ids=["process 1 dies", "process 0 dies", "process 0 hangs"],
)
def test_a_lost_process_stops_the_job_within_the_bound_and_the_job_goes_on(
    chain, alone, tmp_path, scripts, lost, accident
):
    """The other notices by a collective that fails, or is aborted by the runtime: launch/pretrain.sh makes 75 of both.

    Which of the two it is depends on what it was doing. A process that hangs (SIGSTOP) keeps its connections.
    """
    workdir = tmp_path / "run"
    processes, devices, *mesh = TWO
    flags = job_flags(processes)
    common = [*OPTIONS, OFTEN, *mesh_flags(*mesh), f"--peer_timeout_seconds={PEER_TIMEOUT}"]
    victim = chain.start_pretrain(workdir, *common, *flags[lost], devices=devices)
    other = subprocess.Popen(
        [scripts, *chain.pretrain_flags(workdir), *common, *flags[1 - lost]],
        cwd=ROOT,
        env=os.environ | chain.environment | {"JAX_NUM_CPU_DEVICES": str(devices)},
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for_checkpoint([victim, other], workdir, 2)
    victim.send_signal(accident)
    _, stderr = other.communicate(timeout=PEER_TIMEOUT + 120)  # the bound, and time for a crowded machine
    victim.kill()
    victim.communicate()
    assert other.returncode == RESUME, stderr
    assert "error: another process of the job is gone" in stderr
    assert "run the same commands again to resume" in stderr
    finish(start_job(chain, workdir, TWO, OFTEN), timeout=600)
    assert_same_curve(workdir, alone)
