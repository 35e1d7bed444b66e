"""A run that is killed goes on as if nothing had happened: real processes, real SIGKILLs, bitwise equal parameters."""

import json
import random
import signal
import socket
import time

import jax
import numpy as np
import pytest

from bert_jax.checkpoint import Checkpoints
from bert_jax.config_file import from_dict
from bert_jax.parallel.mesh import make_mesh
from bert_jax.training.optimizer import make_optimizer
from bert_jax.training.state import abstract_state, build_model, state_shardings

pytestmark = pytest.mark.timeout(900)
STEPS = 60
OPTIONS = (f"--config.phases[0].steps={STEPS}", "--config.train.checkpoint_every_steps=7")


def final_state(workdir):
    """The last checkpoint's whole state as numpy arrays."""
    config = from_dict(json.loads((workdir / "config.json").read_text()))
    mesh = make_mesh(config.mesh, jax.devices()[:1])
    model, optimizer = build_model(config.model), make_optimizer(config.optimizer, config.phases)
    target = abstract_state(model, optimizer, state_shardings(model, optimizer, mesh, shard_over_data=True))
    checkpoints = Checkpoints(workdir / "checkpoints", read_only=True)
    return jax.tree.map(np.asarray, checkpoints.restore(STEPS, target))


def kill_after(process, seconds):
    """SIGKILL the process `seconds` after it has begun to train, if it still runs then; whether it did."""
    for line in process.stderr:
        if "from step" in line:
            break
    time.sleep(seconds)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    return process.returncode == -signal.SIGKILL


@pytest.fixture(scope="module")
def uninterrupted(chain, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("uninterrupted")
    chain.pretrain(workdir, *OPTIONS)
    return workdir


def check_same_run(workdir, uninterrupted):
    jax.tree.map(np.testing.assert_array_equal, final_state(workdir), final_state(uninterrupted))
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    told = [(line["split"], line["step"]) for line in lines]
    assert len(told) == len(set(told))
    last, expected = lines[-1], json.loads((uninterrupted / "metrics.jsonl").read_text().splitlines()[-1])
    assert last["split"] == expected["split"] == "validation"
    assert last["masked_lm_loss"] == expected["masked_lm_loss"]


def run_with_kills(chain, workdir, kills, seed):
    moments = random.Random(seed)
    killed = 0
    for _ in range(kills):
        process = chain.start_pretrain(workdir, *OPTIONS)
        killed += kill_after(process, moments.uniform(0.0, 4.0))
    chain.pretrain(workdir, *OPTIONS)
    return killed


def test_a_killed_run_ends_with_the_parameters_of_one_never_interrupted(chain, uninterrupted, tmp_path):
    assert run_with_kills(chain, tmp_path, kills=3, seed=1) > 0
    check_same_run(tmp_path, uninterrupted)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(10))
def test_many_kills_at_random_moments(chain, uninterrupted, tmp_path, seed):
    assert run_with_kills(chain, tmp_path, kills=5, seed=100 + seed) > 0
    check_same_run(tmp_path, uninterrupted)


def test_two_processes_are_one_job(chain, uninterrupted, tmp_path):
    """Two processes of one device each over real sockets: the losses of the single process, to rounding."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    jobs = [
        chain.start_pretrain(
            tmp_path,
            *OPTIONS,
            f"--coordinator_address=localhost:{port}",
            "--num_processes=2",
            f"--process_id={number}",
        )
        for number in range(2)
    ]
    for job in jobs:
        _, stderr = job.communicate(timeout=600)
        assert job.returncode == 0, stderr
    expected = [json.loads(line) for line in (uninterrupted / "metrics.jsonl").read_text().splitlines()]
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [line["step"] for line in expected]
    np.testing.assert_allclose([x["loss"] for x in lines], [x["loss"] for x in expected], rtol=1e-4)
