"""Weight-update sharding (arXiv 2004.13336): each replica keeps and updates its share of the weights.

Before a step the shares are gathered, in the dtype in which they are multiplied; after it the gradient is summed and
each replica gets its share of the sum. All that runs under `shard_map` over the mesh axis "data"; along the other axes
the compiler sees to it. Weights that are not cut over data are the same on every replica and only summed.

TPUs decide the details. They gather without copies along a dimension before the last two, if the last two are whole
tiles of 8 x 128; and a piece of less than LEAST_BYTES is not gathered at all but written into zeros that are then
summed, which is slower than the layer that uses it. So equal kernels of several layers are gathered as one.
"""

import itertools
import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from bert_jax.parallel.axes import LOOKED_UP

Tree = Any  # nested dicts like the parameters
LEAST_BYTES = 160 * 1024
WHOLE = -1
SUBLANES = 8  # rows of a TPU's tile


def data_specs(shardings: Tree) -> Tree:
    """What shard_map is told of each weight: where it is cut over data, and nothing of the other axes."""
    return jax.tree.map(
        lambda sharding: P(*("data" if entry == "data" else None for entry in sharding.spec)), shardings
    )


def gather(shares: Tree, shardings: Tree, axes: Mapping[tuple[str, ...], tuple[str, ...]]) -> Tree:
    """Whole weights, of the same dtypes, from each replica's shares.

    `axes` are the parameters' logical axes, by path. A table that is looked up and is cut over its columns comes with
    rows of zeros at its end, up to whole tiles on each replica: on TPUs, taking them off would copy the table.
    """
    paths_and_shares, tree = jax.tree_util.tree_flatten_with_path(shares)
    layouts = jax.tree.leaves(shardings)
    whole = [share for _, share in paths_and_shares]
    rows = {number: _by_rows(whole[number], _cut(layouts[number])) for number in _cut_ones(layouts)}
    for bundle in _bundles(rows, layouts):
        gathered = jax.lax.all_gather(jnp.stack([rows[number] for number in bundle]), "data", axis=1, tiled=True)
        for place, number in enumerate(bundle):
            path, share = paths_and_shares[number]
            is_table = axes[tuple(entry.key for entry in path)][0] in LOOKED_UP
            whole[number] = gathered[place] if is_table else _whole(gathered[place], share.shape, layouts[number])
    return jax.tree.unflatten(tree, whole)


def scatter_sum(gradients: Tree, shares: Tree, shardings: Tree) -> Tree:
    """Each replica's gradients of the whole weights -> this replica's share of their sum.

    They travel, are added and are given in the dtype that they have.
    """

    def share_of_sum(gradient: jax.Array, share: jax.Array, sharding: NamedSharding) -> jax.Array:
        dim, parts = _cut(sharding), jax.lax.axis_size("data")
        if dim == WHOLE:
            return jax.lax.psum(gradient, "data")
        columns = math.prod(share.shape[dim:]) * parts if dim else math.prod(share.shape[1:])
        rows = _fill_up(gradient.reshape(-1, columns), parts) if dim else gradient
        summed = jax.lax.psum_scatter(rows.reshape(parts, -1, columns), "data", scatter_dimension=0)
        return _by_columns(summed, share.shape, dim)

    return jax.tree.map(share_of_sum, gradients, shares, shardings)


def _cut(sharding: NamedSharding) -> int:
    """The dimension that lies on the data axis; WHOLE if none does."""
    return next((dim for dim, entry in enumerate(sharding.spec) if entry == "data"), WHOLE)


def _cut_ones(layouts: list[NamedSharding]) -> list[int]:
    return [number for number, sharding in enumerate(layouts) if _cut(sharding) != WHOLE]


def _bundles(rows: dict[int, jax.Array], layouts: list[NamedSharding]) -> list[list[int]]:
    """Numbers of the shares that are gathered together: alike, and no more of them than LEAST_BYTES asks for."""
    alike: dict[Any, list[int]] = {}
    for number, share in rows.items():
        alike.setdefault((share.shape, share.dtype, layouts[number].spec), []).append(number)
    bundles = []
    for (shape, dtype, _), numbers in alike.items():
        enough = -(-LEAST_BYTES // (math.prod(shape) * dtype.itemsize))
        count = max(1, len(numbers) // enough)
        ends = [len(numbers) * end // count for end in range(count + 1)]
        bundles += [numbers[start:end] for start, end in itertools.pairwise(ends)]
    return bundles


def _by_rows(share: jax.Array, dim: int) -> jax.Array:
    """A share of the weight -> rows of it as a matrix, all columns: [rows / replicas, columns].

    A share that is columns is first exchanged for one that is rows, filled up to whole tiles.
    """
    if dim == 0:
        return share.reshape(share.shape[0], -1)
    parts = jax.lax.axis_size("data")
    columns = _fill_up(share.reshape(math.prod(share.shape[:dim]), -1), parts)
    exchanged = jax.lax.all_to_all(columns.reshape(parts, -1, columns.shape[1]), "data", 0, 1)
    return exchanged.reshape(exchanged.shape[0], -1)


def _by_columns(rows: jax.Array, shape: tuple[int, ...], dim: int) -> jax.Array:
    """The way back from _by_rows, to a share of `shape`."""
    if dim:
        parts = jax.lax.axis_size("data")
        exchanged = jax.lax.all_to_all(rows.reshape(rows.shape[0], parts, -1), "data", 1, 0)
        rows = exchanged.reshape(-1, exchanged.shape[2])[: math.prod(shape[:dim])]
    return rows.reshape(shape)


def _whole(rows: jax.Array, share: tuple[int, ...], sharding: NamedSharding) -> jax.Array:
    """A gathered matrix in the weight's own shape, without what filled it up."""
    shape = list(share)
    shape[_cut(sharding)] *= jax.lax.axis_size("data")
    return rows.reshape(-1)[: math.prod(shape)].reshape(shape)


def _fill_up(matrix: jax.Array, parts: int) -> jax.Array:
    """Rows of zeros at the end, so that each replica's rows are whole tiles."""
    return jnp.pad(matrix, ((0, -matrix.shape[0] % (parts * SUBLANES)), (0, 0)))
