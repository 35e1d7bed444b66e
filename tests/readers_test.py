"""Those who read a run while it trains: what they get is whole, and of the newest checkpoint that is still there."""

import json
import os
import subprocess
import sys

import jax
import numpy as np
import pytest
from jax.sharding import SingleDeviceSharding

from bert_jax.errors import UserError
from bert_jax.workdir.read_checkpoint import read_params

pytestmark = [
    pytest.mark.timeout(900),
    # What Orbax leaves of a read that failed; the commands do not show it.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

# Checkpoints of a few steps, as fast as they can be written; of each, all numbers are its step.
WRITER = """
import sys
import jax, numpy as np
from bert_jax.workdir.checkpoints import Checkpoints
with Checkpoints(sys.argv[1], keep=int(sys.argv[2])) as checkpoints:
    for step in range(1, int(sys.argv[3])):
        state = {"params": {str(n): np.full((64, 8), step, np.float32) for n in range(8)}}
        checkpoints.save(step, jax.device_put(state), {"why": step})
        if step == 3:
            print("begun", flush=True)
"""


@pytest.fixture
def write(tmp_path):
    """write(keep): a process that writes and deletes checkpoints in tmp_path/checkpoints until the test ends."""
    processes = []

    def start(keep):
        command = [sys.executable, "-c", WRITER, str(tmp_path / "checkpoints"), str(keep), "1000000"]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
        processes.append(subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True))
        assert processes[-1].stdout.readline() == "begun\n"
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.wait()


def target():
    one = SingleDeviceSharding(jax.devices()[0])
    return {str(number): jax.ShapeDtypeStruct((64, 8), np.float32, sharding=one) for number in range(8)}


@pytest.mark.parametrize("keep", [1, 2])
def test_checkpoints_that_are_deleted_while_they_are_read(tmp_path, write, keep):
    writer, read, refused = write(keep), [], []
    while len(set(read)) < 8 and len(refused) < (30 if read else 300):
        try:
            step, params, description = read_params(tmp_path, target())
        except UserError as error:
            refused.append(str(error))
            continue
        read.append(step)
        assert description["why"] == description["step"] == step
        assert {float(number) for array in params.values() for number in np.unique(array)} == {float(step)}
    assert writer.poll() is None
    assert read
    assert all("deletes its checkpoints faster than they can be read" in line for line in refused)


@pytest.mark.slow
def test_a_step_that_is_asked_for_and_deleted_meanwhile_is_one_line(tmp_path, write):
    write(2)
    told = set()
    while len(told) < 20:
        oldest = min(int(path.name) for path in (tmp_path / "checkpoints").iterdir() if path.name.isdecimal())
        try:
            assert read_params(tmp_path, target(), oldest)[0] == oldest
        except UserError as error:
            told.add(str(error))
    assert all("is no checkpoint of" in line and "it has those of steps" in line for line in told), told


def one_line(done):
    """Whether a command was refused, which it may be, in one line."""
    if done.returncode == 0:
        return False
    assert done.returncode == 1, done.stderr
    assert [line[:7] for line in done.stderr.splitlines()[-1:]] == ["error: "], done.stderr
    return True


def test_commands_beside_a_training_that_deletes_its_checkpoints(chain, tmp_path):
    workdir = tmp_path / "run"
    often = ["--config.train.checkpoint_every_steps=1", "--config.train.keep_checkpoints=1"]
    often.append("--config.train.log_every_steps=1000")  # nobody reads them
    process = chain.start_pretrain(workdir, "--config.phases[0].steps=100000", *often)
    said = iter(process.stderr)
    next(line for line in said if "from step 0" in line)
    commands = {"evaluate": [], "report": [], "export": ["--format=numpy", f"--output={tmp_path}/out"]}
    answered = {verb: [] for verb in commands}

    def follow():
        for verb, flags in commands.items():
            done = chain.run(verb, f"--workdir={workdir}", *flags, check=False)
            assert "Exception ignored" not in done.stderr
            assert "Traceback" not in done.stderr
            assert "is damaged" not in done.stderr
            if not one_line(done):
                answered[verb].append(done)

    try:
        rounds = 0
        while rounds < 2 or (rounds < 20 and not all(answered.values())):
            follow()
            rounds += 1
        assert process.poll() is None
    finally:
        process.kill()
        process.communicate()
    assert len(answered["report"]) == rounds
    assert answered["export"]
    steps = [json.loads(one.stdout)["step"] for one in answered["evaluate"]]
    assert steps
    assert sorted(set(steps)) == steps
