"""Shards of weights on eight devices: gathered they are the weights; of gradients each gets its shard of the sum."""

import functools
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from bert_jax.config import MeshConfig
from bert_jax.parallel.axes import over_data_too
from bert_jax.parallel.mesh import make_mesh
from bert_jax.parallel.weight_update import data_specs, gather, least_bytes, scatter_sum

DEVICES = 8
AXES = {
    ("rows", "kernel"): ("embed", "mlp"),
    ("heads", "kernel"): ("embed", "heads"),
    ("words", "embedding"): ("vocab", "embed"),
    ("output", "bias"): ("vocab",),
    ("norm", "scale"): ("embed",),
}
SHAPES = {
    "rows": {"kernel": (64, 24)},
    "heads": {"kernel": (5, 3, 64)},  # only its last dimension divides, and its 15 rows do not
    "words": {"embedding": (101, 32)},
    "output": {"bias": (1024,)},  # of the vocabulary's axis, and no table
    "norm": {"scale": (32,)},  # too small to be sharded
}
FILLED = 128  # rows of the word table: 101, up to a multiple of 8 rows on each of 8 devices


@pytest.fixture(scope="module")
def weights():
    draw = np.random.default_rng(0)
    shapes = [[(path, name, shape) for name, shape in leaf.items()] for path, leaf in SHAPES.items()]
    return {path: {name: draw.normal(size=shape).astype(np.float32)} for ((path, name, shape),) in shapes}


@pytest.fixture(scope="module")
def shardings(weights):
    mesh = make_mesh(MeshConfig(data=DEVICES))
    whole = NamedSharding(mesh, P())
    return jax.tree.map(lambda leaf: over_data_too(mesh, whole, leaf.shape), weights)


def on_devices(function, shardings, out_specs):
    mesh, specs = jax.tree.leaves(shardings)[0].mesh, data_specs(shardings)
    return jax.jit(jax.shard_map(function, mesh=mesh, in_specs=(specs,), out_specs=out_specs(specs), check_vma=False))


def test_where_the_shards_are(shardings):
    specs = data_specs(shardings)
    assert specs["rows"]["kernel"] == P("data", None)
    assert specs["heads"]["kernel"] == P(None, None, "data")
    assert specs["words"]["embedding"] == P(None, "data")
    assert specs["output"]["bias"] == P("data")
    assert specs["norm"]["scale"] == P()


def test_gathered_shards_are_the_weights(weights, shardings):
    whole = on_devices(functools.partial(gather, shardings=shardings, axes=AXES), shardings, lambda _: P())(weights)
    table = np.asarray(whole["words"].pop("embedding"))
    np.testing.assert_array_equal(table[:101], weights["words"]["embedding"])
    assert table.shape == (FILLED, 32)
    assert (table[101:] == 0).all()
    expected = {path: leaf for path, leaf in weights.items() if path != "words"}
    jax.tree.map(np.testing.assert_array_equal, {path: whole[path] for path in expected}, expected)


def test_each_device_gets_its_shard_of_the_sum(weights, shardings):
    """Device r's gradient is r + 1 times the weight, so the sum is 36 times it."""

    def summed(shards):
        times = jax.lax.axis_index("data") + 1.0
        gradients = jax.tree.map(lambda leaf: leaf * times, gather(shards, shardings, AXES))
        return scatter_sum(gradients, shards, shardings)

    sums = on_devices(summed, shardings, lambda specs: specs)(weights)
    jax.tree.map(lambda ours, leaf: np.testing.assert_allclose(ours, 36 * leaf, rtol=1e-5), sums, weights)


def test_a_chip_may_gather_larger_shards_only():
    def least(device_kind):
        return least_bytes(SimpleNamespace(devices=np.array([SimpleNamespace(device_kind=device_kind)])))

    assert least("TPU v3") == least("cpu") < least("TPU v5 lite")


def test_equal_kernels_are_gathered_together_until_they_are_large_enough():
    """20 kernels whose shard is a fifth of what a TPU gathers well make 4 gathers; one as large as that, one alone."""
    mesh = make_mesh(MeshConfig(data=DEVICES))
    columns = 128
    rows = least_bytes(mesh) // (4 * columns)
    shapes = {f"kernel_{number}": (rows // 5 * DEVICES, columns) for number in range(20)}
    shapes |= {"large": (rows * DEVICES, columns)}
    shardings = {name: over_data_too(mesh, NamedSharding(mesh, P()), shape) for name, shape in shapes.items()}
    shards = {name: jax.ShapeDtypeStruct(shape, jnp.float32) for name, shape in shapes.items()}
    axes = {(name,): ("embed", "mlp") for name in shapes}
    step = on_devices(functools.partial(gather, shardings=shardings, axes=axes), shardings, lambda _: P())
    assert str(jax.make_jaxpr(step)(shards)).count("= all_gather[") == 5
