"""A task of one's own, its objective, model, metrics and data all in this file, trains by the same loop as BERT.

Nothing else is changed for it: that is what the interfaces Objective, Feed and Run are for.
"""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from bert_jax.config import EvaluationConfig, MeshConfig, OptimizerConfig, PhaseConfig, ProfileConfig, TrainConfig
from bert_jax.errors import UserError
from bert_jax.model.encoder import Encoder, parameter_group
from bert_jax.model.functional import functional
from bert_jax.model.layers import linear
from bert_jax.objectives.metrics import Metric
from bert_jax.parallel.global_batch import on_devices
from bert_jax.parallel.mesh import make_mesh
from bert_jax.reporting.charts import charts
from bert_jax.reporting.facts import results
from bert_jax.reporting.run_history import Run as RunHistory
from bert_jax.training import step as step_module
from bert_jax.training.loop import train
from bert_jax.training.optimizer import learning_rate_schedule
from bert_jax.training.program import make_program
from bert_jax.training.run import Run
from bert_jax.training.state import init_state
from bert_jax.workdir.goodput import Clock
from bert_jax.workdir.metrics_log import MetricsLog

ROWS, LENGTH, STEPS, CLASSES = 16, 8, 30, 3


class Classifier(nnx.Module):
    """The encoder and a layer on its first token."""

    def __init__(self, config, dtype, remat, by_sequence, rngs):
        self.encoder = Encoder(config, dtype, remat, rngs, by_sequence)
        self.classes = linear(config, (config.hidden_size, CLASSES), ("embed", "label"), dtype, rngs)

    def __call__(self, input_ids, dropout_key=None):
        first = jnp.zeros((len(input_ids), 1), jnp.int32)
        ones = jnp.ones_like(input_ids)
        states = self.encoder(input_ids, ones, ones * 0, dropout_key, query_positions=first)
        return self.classes(self.encoder.pool(states[-1][:, 0]))


@dataclasses.dataclass(frozen=True)
class Classification:
    """Which class a row is of."""

    config: object
    metrics = (Metric("hits", "Right classes", "hits", "share", "higher", "commonest", "commonest class", "most"),)

    def model(self, dtype="float32", remat="none", by_sequence=False):
        def build(rngs):
            return Classifier(self.config, jnp.dtype(dtype), remat, by_sequence, rngs)

        layers = self.config.num_hidden_layers
        return functional(build, jnp.dtype(dtype), lambda path: parameter_group(path, layers))

    def inputs(self, batch):
        return {"input_ids": batch["ids"]}

    def weights(self, batch):
        return {"rows": batch["there"].sum()}

    def sums(self, outputs, batch):
        loss = optax.softmax_cross_entropy_with_integer_labels(outputs, batch["classes"])
        hits = outputs.argmax(-1) == batch["classes"]
        return {"loss": (loss * batch["there"]).sum(), "hits": (hits * batch["there"]).sum(), **self.weights(batch)}

    def loss(self, sums, weights):
        return sums["loss"] / jnp.maximum(weights["rows"], 1.0)

    def means(self, sums):
        rows = max(float(sums["rows"]), 1.0)
        return {"loss": float(sums["loss"] / rows), "hits": float(sums["hits"] / rows)}

    def label_counts(self, batch):
        return {"classes": jnp.zeros(CLASSES).at[batch["classes"]].add(batch["there"])}

    def baselines(self, counts):
        return {"commonest": float(counts["classes"].max() / counts["classes"].sum())}

    def flops_per_row(self, length, predictions):
        return 1_000_000


class Rows:
    """Rows whose class is their first token's remainder, drawn by the step's number."""

    first_step, last_step, predictions, accumulation_steps = 0, STEPS, 0, 2

    def shape_of(self, batch):
        return batch["ids"].shape

    def _batch(self, number, mesh):
        random = np.random.default_rng(number)
        ids = random.integers(0, 100, (ROWS, LENGTH)).astype(np.int32)
        batch = {"ids": ids, "classes": ids[:, 0] % CLASSES, "there": np.ones(ROWS, np.float32)}
        return on_devices(batch, np.arange(ROWS), ROWS, mesh)

    def batches(self, mesh, from_step):
        return (self._batch(step, mesh) for step in range(from_step, self.last_step))

    def record_numbers(self, step):
        return list(range(step * ROWS, (step + 1) * ROWS))

    def held_out(self, mesh):
        return (self._batch(1000 + number, mesh) for number in range(2))


class PoisonedRows(Rows):
    def _batch(self, number, mesh):
        batch = super()._batch(number, mesh)
        return batch | {"there": batch["there"] * jnp.nan} if number == 5 else batch


def run_in(directory, model_config, feeds, finished, **train_settings):
    settings = TrainConfig(log_every_steps=5, checkpoint_every_steps=10, accumulation_steps=2, **train_settings)
    optimizer, phases = OptimizerConfig(learning_rate=3e-3, warmup_steps=2), [PhaseConfig(STEPS, ROWS, LENGTH)]
    objective = Classification(dataclasses.replace(model_config, num_hidden_layers=1))
    mesh = make_mesh(MeshConfig(2, 2, 1), jax.devices()[:4])
    program = make_program(objective, settings, optimizer, phases, mesh)
    return Run(
        directory=directory,
        train=settings,
        evaluation=EvaluationConfig(every_steps=15),
        profile=ProfileConfig(),
        program=program,
        feeds=feeds,
        learning_rates=np.asarray(learning_rate_schedule(optimizer, phases)(np.arange(STEPS))),
        peak_flops=1e12,
        first_state=lambda: init_state(program.model, program.optimizer, program.shardings, seed=0),
        describe=lambda feed, step, owes, state: {"owes_evaluation": owes, "watch": dataclasses.asdict(state)},
        open_logs=lambda step: [MetricsLog(directory, step)],
        finish=lambda step, params: finished.append(params),
    )


def lines_of(directory):
    return [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def trained(model_config, tmp_path_factory):
    """The directory of a whole run, and what its last weights are."""
    directory, finished = tmp_path_factory.mktemp("task") / "run", []
    directory.mkdir()
    train(run_in(directory, model_config, [Rows()], finished), Clock(directory))
    return directory, jax.tree.map(np.asarray, finished[0])


def test_it_is_trained_evaluated_and_logged_under_its_own_names(trained):
    directory, _ = trained
    lines = lines_of(directory)
    train_lines = [line for line in lines if line["split"] == "train"]
    held_out = [line for line in lines if line["split"] == "validation"]
    assert [line["step"] for line in train_lines] == [5, 10, 15, 20, 25, 30]
    assert train_lines[-1]["loss"] < train_lines[0]["loss"]
    assert [line["step"] for line in held_out] == [15, 30]
    assert held_out[-1].keys() == {"split", "step", "time", "phase", "loss", "hits", "commonest"}
    assert not any("masked_lm" in name or "next_sentence" in name for line in lines for name in line)
    assert {"gradient_norm/embeddings", "update_norm/heads", "mfu"} <= train_lines[-1].keys()


def test_its_charts_and_facts_are_those_of_its_metrics(trained):
    directory, _ = trained
    run = RunHistory("run", {"phases": []}, lines_of(directory), [])
    metrics = Classification.metrics
    assert charts(run, metrics)[0].curve.title == "Right classes"
    (fact,) = results(run, metrics)
    assert (fact.name, fact.beside.split()[0]) == ("Right classes", "commonest")


def test_each_feed_has_its_own_accumulation(trained, model_config, tmp_path, monkeypatch):
    class First(Rows):
        last_step, accumulation_steps = 10, 4

    class Second(Rows):
        first_step, accumulation_steps = 10, 1

    splits, finished, split = [], [], step_module._accumulated
    monkeypatch.setattr(step_module, "_accumulated", lambda *given: splits.append(given[3]) or split(*given))
    train(run_in(tmp_path, model_config, [First(), Second()], finished), Clock(tmp_path))
    assert splits == [4, 1]  # where the two steps were traced
    losses, expected = ([line["loss"] for line in lines_of(each)] for each in (tmp_path, trained[0]))
    np.testing.assert_allclose(losses, expected, rtol=1e-4)  # dropout and all


@pytest.mark.slow
def test_it_goes_on_from_a_checkpoint_to_the_same_bits(trained, model_config, tmp_path):
    class Stopped(Rows):
        last_step = STEPS

        def batches(self, mesh, from_step):
            for step, batch in enumerate(super().batches(mesh, from_step), from_step):
                if step == 14:
                    raise RuntimeError("pulled the plug")
                yield batch

    with pytest.raises(RuntimeError, match="plug"):
        train(run_in(tmp_path, model_config, [Stopped()], []), Clock(tmp_path))
    finished = []
    train(run_in(tmp_path, model_config, [Rows()], finished), Clock(tmp_path))
    jax.tree.map(np.testing.assert_array_equal, jax.tree.map(np.asarray, finished[0]), trained[1])
    steps = [(line["split"], line["step"]) for line in lines_of(tmp_path)]
    assert steps == [(line["split"], line["step"]) for line in lines_of(trained[0])]


@pytest.mark.slow
def test_its_non_finite_numbers_are_searched_for(model_config, tmp_path):
    with pytest.raises(UserError, match=r"step 6 gave no finite loss.*the loss: labels or their weights"):
        train(run_in(tmp_path, model_config, [PoisonedRows()], [], check_nans=True), Clock(tmp_path))
    assert json.loads((tmp_path / "skipped.jsonl").read_text())["records"] == PoisonedRows().record_numbers(6)
