"""The program of a run on every mesh that eight devices make: the losses of one device, or a remedy in one line."""

import itertools
import math
import re

import jax
import numpy as np
import pytest

from bert_jax.config import Config, MeshConfig, ModelConfig, OptimizerConfig, PhaseConfig, TrainConfig
from bert_jax.errors import UserError
from bert_jax.parallel.axes import batch_sharding
from bert_jax.parallel.mesh import make_mesh
from bert_jax.training.pretraining import pretraining_program
from bert_jax.training.state import init_state

STEPS, ROWS = 3, 16
HEADS = 12
ALL = [sizes for sizes in itertools.product((1, 2, 4, 8), repeat=4) if np.prod(sizes) == 8 and HEADS % sizes[2] == 0]


def config_on(sizes, **model):
    """BERT-base at an eighth of its width: 12 heads of 8, feed-forward four times as wide, an odd vocabulary."""
    shape = {
        "vocab_size": 101,
        "hidden_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": HEADS,
        "intermediate_size": 384,
        "max_position_embeddings": 16,
    }
    return Config(
        model=ModelConfig(**shape | model),
        phases=(PhaseConfig(steps=100, global_batch_size=ROWS, max_seq_length=16),),
        optimizer=OptimizerConfig(learning_rate=1e-3, warmup_steps=0),
        train=TrainConfig(dropout_bits="threefry"),
        mesh=MeshConfig(*sizes),
    )


def run(config, make_batch):
    """Each step's sums, and the last parameters, as NumPy arrays."""
    mesh = make_mesh(config.mesh, jax.devices()[: math.prod(size or 1 for size in vars(config.mesh).values())])
    program = pretraining_program(config, mesh)
    state, found = init_state(program.model, program.optimizer, program.shardings, seed=0), []
    with jax.set_mesh(mesh):
        for seed in range(STEPS):
            batch = jax.device_put(make_batch(ROWS, seed), batch_sharding(mesh))
            state, sums = program.run_step(state, batch)
            found.append({name: np.asarray(value) for name, value in sums.items()})
    return found, jax.tree.map(np.asarray, state["params"])


@pytest.fixture(scope="module")
def on_one_device(make_batch):
    return run(config_on((1, 1, 1, 1)), make_batch)


@pytest.mark.slow
@pytest.mark.parametrize("sizes", ALL, ids=str)
def test_any_mesh_computes_what_one_device_does(on_one_device, make_batch, sizes):
    """With dropout. Losses and gradient norms to float32 rounding; weights as Adam passes that on."""
    found, params = run(config_on(sizes), make_batch)
    for ours, expected in zip(found, on_one_device[0], strict=True):
        assert ours.keys() == expected.keys()
        for name, value in expected.items():
            np.testing.assert_allclose(ours[name], value, rtol=2e-5, err_msg=name)
    jax.tree.map(lambda ours, theirs: np.testing.assert_allclose(ours, theirs, atol=2e-5), params, on_one_device[1])


def test_all_combinations_are_there():
    assert len(ALL) == 19


@pytest.mark.parametrize(
    ("sizes", "model", "words"),
    [
        ((1, 1, 8), {}, ["12 attention heads", "'tensor' of 8", "choose --config.mesh.tensor as a divisor of 12"]),
        (
            (2, 1, 4),
            {"intermediate_size": 90},
            ["'mlp' of 90", "'tensor' of 4", "choose --config.mesh.tensor as a divisor of 90"],
        ),
        (
            (1, 8, 1),
            {"hidden_size": 84},
            ["'embed' of 84", "'fsdp' of 8", "choose --config.mesh.fsdp as a divisor of 84"],
        ),
    ],
    ids=["heads", "feed-forward", "hidden size"],
)
def test_a_dimension_that_does_not_divide_is_one_line_with_a_remedy(sizes, model, words):
    config = config_on(sizes, **model)
    with pytest.raises(UserError) as error:
        pretraining_program(config, make_mesh(config.mesh))
    assert all(word in str(error.value) for word in words)
    assert "\n" not in str(error.value)


def test_a_batch_that_does_not_divide_is_one_line_with_a_remedy():
    config = config_on((4, 2, 1))
    config.phases[0].global_batch_size = 12
    with pytest.raises(UserError, match=re.escape("use 8 or 16")):
        pretraining_program(config, make_mesh(config.mesh))
