"""A function of whole matrices whose shards lie on a mesh: each device gets its share of the matrices, whole.

Those of one shape are stacked and dealt out over all devices, by an exchange of shards along each axis of the mesh, and
the results go back the same way. So the function is computed once for each matrix, in the same order of sums as on one
device, and what a device sends is as much as its shards of the matrices, twice.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import AbstractMesh, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

Path = tuple[str, ...]
OfStack = Callable[[jax.Array], jax.Array]  # [matrices, rows, columns] -> the same shape, each by itself


def on_whole_matrices(
    function: OfStack, matrices: Mapping[Path, jax.Array], shardings: Mapping[Path, NamedSharding]
) -> dict[Path, jax.Array]:
    """What `function` gives for each matrix [rows, columns], laid out as the matrix is.

    `shardings` say where the matrices lie, all on one mesh, each dimension on one of its axes or on none. A stack is
    filled up with zeros where it does not divide over the devices.
    """
    results: dict[Path, jax.Array] = {}
    for paths in _alike(matrices, shardings):
        sharding = shardings[paths[0]]
        specs = (sharding.spec,) * len(paths)
        dealt = functools.partial(_dealt, function, sharding)
        of_all = jax.shard_map(dealt, mesh=sharding.mesh, in_specs=specs, out_specs=specs, check_vma=False)
        results |= zip(paths, of_all(*(matrices[path] for path in paths)), strict=True)
    return results


def _dealt(function: OfStack, sharding: NamedSharding, *shards: jax.Array) -> tuple[jax.Array, ...]:
    """On one device: its shards of the matrices -> its shards of the results."""
    mesh, spec = sharding.mesh, sharding.spec
    stack = jnp.pad(jnp.stack(shards), ((0, -len(shards) % mesh.size), (0, 0), (0, 0)))
    return tuple(_give_back(function(_deal(stack, mesh, spec)), mesh, spec)[: len(shards)])


def _alike(matrices: Mapping[Path, jax.Array], shardings: Mapping[Path, NamedSharding]) -> list[list[Path]]:
    """The paths, those together whose matrices have one shape and one layout."""
    alike: dict[Any, list[Path]] = {}
    for path, matrix in matrices.items():
        alike.setdefault((matrix.shape, shardings[path].spec), []).append(path)
    return list(alike.values())


def _deal(shards: jax.Array, mesh: Mesh | AbstractMesh, spec: P) -> jax.Array:
    """A device's shards of all matrices -> its share of the matrices, whole."""
    for axis, size in mesh.shape.items():
        if size > 1 and axis in spec:
            shards = jax.lax.all_to_all(shards, axis, 0, 1 + spec.index(axis), tiled=True)
        elif size > 1:  # all along this axis have the same
            share = len(shards) // size
            shards = jax.lax.dynamic_slice_in_dim(shards, jax.lax.axis_index(axis) * share, share)
    return shards


def _give_back(whole: jax.Array, mesh: Mesh | AbstractMesh, spec: P) -> jax.Array:
    """The way back from _deal."""
    for axis, size in reversed(mesh.shape.items()):
        if size > 1 and axis in spec:
            whole = jax.lax.all_to_all(whole, axis, 1 + spec.index(axis), 0, tiled=True)
        elif size > 1:
            whole = jax.lax.all_gather(whole, axis, tiled=True)
    return whole
