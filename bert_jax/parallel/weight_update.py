"""Weight-update sharding (arXiv 2004.13336): each data-parallel device keeps and updates its shard of the weights.

Before a step the shards are gathered, in the dtype in which they are multiplied; after it the gradient is summed and
each device gets its shard of the sum. All that runs under `shard_map` over the mesh axes "replica" and "data"; along
the other axes the compiler sees to it. Shards lie along data and are the same on every group of devices along replica,
over which the shards of the sum are summed once more. Weights that are not sharded over data are only summed.

TPUs decide the details. They gather without copies along a dimension before the last two, if the last two are whole
tiles of 8 x 128; and a shard of less than least_bytes is not gathered at all but written into zeros that are then
summed, which is slower than the layer that uses it. So equal kernels of several layers are gathered as one.
"""

import itertools
import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental.layout import Layout, with_layout_constraint
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from bert_jax.parallel.axes import LOOKED_UP
from bert_jax.parallel.mesh import DATA_PARALLEL_AXES, SUBLANES

Tree = Any  # nested dicts like the parameters
# By device_kind, as found by trials (benchmarks/step_trials.md): on v5e:8x8 shards of 192 KiB are written into zeros.
_LEAST_BYTES, _OTHERS_LEAST_BYTES = {"TPU v5 lite": 480 * 1024}, 160 * 1024
WHOLE = -1


def data_specs(shardings: Tree) -> Tree:
    """The specs for shard_map: where each weight is sharded over data, and nothing of the other axes."""
    return jax.tree.map(
        lambda sharding: P(*("data" if entry == "data" else None for entry in sharding.spec)), shardings
    )


def gather(shards: Tree, shardings: Tree, axes: Mapping[tuple[str, ...], tuple[str, ...]]) -> Tree:
    """Whole weights, of the same dtypes, from each data-parallel device's shards.

    `axes` are the parameters' logical axes, by path. A table that is looked up and sharded over its columns comes with
    rows of zeros at its end, up to whole tiles on each device: on TPUs, taking them off would copy the table.
    """
    paths_and_shards, tree = jax.tree_util.tree_flatten_with_path(shards)
    layouts = jax.tree.leaves(shardings)
    whole = [shard for _, shard in paths_and_shards]
    rows = {number: _by_rows(whole[number], _sharded_dim(layouts[number])) for number in _sharded_ones(layouts)}
    for bundle in _bundles(rows, layouts):
        gathered = jax.lax.all_gather(jnp.stack([rows[number] for number in bundle]), "data", axis=1, tiled=True)
        for place, number in enumerate(bundle):
            path, shard = paths_and_shards[number]
            rows_axis, *columns_axes = axes[tuple(entry.key for entry in path)]
            is_table = rows_axis in LOOKED_UP and bool(columns_axes)  # a bias of the vocabulary is none
            whole[number] = gathered[place] if is_table else _whole(gathered[place], shard.shape, layouts[number])
    return jax.tree.unflatten(tree, whole)


def scatter_sum(gradients: Tree, shards: Tree, shardings: Tree) -> Tree:
    """Each data-parallel device's gradients of the whole weights -> this device's shard of their sum.

    They travel, are added and are given in the dtype that they have.
    """

    def shard_of_sum(gradient: jax.Array, shard: jax.Array, sharding: NamedSharding) -> jax.Array:
        dim, parts = _sharded_dim(sharding), jax.lax.axis_size("data")
        if dim == WHOLE:
            return jax.lax.psum(gradient, DATA_PARALLEL_AXES)
        columns = math.prod(shard.shape[dim:]) * parts if dim else math.prod(shard.shape[1:])
        rows = _fill_up(gradient.reshape(-1, columns), parts) if dim else gradient
        rows = _row_major(rows.reshape(parts, -1, columns), sharding)
        summed = _row_major(jax.lax.psum_scatter(rows, "data", scatter_dimension=0), sharding)
        if jax.lax.axis_size("replica") > 1:
            summed = jax.lax.psum(summed, "replica")
        return _by_columns(summed, shard.shape, dim)

    return jax.tree.map(shard_of_sum, gradients, shards, shardings)


def _row_major(array: jax.Array, sharding: NamedSharding) -> jax.Array:
    """The array, on TPUs in this layout: else they turn the word table's gradient around for the use of its sum."""
    # Elsewhere XLA gathers more for it on meshes of several axes.
    if _mesh_of(sharding).devices.flat[0].platform != "tpu":
        return array
    return with_layout_constraint(array, Layout(tuple(range(array.ndim))))


def _mesh_of(sharding: NamedSharding) -> Mesh:
    assert isinstance(sharding.mesh, Mesh)  # of devices, whose kind decides
    return sharding.mesh


def _sharded_dim(sharding: NamedSharding) -> int:
    """The dimension that lies on the data axis; WHOLE if none does."""
    return next((dim for dim, entry in enumerate(sharding.spec) if entry == "data"), WHOLE)


def _sharded_ones(layouts: list[NamedSharding]) -> list[int]:
    return [number for number, sharding in enumerate(layouts) if _sharded_dim(sharding) != WHOLE]


def least_bytes(mesh: Mesh) -> int:
    """How large a shard is at least that the devices of the mesh gather."""
    return _LEAST_BYTES.get(mesh.devices.flat[0].device_kind, _OTHERS_LEAST_BYTES)


def _bundles(rows: dict[int, jax.Array], layouts: list[NamedSharding]) -> list[list[int]]:
    """Numbers of the shards that are gathered together: alike, and no more of them than least_bytes asks for."""
    alike: dict[Any, list[int]] = {}
    for number, shard in rows.items():
        alike.setdefault((shard.shape, shard.dtype, layouts[number].spec), []).append(number)
    bundles, least = [], least_bytes(_mesh_of(layouts[0]))
    for (shape, dtype, _), numbers in alike.items():
        enough = -(-least // (math.prod(shape) * dtype.itemsize))
        count = max(1, len(numbers) // enough)
        ends = [len(numbers) * end // count for end in range(count + 1)]
        bundles += [numbers[start:end] for start, end in itertools.pairwise(ends)]
    return bundles


def _by_rows(shard: jax.Array, dim: int) -> jax.Array:
    """A shard of the weight -> rows of it as a matrix, all columns: [rows / devices, columns].

    A shard that is columns is first exchanged for one that is rows, filled up to whole tiles.
    """
    if dim == 0:
        return shard.reshape(shard.shape[0], -1)
    parts = jax.lax.axis_size("data")
    columns = _fill_up(shard.reshape(math.prod(shard.shape[:dim]), -1), parts)
    exchanged = jax.lax.all_to_all(columns.reshape(parts, -1, columns.shape[1]), "data", 0, 1)
    return exchanged.reshape(exchanged.shape[0], -1)


def _by_columns(rows: jax.Array, shape: tuple[int, ...], dim: int) -> jax.Array:
    """The way back from _by_rows, to a shard of `shape`."""
    if dim:
        parts = jax.lax.axis_size("data")
        exchanged = jax.lax.all_to_all(rows.reshape(rows.shape[0], parts, -1), "data", 1, 0)
        rows = exchanged.reshape(-1, exchanged.shape[2])[: math.prod(shape[:dim])]
    return rows.reshape(shape)


def _whole(rows: jax.Array, shard: tuple[int, ...], sharding: NamedSharding) -> jax.Array:
    """A gathered matrix in the weight's own shape, without what filled it up."""
    shape = list(shard)
    shape[_sharded_dim(sharding)] *= jax.lax.axis_size("data")
    return rows.reshape(-1)[: math.prod(shape)].reshape(shape)


def _fill_up(matrix: jax.Array, parts: int) -> jax.Array:
    """Rows of zeros at the end, so that each device's rows are whole tiles."""
    return jnp.pad(matrix, ((0, -matrix.shape[0] % (parts * SUBLANES)), (0, 0)))
