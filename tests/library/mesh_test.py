"""A model within a caller's own shard_map, pmap and mesh: what it gives without them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P

import bert_jax

TEXTS = ["The cat sat on the mat.", "where is paris?"]


@pytest.fixture(scope="module")
def model(workdirs):
    return bert_jax.from_config(workdirs.MODEL, workdirs.TOKENIZER)


@pytest.fixture(scope="module")
def batch(model):
    return {name: array for name, array in model.encode(TEXTS).items() if name != "offsets"}


@pytest.fixture(scope="module")
def plain(model, batch):
    return model.apply(model.params, batch)


def mesh_of(devices, axis="data", kind=AxisType.Auto):
    return jax.make_mesh((devices,), (axis,), axis_types=(kind,), devices=jax.devices()[:devices])


def on_shards(mesh, function, out_specs):
    (axis,) = mesh.axis_names
    return jax.jit(jax.shard_map(function, mesh=mesh, in_specs=(P(), P(axis)), out_specs=out_specs))


@pytest.mark.parametrize("devices", [1, 2])
@pytest.mark.parametrize("axis", ["data", "batch"])
def test_within_shard_map(model, batch, plain, devices, axis):
    found = on_shards(mesh_of(devices, axis), model.apply, P(axis))(model.params, batch)
    jax.tree.map(lambda ours, expected: np.testing.assert_allclose(ours, expected, atol=1e-5), found, plain)


@pytest.mark.parametrize("devices", [1, 2])
def test_gradients_within_shard_map_are_those_of_all_rows(model, batch, devices):
    def loss(params, rows):
        return jnp.square(model.apply(params, rows).logits).mean()

    def of_all(params, rows):
        return jax.grad(lambda params: jax.lax.pmean(loss(params, rows), "data"))(params)

    found = on_shards(mesh_of(devices), of_all, P())(model.params, batch)
    expected = jax.jit(jax.grad(loss))(model.params, batch)
    jax.tree.map(lambda *both: np.testing.assert_allclose(*both, rtol=1e-4, atol=1e-6), found, expected)


def test_dropout_within_shard_map(model, batch):
    def total(params, rows):
        states = model.apply(params, rows, training=True, rng=jax.random.key(0)).hidden_states[-1]
        return jax.lax.psum(states.sum(), "data")

    gradients = on_shards(mesh_of(2), jax.grad(total), P())
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients(model.params, batch)))


@pytest.mark.parametrize("devices", [1, 2])
def test_within_pmap(model, batch, plain, devices):
    rows = {name: array.reshape(devices, -1, array.shape[1]) for name, array in batch.items()}
    mapped = jax.pmap(lambda params, rows: model.apply(params, rows).logits, in_axes=(None, 0))
    logits = mapped(model.params, rows)
    np.testing.assert_allclose(logits.reshape(plain.logits.shape), plain.logits, atol=1e-5)


@pytest.mark.parametrize("kind", [AxisType.Auto, AxisType.Explicit])
@pytest.mark.parametrize("devices", [1, 2])
def test_with_another_mesh_in_force(model, batch, plain, workdirs, devices, kind):
    masked = "The [MASK] sat."
    vectors, filled = model.embed(TEXTS), model.fill_mask(masked)
    with jax.set_mesh(mesh_of(devices, kind=kind)):
        np.testing.assert_allclose(model.apply(model.params, batch).logits, plain.logits, atol=1e-5)
        fresh = bert_jax.from_config(workdirs.MODEL, workdirs.TOKENIZER)  # what it computes by is not compiled yet
        np.testing.assert_allclose(fresh.embed(TEXTS), vectors, atol=1e-6)
        assert fresh.fill_mask(masked)["filled"] == filled["filled"]
        key = jax.random.key(0, impl="threefry2x32")
        assert jax.tree.all(jax.tree.map(np.array_equal, fresh.init(key), model.params))
        assert jax.tree.all(jax.tree.map(np.array_equal, jax.jit(fresh.init)(key), model.params))
        assert jax.sharding.get_abstract_mesh().axis_names == ("data",)


def test_a_fine_tuned_model_with_another_mesh_in_force(workdirs, tmp_path):
    workdirs.write_workdir(tmp_path / "run", "classification")
    expected = bert_jax.load(tmp_path / "run").predict(TEXTS)
    with jax.set_mesh(mesh_of(2, kind=AxisType.Explicit)):
        found = bert_jax.load(tmp_path / "run").predict(TEXTS)
    for ours, theirs in zip(found, expected, strict=True):
        assert ours["probabilities"] == pytest.approx(theirs["probabilities"], abs=1e-6)
