"""Which layer went bad, on weights that are really poisoned: each place is named, and only the first."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bert_jax.config import Config, MeshConfig, OptimizerConfig, PhaseConfig, TrainConfig
from bert_jax.data.packed_rows import pack_records
from bert_jax.data.packing import Packing, pack
from bert_jax.data.schema import stack
from bert_jax.errors import UserError
from bert_jax.model.pretraining import pretraining_model
from bert_jax.parallel.axes import batch_sharding
from bert_jax.parallel.mesh import make_mesh
from bert_jax.training.nonfinite import first_nonfinite, jit_search, stop_if_nonfinite
from bert_jax.training.pretraining import pretraining_program
from bert_jax.training.state import init_state

KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def config(model_config):
    return Config(model=model_config, train=TrainConfig(remat="full"))  # which hides what a layer computes


@pytest.fixture(scope="module")
def params(model_config):
    return jax.tree.map(np.asarray, jax.jit(pretraining_model(model_config).init)(KEY))


@pytest.fixture(scope="module")
def batch(make_batch):
    return make_batch(8)


def program_of(config):
    return pretraining_program(config, make_mesh(MeshConfig(1, 1, 1), jax.devices()[:1]))


@pytest.fixture(scope="module")
def found_in(config, batch):
    """found_in(params) -> what the search finds in these weights and the batch."""
    search = jit_search(program_of(config))
    return lambda params: first_nonfinite(search(1, params, batch))


def changed(params, path, change):
    """The parameters with one of them changed."""
    first, *rest = path.split("/")
    return params | {first: changed(params[first], "/".join(rest), change) if rest else change(params[first])}


@pytest.mark.parametrize(
    ("path", "value", "found"),
    [
        (
            "encoder/layer_1/attention/key/kernel",
            np.nan,
            "encoder/layer_1/attention/key/kernel: the weights themselves",
        ),
        ("encoder/layer_1/attention/output/kernel", 3e38, "encoder/layer_1/attention_norm: activations"),
        ("encoder/layer_0/intermediate/kernel", 3e38, "encoder/layer_0/intermediate: activations"),
        ("encoder/layer_1/output/kernel", 1e38, "encoder/layer_1/output_norm: activations"),
        ("encoder/embeddings/word/embedding", 1e38, "encoder/embeddings/norm: activations"),
        ("encoder/pooler/kernel", 3e38, "encoder/pooler: activations"),
        ("masked_lm/transform/kernel", 3e38, "masked_lm/transform: activations"),
    ],
)
def test_the_first_bad_place_is_named(found_in, params, path, value, found):
    assert found_in(changed(params, path, lambda leaf: leaf * 0 + np.float32(value))) == found


def test_nothing_is_found_where_nothing_is(found_in, params):
    assert "look at the machine" in found_in(params)


@pytest.mark.slow
def test_labels_and_chunks(config, params, batch):
    config = dataclasses.replace(config, train=TrainConfig(accumulation_steps=2))
    weights = batch["masked_lm_weights"].copy()
    weights[5, 0] = np.nan
    found = jit_search(program_of(config))(1, params, batch | {"masked_lm_weights": weights})
    assert first_nonfinite(found).startswith("the loss: labels")


def test_a_gradient_on_the_way_back(found_in, params):
    """The pooler gives 0, so that nothing overflows forward; backward, 3e38 meets hidden states of 100."""
    poisoned = changed(params, "encoder/pooler/kernel", np.zeros_like)
    poisoned = changed(poisoned, "encoder/layer_1/output_norm/scale", lambda leaf: leaf * 100)
    poisoned = changed(poisoned, "next_sentence/kernel", lambda leaf: leaf * 0 + np.float32([3e38, -3e38]))
    assert found_in(poisoned) == "encoder/pooler/kernel: gradient"


def test_a_gradient_that_is_finite_and_too_long_is_named(found_in, params):
    """Its square is no float32, so the step's norm is infinite and the step is skipped."""
    poisoned = changed(params, "encoder/pooler/kernel", np.zeros_like)
    poisoned = changed(poisoned, "next_sentence/kernel", lambda leaf: leaf * 0 + np.float32([1e25, -1e25]))
    assert found_in(poisoned) == "encoder/pooler/kernel: gradient"


def test_the_run_stops_with_one_line(config, params, batch):
    stop_if_nonfinite(program_of(config), 7, params, batch, {"skipped": jnp.zeros(())})
    poisoned = changed(params, "encoder/pooler/bias", lambda leaf: leaf * jnp.nan)
    with pytest.raises(UserError, match=r"step 7 gave no finite.*encoder/pooler/bias: the weights"):
        stop_if_nonfinite(program_of(config), 7, poisoned, batch, {"skipped": jnp.ones(())})


def packed(batch):
    """The rows of a batch, several in each of half as many rows."""
    records = [{name: array[row] for name, array in batch.items()} for row in range(len(batch["input_ids"]))]
    sizes = np.array([[record["input_mask"].sum(), record["masked_lm_weights"].sum()] for record in records], int)
    packing = Packing(len(records) // 2, len(records), 4, predictions_per_row=12, max_seq_length=32)
    rows = pack(sizes, packing)
    rows += [[]] * (packing.rows - len(rows))
    return stack([pack_records([records[number] for number in row], packing) for row in rows[: packing.rows]])


# How the step splits its batch: (mesh, accumulation steps, clip pieces, rows packed)
SPLITS = {
    "accumulated, data-parallel": ((2, 1, 1), 2, 1, False),
    "packed and accumulated": ((1, 1, 1), 2, 1, True),
    "pieces clipped, on a mesh": ((2, 2, 1), 1, 4, False),
}


MORE = [(split, bits) for split in SPLITS for bits in ("threefry", "rbg")]


@pytest.mark.parametrize(
    ("split", "bits"), [MORE[0], *(pytest.param(*one, marks=pytest.mark.slow) for one in MORE[1:])]
)
def test_the_search_sees_the_batch_with_the_steps_own_dropout(model_config, make_batch, split, bits):
    """The loss of the second step, to float32 rounding, and not of the first one, at whose end the rate is 0."""
    sizes, accumulation_steps, clip_pieces, is_packed = SPLITS[split]
    config = Config(
        model=dataclasses.replace(model_config, num_hidden_layers=1, max_position_embeddings=32),
        phases=(PhaseConfig(steps=10, global_batch_size=16, max_seq_length=16),),
        optimizer=OptimizerConfig(clip_pieces=clip_pieces),
        train=TrainConfig(accumulation_steps=accumulation_steps, dropout_bits=bits),
    )
    batch = packed(make_batch(32)) if is_packed else make_batch(16)
    mesh = make_mesh(MeshConfig(*sizes), jax.devices()[: math.prod(sizes)])
    program = pretraining_program(config, mesh)
    state = init_state(program.model, program.optimizer, program.shardings, seed=0)
    with jax.set_mesh(mesh):
        placed = jax.device_put(batch, batch_sharding(mesh))
        state, first = program.run_step(state, placed)
        params = jax.tree.map(np.asarray, state["params"])
        _, second = program.run_step(state, placed)
    found = jit_search(program)(2, params, batch)
    assert first_nonfinite(found).startswith("nothing")
    first, second = (jax.tree.map(np.asarray, sums) for sums in (first, second))
    for name in ("masked_lm_loss", "next_sentence_loss"):
        assert found.sums[name] != pytest.approx(float(first[name]), rel=1e-5)
        assert found.sums[name] == pytest.approx(float(second[name]), rel=1e-6)
