"""Rows of several sequences compute what the same sequences compute in rows of their own, and a run of them resumes."""

import dataclasses
import json

import jax
import numpy as np
import pytest

from bert_jax.config import Config, PhaseConfig
from bert_jax.data.packed_rows import pack_records
from bert_jax.data.packing import Packing, pack
from bert_jax.data.schema import stack
from bert_jax.model.pretraining import pretraining_model
from bert_jax.objectives.pretraining import PretrainingObjective
from bert_jax.training.open_phases import open_phases, with_records

ROWS = 24


@pytest.fixture(scope="module")
def batches(make_batch):
    """The same sequences, of 6 to 16 tokens, in rows of 16 tokens each and packed into rows of 32."""
    batch = make_batch(ROWS, seed=11)
    records = [{name: array[row] for name, array in batch.items()} for row in range(ROWS)]
    sizes = np.array([[record["input_mask"].sum(), record["masked_lm_weights"].sum()] for record in records], int)
    packing = Packing(0, ROWS, sequences_per_row=4, predictions_per_row=12, max_seq_length=32)
    rows = pack(sizes, packing)
    assert max(map(len, rows)) > 2
    packed = stack([pack_records([records[number] for number in row], packing) for row in [*rows, []]])
    return batch, packed


def loss_and_gradient(config, params, batch):
    objective = PretrainingObjective(config)

    def loss(params):
        sums = objective.sums(objective.model().apply(params, **objective.inputs(batch)), batch)
        return objective.loss(sums, objective.weights(batch)), sums

    return jax.jit(jax.value_and_grad(loss, has_aux=True))(params)


@pytest.mark.parametrize("fields", [{}, {"position_embedding": "rotary", "pre_norm": True}], ids=["", "rotary"])
def test_loss_and_gradient_are_those_of_the_unpacked_batch(model_config, batches, fields):
    config = dataclasses.replace(model_config, initializer_range=0.3, max_position_embeddings=32, **fields)
    params = pretraining_model(config).init(jax.random.key(3))
    (loss, sums), gradient = loss_and_gradient(config, params, batches[0])
    (packed_loss, packed_sums), packed_gradient = loss_and_gradient(config, params, batches[1])
    assert float(sums["next_sentence_weight"]) == ROWS
    np.testing.assert_allclose(packed_loss, loss, rtol=1e-5)
    for name, value in sums.items():
        np.testing.assert_allclose(packed_sums[name], value, rtol=1e-5, err_msg=name)
    scale = max(float(abs(leaf).max()) for leaf in jax.tree.leaves(gradient))
    jax.tree.map(
        lambda ours, theirs: np.testing.assert_allclose(ours, theirs, atol=1e-5 * scale), packed_gradient, gradient
    )


@pytest.mark.slow
def test_sequences_of_a_row_do_not_see_each_other(model_config, batches):
    config = dataclasses.replace(model_config, initializer_range=0.3, max_position_embeddings=32)
    objective, packed = PretrainingObjective(config), batches[1]
    model = objective.model()
    params = model.init(jax.random.key(3))
    changed = packed | {"input_ids": np.where(packed["input_mask"] == 2, 7, packed["input_ids"])}
    before, after = (model.apply(params, **objective.inputs(batch)) for batch in (packed, changed))
    differs = np.abs(before.pair_logits - after.pair_logits).max(-1) > 1e-5
    there = packed["next_sentence_weights"] > 0
    np.testing.assert_array_equal(differs[there], (np.arange(4) == 1)[None].repeat(len(there), 0)[there])


@pytest.fixture(scope="module")
def short_records(chain, tmp_path_factory):
    """Records of which most are shorter than their 64 places."""
    output = tmp_path_factory.mktemp("short") / "records"
    flags = ["--max_seq_length=64", "--max_predictions_per_seq=10", "--short_seq_prob=0.9", "--holdout=0.1"]
    chain.run("build_records", f"--input={chain.corpus}", f"--vocab={chain.vocab}", f"--output={output}", *flags)
    return output


@pytest.mark.slow
def test_the_records_of_a_step_fill_fewer_rows(short_records):
    config = Config(phases=(PhaseConfig(steps=50, global_batch_size=64, max_seq_length=64),))
    config.data.records, config.data.packing = str(short_records), True
    opened = open_phases(config)[0]
    assert with_records(config, [opened]).phases[0].rows == opened.packing.rows < 64
    assert config.phases[0].packed_rows == 0  # what was given stays as it is
    numbers = [len(opened.record_numbers(step)) for step in range(1, 51)]
    assert 62 < np.mean(numbers) < 66


@pytest.mark.slow
def test_a_packed_run_goes_on_to_where_an_uninterrupted_one_ends(chain, short_records, tmp_path):
    flags = [
        "--config.data.packing=true",
        "--config.phases[0].global_batch_size=64",
        "--config.phases[0].max_seq_length=64",
    ]
    flags += [f"--config.data.records={short_records}", "--config.train.log_every_steps=1"]
    chain.pretrain(tmp_path / "whole", *flags)
    job = chain.start_pretrain(tmp_path / "halves", *flags)
    for line in job.stderr:
        if "step 12/" in line:
            job.kill()
    job.communicate()
    done = chain.pretrain(tmp_path / "halves", *flags)
    assert "packing: 64 sequences a step" in done.stderr
    assert json.loads((tmp_path / "halves" / "config.json").read_text())["phases"][0]["packed_rows"] < 64
    losses = [
        [json.loads(line)["loss"] for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
        for name in ("whole", "halves")
    ]
    assert len(losses[0]) == 21
    assert losses[0] == losses[1]
    refused = chain.pretrain(tmp_path / "halves", *flags[1:], check=False)
    assert "data.packing=True, not False" in refused.stderr
