"""A run of sixty steps that nothing interrupts, for runs that are interrupted to be held against."""

import json
import time

import jax
import numpy as np
import pytest

from bert_jax.model.pretraining import pretraining_model
from bert_jax.parallel.mesh import make_mesh
from bert_jax.training.optimizer import make_optimizer
from bert_jax.training.state import abstract_state, state_shardings
from bert_jax.workdir.checkpoints import Checkpoints
from bert_jax.workdir.run_directory import read_config


def final_state(workdir):
    """The last checkpoint's whole state as numpy arrays."""
    config = read_config(workdir)
    mesh = make_mesh(config.mesh, jax.devices()[:1])
    model, optimizer = pretraining_model(config.model), make_optimizer(config.optimizer, config.phases)
    target = abstract_state(model, optimizer, state_shardings(model, optimizer, mesh, shard_over_data=True))
    with Checkpoints(workdir / "checkpoints", read_only=True) as checkpoints:
        return jax.tree.map(np.asarray, checkpoints.restore(config.total_steps, target))


def read_lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def without_times(lines):
    """Of each line, what two runs of the same steps have in common."""
    of_time = {"time", "tokens_per_second", "mfu", "input_wait_share"}
    return [{name: value for name, value in line.items() if name not in of_time} for line in lines]


class LongRun:
    """How to start the run, interrupt it, end it, and see that it logged and ended what the uninterrupted one did."""

    steps = 60
    options = (f"--config.phases[0].steps={steps}", "--config.train.checkpoint_every_steps=7")

    def __init__(self, chain, workdir):
        self.chain, self.workdir = chain, workdir

    def make(self):
        """Train without an interruption."""
        self.finish(self.workdir)

    def start(self, workdir, *flags):
        """A process that has just begun to train."""
        process = self.chain.start_pretrain(workdir, *self.options, *flags)
        for line in process.stderr:
            if "from step" in line:
                break
        return process

    def finish(self, workdir, *flags, check=True):
        """The process that takes the run to its end."""
        return self.chain.pretrain(workdir, *self.options, *flags, check=check)

    def wait_for_write(self, workdir, process):
        """Return when a checkpoint is being written, or the process has ended."""
        directory = workdir / "checkpoints"
        while process.poll() is None:
            if directory.exists() and any("orbax-checkpoint-tmp" in path.name for path in directory.iterdir()):
                return
            time.sleep(0.001)

    def check(self, workdir):
        """The same bits at the end, and the same lines on the way, each once."""
        jax.tree.map(np.testing.assert_array_equal, final_state(workdir), final_state(self.workdir))
        lines, expected = (read_lines(path / "metrics.jsonl") for path in (workdir, self.workdir))
        logged = [(line["split"], line["step"]) for line in lines]
        assert len(logged) == len(set(logged))
        assert {key for key in logged if key[0] == "validation"} == {("validation", step) for step in (20, 40, 60)}
        assert without_times(lines) == without_times(expected)


@pytest.fixture(scope="session")
def long_run(chain, made_once):
    """The uninterrupted run, made once."""
    return LongRun(
        chain, made_once("uninterrupted", lambda directory: LongRun(chain, directory / "train").make()) / "train"
    )
