"""From an array's logical axes to the mesh: one table, and an error where it cannot be followed.

A parameter names its axes where it is declared (`logical`); its sharding, the abstract state and the restore
target all derive from that.
"""

import math
from collections.abc import Callable
from typing import Any

import jax
from flax import nnx
from jax.sharding import AbstractMesh, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from bert_jax.errors import UserError
from bert_jax.parallel.mesh import AXES, BATCH_AXES

# Logical axis -> mesh axis. The vocabulary is not sharded over tensor: 30522 divides by 2 and by nothing larger that is
# a power of two, and the head reads only the masked positions, a few percent of the work.
RULES: dict[str, str | tuple[str, ...] | None] = {
    "batch": BATCH_AXES,
    "length": None,
    "embed": "fsdp",
    "embed_out": None,
    "heads": "tensor",
    "mlp": "tensor",
    "vocab": None,
    "position": None,
    "token_type": None,
    "label": None,
}


LOOKED_UP = ("vocab", "position", "token_type")  # axes along which ids choose rows
# Numbers that a device must get of an array for it to be sharded over data too.
SMALLEST_SHARD = 64


def logical(init: Callable[..., jax.Array], *axes: str) -> Callable[..., Any]:
    """The initializer `init`, with the logical axes of what it makes written on it."""
    return nnx.with_metadata(init, axes=axes)


def partition_spec(axes: tuple[str, ...]) -> P:
    """The PartitionSpec of an array with these logical axes.

    Raises:
      ValueError: an axis that the table does not know, or two axes on one mesh axis.
    """
    unknown = [axis for axis in axes if axis not in RULES]
    if unknown:
        raise ValueError(f"logical axis {unknown[0]!r} is not in bert_jax/parallel/axes.py RULES")
    spec = [RULES[axis] for axis in axes]
    used = [name for entry in spec if entry for name in ((entry,) if isinstance(entry, str) else entry)]
    if len(used) != len(set(used)):
        raise ValueError(f"logical axes {axes} put two dimensions on one mesh axis: {spec}")
    return P(*spec)


def parameter_sharding(
    mesh: Mesh, path: tuple[str, ...], shape: tuple[int, ...], axes: tuple[str, ...]
) -> NamedSharding:
    """The sharding of one parameter.

    Raises:
      UserError: a dimension does not divide over its mesh axis.
    """
    spec = partition_spec(axes)
    for size, axis, entry in zip(shape, axes, spec, strict=True):
        if entry and size % mesh.shape[entry]:
            raise UserError(
                f"{'/'.join(path)}: dimension {axis!r} of {size} does not divide over the mesh axis "
                f"{entry!r} of {mesh.shape[entry]}; choose --config.mesh.{entry} as a divisor of {size}"
            )
    return NamedSharding(mesh, spec)


def over_data_too(mesh: Mesh, sharding: NamedSharding, shape: tuple[int, ...]) -> NamedSharding:
    """`sharding` with the data axis laid on the first free dimension that divides, for weight-update sharding.

    An array too small to be worth a message stays as it is, and one with no such dimension (is_left_whole). arXiv
    2004.13336 describes the technique; parallel/weight_update.py uses what is laid out here.
    """
    parts = mesh.shape["data"]
    if parts == 1 or _is_small(mesh, shape):
        return sharding
    spec = list(sharding.spec) + [None] * (len(shape) - len(sharding.spec))
    for dim, (size, entry) in enumerate(zip(shape, spec, strict=True)):
        if _is_free(mesh, entry) and size % parts == 0:
            spec[dim] = "data"
            return NamedSharding(mesh, P(*spec))
    return sharding


def is_left_whole(sharding: NamedSharding, shape: tuple[int, ...]) -> bool:
    """Whether an array is on no data axis although it is large enough: then each device along data has all of it."""
    mesh = sharding.mesh
    assert isinstance(mesh, Mesh)
    return mesh.shape["data"] > 1 and not _is_small(mesh, shape) and "data" not in sharding.spec


def _is_small(mesh: Mesh, shape: tuple[int, ...]) -> bool:
    return math.prod(shape) < SMALLEST_SHARD * mesh.shape["data"]


def without_data(sharding: NamedSharding) -> NamedSharding:
    """The sharding before over_data_too."""
    return NamedSharding(sharding.mesh, P(*(None if entry == "data" else entry for entry in sharding.spec)))


def _is_free(mesh: Mesh, entry: str | tuple[str, ...] | None) -> bool:
    """Whether no device boundary runs through a dimension: it is on no axis, or on axes of one device."""
    return math.prod(mesh.shape[name] for name in _names(entry)) == 1


def _names(entry: str | tuple[str, ...] | None) -> tuple[str, ...]:
    """The mesh axes of one entry of a PartitionSpec."""
    return (entry,) if isinstance(entry, str) else entry or ()


def constrain(array: jax.Array, *axes: str) -> jax.Array:
    """Lay `array` out along our mesh, if one is in force (`jax.set_mesh`); else it is returned as it is.

    It is too where the mesh is somebody else's, a caller's of the library: how arrays lie there is the caller's choice.
    """
    mesh = jax.sharding.get_abstract_mesh()
    if not _is_ours(mesh) or math.prod(mesh.shape.values()) == 1:
        return array
    spec = partition_spec(axes)
    if mesh.manual_axes:  # under shard_map the array is one device's own along these, and has no axis on them
        left = [tuple(name for name in _names(entry) if name not in mesh.manual_axes) for entry in spec]
        spec = P(*(names or None for names in left))
    return jax.lax.with_sharding_constraint(array, spec)


def _is_ours(mesh: AbstractMesh) -> bool:
    """Whether it is one of make_mesh, along some axis of which the compiler lays arrays out."""
    return mesh.axis_names == AXES and bool(mesh.auto_axes)


def varying_alike(params: Any, batch: Any) -> Any:
    """The tree `params`, where a caller's shard_map gives each device its own rows, as if each had its own params, too.

    So what a device computes of both has gradients of its own, which JAX then adds up. Elsewhere they are as they were.
    """
    axes = frozenset().union(*map(_varying, jax.tree.leaves((params, batch))))
    return jax.tree.map(lambda leaf: jax.lax.pcast(leaf, tuple(axes - _varying(leaf)), to="varying"), params)


def _varying(array: Any) -> frozenset[str]:
    """The axes of a shard_map along which devices may have different numbers in the array."""
    varying: frozenset[str] = jax.typeof(array).manual_axis_type.varying
    return varying


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """Rows of a global batch over data and fsdp."""
    return NamedSharding(mesh, P(BATCH_AXES))


def replicated(mesh: Mesh) -> NamedSharding:
    """A whole copy on every device."""
    return NamedSharding(mesh, P())
