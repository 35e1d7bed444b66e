"""Muon against its published steps in float64 NumPy, on one device and on meshes that cut the matrices."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from bert_jax.config import Config, MeshConfig, ModelConfig, OptimizerConfig, PhaseConfig, TrainConfig
from bert_jax.errors import UserError
from bert_jax.model.functional import nest, path_of
from bert_jax.parallel.axes import batch_sharding
from bert_jax.parallel.mesh import make_mesh
from bert_jax.training.muon import orthogonal
from bert_jax.training.pretraining import pretraining_program
from bert_jax.training.state import abstract_state, init_state
from bert_jax.training.step import chunk_loss
from bert_jax.workdir.checkpoints import Checkpoints

ROWS, STEPS, TOTAL, RATE = 16, 4, 100, 1e-2
KERNELS = {"query", "key", "value", "output", "intermediate"}  # of a layer


def config_on(sizes=(1, 1, 1), optimizer=None, dtype="float32", **model):
    """One layer: four square matrices, a wide one and a tall one, which eight devices cannot deal out evenly."""
    shape = {
        "vocab_size": 101,
        "hidden_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 8,
        "intermediate_size": 64,
        "max_position_embeddings": 16,
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
    }
    settings = {"learning_rate": RATE, "warmup_steps": 1, "muon": True, "bias_correction": True}
    return Config(
        model=ModelConfig(**shape | model),
        phases=(PhaseConfig(steps=TOTAL, global_batch_size=ROWS, max_seq_length=16),),
        optimizer=OptimizerConfig(**settings | (optimizer or {})),
        train=TrainConfig(dropout_bits="threefry", dtype=dtype, log_every_steps=1),
        mesh=MeshConfig(*sizes),
    )


def program_of(config):
    mesh = make_mesh(config.mesh, jax.devices()[: math.prod(size or 1 for size in vars(config.mesh).values())])
    return pretraining_program(config, mesh)


def named(tree):
    """{"a/b": leaf in NumPy} of nested dicts."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {"/".join(entry.key for entry in path): np.asarray(leaf) for path, leaf in leaves}


def run(config, make_batch, steps=STEPS):
    """Parameters before and after each step, each step's sums, the last optimizer state."""
    program = program_of(config)
    state = init_state(program.model, program.optimizer, program.shardings, seed=0)
    path, found = [named(state["params"])], []
    with jax.set_mesh(program.mesh):
        for seed in range(steps):
            batch = jax.device_put(make_batch(ROWS, seed), batch_sharding(program.mesh))
            state, sums = program.run_step(state, batch)
            path.append(named(state["params"]))
            found.append(jax.tree.map(np.asarray, sums))
    return path, found, state["opt_state"]


def is_matrix(name):
    """By the names of today, where the product goes by logical axes."""
    *_, module, leaf = name.split("/")
    return "/layer_" in name and leaf == "kernel" and module in KERNELS


class Restatement:
    """The steps as their papers have them, in float64: each parameter by itself, each matrix whole."""

    def __init__(self, params, config):
        self.params = {name: leaf.astype(np.float64) for name, leaf in params.items()}
        self.m, self.v = ({name: np.zeros(leaf.shape) for name, leaf in params.items()} for _ in range(2))
        self.config, self.count = config, 0

    def step(self, gradient, rate):
        config, self.count = self.config, self.count + 1
        gradient = {name: leaf.astype(np.float64) for name, leaf in gradient.items()}
        norm = math.sqrt(sum((leaf**2).sum() for leaf in gradient.values()))
        for name, g in gradient.items():
            g = g * min(1.0, config.clip_norm / norm)
            move = self.muon(name, g) if is_matrix(name) else self.adam(name, g)
            decay = 0.0 if "norm" in name or "bias" in name else config.weight_decay
            self.params[name] = self.params[name] - rate * (move + decay * self.params[name])

    def adam(self, name, g):
        config = self.config
        self.m[name] = config.beta1 * self.m[name] + (1 - config.beta1) * g
        self.v[name] = config.beta2 * self.v[name] + (1 - config.beta2) * g**2
        m, v = self.m[name] / (1 - config.beta1**self.count), self.v[name] / (1 - config.beta2**self.count)
        return m / (np.sqrt(v) + config.epsilon)

    def muon(self, name, g):
        self.m[name] = 0.95 * self.m[name] + g  # heavy ball, as published; its length does not matter
        return 0.2 * math.sqrt(max(g.shape)) * newton_schulz(g + 0.95 * self.m[name])


def newton_schulz(matrix):
    """On the singular values, which is what the iteration does."""
    u, s, vt = np.linalg.svd(matrix / np.linalg.norm(matrix), full_matrices=False)
    for _ in range(5):
        s = 3.4445 * s - 4.7750 * s**3 + 2.0315 * s**5
    return (u * s) @ vt


@pytest.fixture(scope="module")
def on_one_device(make_batch):
    return run(config_on(), make_batch)


@pytest.fixture(scope="module")
def gradients(on_one_device, make_batch):
    """Of each step's batch at the parameters that the run had before it, by JAX."""
    program, found = program_of(config_on()), []
    loss = functools.partial(chunk_loss, program.objective, program.model)
    gradient = jax.jit(jax.grad(loss, has_aux=True))
    keys = jax.random.split(jax.random.key(0), ROWS)  # without dropout nobody asks for them
    for seed, params in enumerate(on_one_device[0][:-1]):
        batch, tree = make_batch(ROWS, seed), nest({name: jnp.asarray(leaf) for name, leaf in params.items()})
        found.append(named(gradient(tree, batch, program.objective.weights(batch), keys)[0]))
    return found


def restated_path(config, start, gradients):
    restated = Restatement(start, config.optimizer)
    for step, gradient in enumerate(gradients):
        restated.step(gradient, RATE * (step > 0) * (1 - step / TOTAL))  # a warm-up of one step, whose rate is 0
        yield dict(restated.params)


def test_steps_are_the_published_ones_in_float64(on_one_device, gradients):
    path = on_one_device[0]
    for step, restated in enumerate(restated_path(config_on(), path[0], gradients), 1):
        for name, expected in restated.items():
            # Rounded gradients pass through a slope of 3.44 ** 5 at small singular values; a step is about 2e-3.
            np.testing.assert_allclose(path[step][name], expected, rtol=0, atol=2e-6, err_msg=f"{name}, {step}")
    assert min(np.abs(path[-1][name] - path[0][name]).max() for name in path[0] if is_matrix(name)) > 1e-3


def test_the_tolerance_would_notice_any_other_step(on_one_device, gradients):
    path = on_one_device[0]
    for part in ({"weight_decay": 0.1}, {"clip_norm": 1e9}, {"beta1": 0.8}, {"epsilon": 1e-3}):
        *_, other = restated_path(config_on(optimizer=part), path[0], gradients)
        assert max(np.abs(other[name] - path[-1][name]).max() for name in other) > 2e-5, part


@pytest.mark.parametrize(
    "sizes",
    [(2, 2, 2), *(pytest.param(one, marks=pytest.mark.slow) for one in ((8, 1, 1), (1, 8, 1), (2, 1, 2, 2)))],
    ids=str,
)
def test_matrices_that_are_cut_move_as_whole_ones(on_one_device, make_batch, sizes):
    path, found, _ = run(config_on(sizes), make_batch)
    for name, expected in on_one_device[0][-1].items():
        np.testing.assert_allclose(path[-1][name], expected, rtol=0, atol=2e-6, err_msg=name)
    for ours, expected in zip(found, on_one_device[1], strict=True):
        assert ours["update_norm"] == pytest.approx(expected["update_norm"], rel=1e-5)


def test_each_device_keeps_its_shard_of_the_momentum_and_no_second_moments():
    shardings = program_of(config_on((8, 1, 1))).shardings["opt_state"]
    momentum = shardings["muon"].inner_state.momentum["encoder"]["layer_0"]
    assert momentum["attention"]["key"]["kernel"].spec == momentum["intermediate"]["kernel"].spec == P("data", "tensor")
    adam = shardings["adam"].inner_state
    assert adam.mu["encoder"]["embeddings"]["word"]["embedding"].spec == P(None, "data")
    for kept in (adam.mu, adam.nu):
        assert len(jax.tree.leaves(kept["encoder"]["layer_0"]["intermediate"])) == 1  # the bias


@pytest.mark.parametrize("shape", [(24, 96), (96, 24), (3, 64, 64)], ids=str)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_singular_values_become_nearly_1(shape, dtype):
    draw = np.random.default_rng(0)
    for matrix in draw.normal(size=shape if len(shape) == 3 else (1, *shape)).astype(np.float32):
        u, _, vt = np.linalg.svd(matrix, full_matrices=False)
        matrix = (u * np.geomspace(1.0, 0.01, len(vt) if len(vt) < len(u) else u.shape[1])) @ vt
        found = np.asarray(orthogonal(jnp.asarray(matrix * 1e-3, dtype)), np.float64)
        values = np.linalg.svd(found, compute_uv=False)
        assert 0.6 < values.min() < values.max() < 1.25
        exact = newton_schulz(matrix)
        tolerance = {"float32": 1e-5, "bfloat16": 0.1}[dtype]
        assert np.linalg.norm(found - exact) < tolerance * np.linalg.norm(exact)


def test_a_gradient_of_zeros_moves_nothing():
    assert (np.asarray(orthogonal(jnp.zeros((8, 4)))) == 0).all()


def test_a_step_that_is_not_finite_leaves_the_momentum(make_batch):
    program = program_of(config_on())
    state = init_state(program.model, program.optimizer, program.shardings, seed=0)
    with jax.set_mesh(program.mesh):
        batch = jax.device_put(make_batch(ROWS, 0), batch_sharding(program.mesh))
        state, _ = program.run_step(state, batch)
        before = jax.tree.map(np.asarray, state)
        bad = state["params"]["masked_lm"]["output_bias"]
        state["params"]["masked_lm"]["output_bias"] = bad.at[0].set(np.nan)
        state, sums = program.run_step(state, batch)
    assert sums["skipped"] == 1
    jax.tree.map(np.testing.assert_array_equal, state["opt_state"]["muon"], before["opt_state"]["muon"])
    assert max(np.abs(leaf).max() for leaf in jax.tree.leaves(before["opt_state"]["muon"])) > 0
    assert state["opt_state"]["rate"].count == 2


@pytest.mark.parametrize(
    "model",
    [{"num_hidden_layers": 3}, {"num_hidden_layers": 3, "num_hidden_groups": 1, "embedding_size": 16}],
    ids=["bert", "albert"],
)
def test_the_matrices_are_those_of_the_layers(model):
    program = program_of(config_on(**model))
    kept = program.shardings["opt_state"]["muon"].inner_state.momentum
    found = {"/".join(path_of(path)) for path, _ in jax.tree_util.tree_leaves_with_path(kept)}
    assert found == {name for name in map("/".join, program.model.axes) if is_matrix(name)}
    assert len(found) == 6 * program.objective.config.distinct_layers


@pytest.mark.slow
def test_a_checkpoint_goes_on_on_another_mesh(tmp_path, make_batch):
    program = program_of(config_on((8, 1, 1)))
    state = init_state(program.model, program.optimizer, program.shardings, seed=0)
    with jax.set_mesh(program.mesh):
        batch = jax.device_put(make_batch(ROWS, 0), batch_sharding(program.mesh))
        state, _ = program.run_step(state, batch)
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, state, {})
    other = program_of(config_on((2, 2, 2)))
    with Checkpoints(tmp_path, read_only=True) as checkpoints:
        restored = checkpoints.restore(1, abstract_state(other.model, other.optimizer, other.shardings))
    assert jax.tree.structure(restored) == jax.tree.structure(state)
    jax.tree.map(np.testing.assert_array_equal, restored, state)
    assert jax.tree.map(lambda leaf: leaf.sharding, restored) == other.shardings


def test_lamb_and_muon_are_one_line():
    config = config_on(optimizer={"trust_ratio": True})
    with pytest.raises(UserError) as error:
        config.check()
    assert str(error.value) == (
        "--config.optimizer.trust_ratio=True cannot be used; it is LAMB's, and --config.optimizer.muon=True has sizes "
        "of its own; leave one of the two False"
    )
