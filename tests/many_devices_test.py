"""More devices than divide the weights: groups of them have all shards, and LAMB's step is one device's."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

pytestmark = pytest.mark.slow
# 24 rows divide over 8 of 16 or 32 devices, 20 columns of a factorised word table over 4: that table stays whole.
STEP = """
import json, sys
import jax, numpy as np
from bert_jax.config import Config, ModelConfig, OptimizerConfig, PhaseConfig, TrainConfig
from bert_jax.parallel.axes import batch_sharding
from bert_jax.parallel.mesh import make_mesh
from bert_jax.training.pretraining import pretraining_program
from bert_jax.training.state import init_state

config = Config(
    model=ModelConfig(
        vocab_size=101, hidden_size=24, embedding_size=20, num_hidden_layers=1, num_attention_heads=3,
        intermediate_size=56, max_position_embeddings=16,
    ),
    phases=(PhaseConfig(steps=100, global_batch_size=64, max_seq_length=16),),
    optimizer=OptimizerConfig(learning_rate=1e-2, warmup_steps=0, trust_ratio=True, bias_correction=True),
    train=TrainConfig(dropout_bits="threefry"),
)

def run(devices):
    mesh = make_mesh(config.mesh, devices, config.model.hidden_size)
    program = pretraining_program(config, mesh)
    state, losses = init_state(program.model, program.optimizer, program.shardings, seed=0), []
    first = jax.tree.leaves(jax.device_get(state["params"]))
    with jax.set_mesh(mesh):
        for path in sys.argv[1:]:
            state, sums = program.run_step(state, jax.device_put(dict(np.load(path)), batch_sharding(mesh)))
            losses.append(float(sums["masked_lm_loss"]))
    return program, losses, first, jax.tree.leaves(jax.device_get(state["params"]))

def furthest(some, others):
    return max(float(abs(mine - theirs).max()) for mine, theirs in zip(some, others, strict=True))

many, losses, _, params = run(jax.devices())
_, of_one, first, expected = run(jax.devices()[:1])
print(json.dumps({
    "mesh": dict(many.mesh.shape),
    "losses": [losses, of_one],
    "furthest": furthest(params, expected),
    "moved": furthest(first, expected),
}))
"""


@pytest.fixture(scope="module", params=[16, 32])
def found(request, make_batch, tmp_path_factory):
    """What the steps come to on so many devices and on one."""
    paths = [tmp_path_factory.mktemp("batches") / f"{seed}.npz" for seed in range(2)]
    for seed, path in enumerate(paths):
        np.savez(path, **make_batch(64, seed))
    command = [sys.executable, "-c", STEP, *map(str, paths)]
    environment = os.environ | {"JAX_NUM_CPU_DEVICES": str(request.param), "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return request.param, json.loads(done.stdout)


def test_steps_are_those_of_one_device(found):
    ours, expected = found[1]["losses"]
    assert ours == pytest.approx(expected, rel=2e-5)
    assert found[1]["furthest"] < 2e-5
    assert found[1]["moved"] > 1e-3


def test_weights_are_cut_over_as_many_as_divide_them(found):
    devices, result = found
    assert result["mesh"] == {"replica": devices // 8, "data": 8, "fsdp": 1, "tensor": 1}
