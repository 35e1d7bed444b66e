"""The table from logical to mesh axes: what it gives, and that it never falls back silently."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from bert_jax.config import MeshConfig
from bert_jax.errors import UserError
from bert_jax.parallel.axes import (
    RULES,
    batch_sharding,
    constrain,
    over_data_too,
    parameter_sharding,
    partition_spec,
    replicated,
)
from bert_jax.parallel.mesh import AXES, make_mesh


@pytest.fixture
def mesh():
    return make_mesh(MeshConfig(data=2, fsdp=2, tensor=2))


def test_the_table_knows_only_axes_of_the_mesh():
    for entry in RULES.values():
        assert set(jax.tree.leaves(entry)) <= set(AXES)


@pytest.mark.parametrize(
    ("axes", "spec"),
    [
        (("batch", "length", "embed_out"), P(("replica", "data", "fsdp"), None, None)),
        (("embed", "heads"), P("fsdp", "tensor")),
        (("mlp", "embed"), P("tensor", "fsdp")),
        (("vocab", "embed"), P(None, "fsdp")),
        ((), P()),
    ],
)
def test_specs_come_from_the_table(axes, spec):
    assert partition_spec(axes) == spec


@pytest.mark.parametrize(
    ("axes", "words"),
    [
        (("embed", "wings"), "'wings' is not in"),
        (("embed", "embed"), "one mesh axis"),
        (("heads", "mlp"), "one mesh axis"),
        (("batch", "embed"), "one mesh axis"),  # the batch is on fsdp too
    ],
)
def test_an_unknown_axis_or_two_on_one_is_an_error(axes, words):
    with pytest.raises(ValueError, match=words):
        partition_spec(axes)


def test_a_dimension_that_does_not_divide_names_the_parameter_and_the_flag(mesh):
    with pytest.raises(UserError) as error:
        parameter_sharding(mesh, ("layer_0", "query", "kernel"), (32, 3), ("embed", "heads"))
    message = str(error.value)
    assert all(word in message for word in ("layer_0/query/kernel", "'heads' of 3", "--config.mesh.tensor"))
    assert "\n" not in message


def test_a_parameters_pieces_lie_as_the_table_says(mesh):
    sharding = parameter_sharding(mesh, ("kernel",), (8, 4), ("embed", "heads"))
    assert sharding.shard_shape((8, 4)) == (4, 2)


@pytest.mark.parametrize(
    ("shape", "spec", "expected"),
    [
        ((8, 4, 6), P("fsdp", "tensor", None), P("fsdp", "tensor", "data")),
        ((16, 12), P("fsdp"), P("fsdp", "data")),  # a spec may be shorter than the shape
        ((12, 16), P(None, "fsdp"), P("data", "fsdp")),
        ((101, 8), P(None, "fsdp"), P(None, "fsdp")),  # 101 does not divide: stays
        ((8,), P("fsdp"), P("fsdp")),
        ((15, 16), P(None, None), P(None, "data")),  # the first that divides
        ((6, 8), P(None, None), P(None, None)),  # too small to be worth a message
    ],
)
def test_the_data_axis_is_taken_where_it_divides(mesh, shape, spec, expected):
    ours = over_data_too(mesh, jax.sharding.NamedSharding(mesh, spec), shape)
    assert ours.is_equivalent_to(jax.sharding.NamedSharding(mesh, expected), len(shape))


def test_an_axis_of_one_device_leaves_a_dimension_free_for_data():
    """So it is on every mesh that has data alone."""
    mesh = make_mesh(MeshConfig(data=8))
    sharding = jax.sharding.NamedSharding(mesh, P("fsdp", "tensor", None))
    assert over_data_too(mesh, sharding, (64, 4, 8)).shard_shape((64, 4, 8)) == (8, 4, 8)


def test_batches_and_copies(mesh):
    rows = jax.device_put(np.arange(8), batch_sharding(mesh))
    assert {shard.data.shape for shard in rows.addressable_shards} == {(2,)}
    assert {shard.data.shape for shard in jax.device_put(np.arange(8), replicated(mesh)).addressable_shards} == {(8,)}


def test_constrain_lays_out_under_a_mesh_and_leaves_alone_without(mesh):
    array = jnp.arange(32.0).reshape(8, 4)
    assert constrain(array, "batch", "length") is array
    with jax.set_mesh(mesh):
        laid_out = jax.jit(lambda array: constrain(array * 1.0, "batch", "length"))(array)
    assert laid_out.sharding.shard_shape(laid_out.shape) == (2, 4)
    with pytest.raises(ValueError, match="'wings' is not in"), jax.set_mesh(mesh):
        constrain(array, "batch", "wings")


def test_constrain_leaves_out_axes_along_which_each_device_is_on_its_own(mesh):
    """As in a piece whose gradient is clipped by itself: there the batch is one device's."""

    @jax.jit
    @jax.shard_map(mesh=mesh, in_specs=P(("data", "fsdp")), out_specs=P(("data", "fsdp")), axis_names={"data", "fsdp"})
    def doubled(array):
        return constrain(array, "batch", "mlp") * 2

    array = np.arange(64.0).reshape(8, 8)
    with jax.set_mesh(mesh):
        np.testing.assert_array_equal(doubled(array), array * 2)
