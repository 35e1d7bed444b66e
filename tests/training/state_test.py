"""Fresh weights, how many there are, and how the state lies on the devices."""

import dataclasses
import functools
import math
import re

import jax
import numpy as np
import pytest

from bert_jax.config import MeshConfig, ModelConfig, OptimizerConfig, PhaseConfig
from bert_jax.model.functional import with_shardings
from bert_jax.model.pretraining import pretraining_model
from bert_jax.parallel.mesh import make_mesh
from bert_jax.training.optimizer import make_optimizer
from bert_jax.training.state import abstract_state, init_state, layout_lines, memory_line, state_shardings


@pytest.fixture(scope="module")
def make_state(model_config):
    """make_state(data, fsdp, tensor) -> the state on that many devices."""
    model, optimizer = pretraining_model(model_config), make_optimizer(OptimizerConfig(), [PhaseConfig()])

    @functools.cache
    def make(*sizes, seed=0):
        mesh = make_mesh(MeshConfig(*sizes), jax.devices()[: math.prod(sizes)])
        return init_state(model, optimizer, state_shardings(model, optimizer, mesh, shard_over_data=True), seed)

    return make


@pytest.mark.parametrize(
    "sizes",
    [pytest.param((8, 1, 1), marks=pytest.mark.slow), (2, 2, 2), pytest.param((1, 1, 8), marks=pytest.mark.slow)],
)
def test_fresh_weights_are_the_same_bits_on_any_mesh(make_state, sizes):
    jax.tree.map(np.testing.assert_array_equal, make_state(*sizes), make_state(1, 1, 1))


def test_another_seed_gives_other_weights(make_state):
    ours, others = (make_state(1, 1, 1, seed=seed)["params"]["encoder"]["embeddings"] for seed in (0, 1))
    assert (np.asarray(ours["word"]["embedding"]) == np.asarray(others["word"]["embedding"])).mean() < 0.01


def test_weights_are_drawn_as_in_the_original():
    """Normal of deviation 0.02 cut off at two deviations and not rescaled; LayerNorm 1 and 0; biases 0."""
    model = pretraining_model(ModelConfig(vocab_size=2000, hidden_size=64, num_hidden_layers=1, num_attention_heads=4))
    params = jax.jit(model.init)(jax.random.key(0))
    drawn = 0
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        name, leaf = path[-1].key, np.asarray(leaf)
        if name in ("kernel", "embedding"):
            assert np.abs(leaf).max() <= 0.04
            if leaf.size > 10_000:  # the deviation's own error is then under 1 %
                drawn += 1
                assert np.abs(leaf).max() > 0.0395
                assert leaf.std() == pytest.approx(0.02 * truncated_deviation(2.0), rel=0.02)
                assert abs(leaf.mean()) < 0.0006
        else:
            assert (leaf == (1.0 if name == "scale" else 0.0)).all(), path
    assert drawn == 4  # words, positions and the two feed-forward kernels


def truncated_deviation(cut):
    """Of a standard normal cut off at +-cut: its variance is 1 - 2 cut phi(cut) / (2 Phi(cut) - 1)."""
    density = math.exp(-(cut**2) / 2) / math.sqrt(2 * math.pi)
    return math.sqrt(1 - 2 * cut * density / math.erf(cut / math.sqrt(2)))


def test_no_two_kernels_are_alike(make_state):
    params = make_state(1, 1, 1)["params"]["encoder"]
    kernels = [params[f"layer_{n}"]["attention"][name]["kernel"] for n in (0, 1) for name in ("query", "key", "value")]
    firsts = {float(np.asarray(kernel).flat[0]) for kernel in kernels}
    assert len(firsts) == len(kernels)


def test_the_state_is_sharded_as_in_the_table_of_axes(make_state):
    state = make_state(2, 2, 2)
    layer = state["params"]["encoder"]["layer_1"]
    embeddings = state["params"]["encoder"]["embeddings"]
    shards = {
        "query": (layer["attention"]["query"]["kernel"], (16, 16)),  # [embed, heads]: fsdp, tensor
        "query bias": (layer["attention"]["query"]["bias"], (16,)),
        "output": (layer["attention"]["output"]["kernel"], (16, 16)),
        "intermediate": (layer["intermediate"]["kernel"], (16, 32)),
        "intermediate bias": (layer["intermediate"]["bias"], (32,)),
        "feed-forward": (layer["output"]["kernel"], (32, 16)),
        "norm": (layer["output_norm"]["scale"], (16,)),
        "words": (embeddings["word"]["embedding"], (101, 16)),
        "pooler": (state["params"]["encoder"]["pooler"]["kernel"], (16, 16)),
        "output_bias": (state["params"]["masked_lm"]["output_bias"], (101,)),
    }
    for name, (leaf, shape) in shards.items():
        assert {shard.data.shape for shard in leaf.addressable_shards} == {shape}, name
        assert len(leaf.addressable_shards) == 8


@pytest.mark.parametrize(("shard_over_data", "pooler"), [(True, (16, 16)), (False, (16, 32))])
@pytest.mark.parametrize("lamb", [False, True])
def test_weights_and_moments_are_sharded_over_data_too_if_asked(model_config, lamb, shard_over_data, pooler):
    config = OptimizerConfig(trust_ratio=lamb, bias_correction=lamb)
    model, optimizer = pretraining_model(model_config), make_optimizer(config, [PhaseConfig()])
    shardings = state_shardings(model, optimizer, make_mesh(MeshConfig(2, 2, 2)), shard_over_data)
    adam = shardings["opt_state"]["adam"]
    for moment in (adam.mu["encoder"], adam.nu["encoder"], shardings["params"]["encoder"]):
        assert moment["layer_0"]["attention"]["query"]["kernel"].shard_shape((32, 32)) == (16, 16)  # no axis is free
        assert moment["pooler"]["kernel"].shard_shape((32, 32)) == pooler
        assert moment["embeddings"]["word"]["embedding"].shard_shape((101, 32)) == (101, 16)  # 101 does not divide
    assert adam.count.is_fully_replicated


def test_what_a_checkpoint_is_restored_into_is_the_state_without_its_numbers(model_config, make_state):
    state = make_state(2, 2, 2)
    model, optimizer = pretraining_model(model_config), make_optimizer(OptimizerConfig(), [PhaseConfig()])
    shardings = state_shardings(model, optimizer, make_mesh(MeshConfig(2, 2, 2)), shard_over_data=True)
    target = abstract_state(model, optimizer, shardings)

    def check(leaf, real):
        assert (leaf.shape, leaf.dtype) == (real.shape, real.dtype)
        assert leaf.sharding.is_equivalent_to(real.sharding, real.ndim)

    jax.tree.map(check, target, state)
    jax.tree.map(check, with_shardings(model.abstract_params, shardings["params"]), state["params"])


@pytest.mark.parametrize("sizes", [(1, 1, 1), (2, 4, 1)], ids=str)
@pytest.mark.parametrize("shard_over_data", [True, False])
def test_what_each_device_holds_is_logged(make_state, model_config, sizes, shard_over_data):
    model, optimizer = pretraining_model(model_config), make_optimizer(OptimizerConfig(), [PhaseConfig()])
    mesh = make_mesh(MeshConfig(*sizes), jax.devices()[: math.prod(sizes)])
    shardings = state_shardings(model, optimizer, mesh, shard_over_data)
    logged = []
    for name in ("params", "opt_state"):
        leaves = jax.tree.leaves(jax.device_put(make_state(1, 1, 1)[name], shardings[name]))
        held = sum(leaf.addressable_shards[0].data.nbytes for leaf in leaves)
        whole = sum(leaf.nbytes for leaf in leaves)
        logged.append(f"{held / 1e6:,.1f} of {whole / 1e6:,.1f} MB of {{}} ({100 * held / whole:.0f}%)")
    expected = " and ".join(logged).format("parameters", "optimizer state")
    assert memory_line(abstract_state(model, optimizer, shardings)) == f"each device holds {expected}"
    for line in logged:  # by then nearly all of it is sharded over fsdp's 4, and over data's 2 if asked
        percent = int(re.search(r"\((\d+)%\)", line)[1])
        assert percent == (100 if sizes == (1, 1, 1) else pytest.approx(100 / 8 if shard_over_data else 100 / 4, abs=8))


def test_what_is_in_many_copies_is_told(model_config):
    """20 rows divide over 4 of 8 devices; 18 columns of a factorised word table do not, and its axis is left whole."""
    config = dataclasses.replace(
        model_config, hidden_size=20, embedding_size=18, num_attention_heads=2, intermediate_size=36
    )
    optimizer = make_optimizer(OptimizerConfig(), [PhaseConfig()])

    def lines(config, mesh_config):
        model, mesh = pretraining_model(config), make_mesh(mesh_config, model=config)
        return layout_lines(model, state_shardings(model, optimizer, mesh, shard_over_data=True))

    groups, table = lines(config, MeshConfig())
    assert groups.startswith("weights and optimizer state are cut over 4 devices, and each of 2 groups")
    assert "--config.mesh.replica=1" in groups
    assert table.startswith("no free dimension of encoder/embeddings/word/embedding [101, 18]")
    assert "keeps and updates all 0.00727 MB" in table
    (all_of_it,) = lines(config, MeshConfig(replica=1))  # of 20 rows, which do not divide over 8
    assert "encoder/layer_0/intermediate/kernel [20, 36]" in all_of_it
    assert not lines(model_config, MeshConfig())
