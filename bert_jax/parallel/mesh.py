"""The mesh: which devices there are and how they are laid out along data, fsdp and tensor."""

import math

import jax
from jax.sharding import AxisType, Mesh

from bert_jax.config import MeshConfig, PhaseConfig
from bert_jax.errors import UserError

AXES = ("data", "fsdp", "tensor")
BATCH_AXES = ("data", "fsdp")


def make_mesh(config: MeshConfig, devices: list[jax.Device] | None = None) -> Mesh:
    """Lay the devices (default: all of every process) out along data, fsdp and tensor.

    Raises:
      UserError: the axes' sizes do not multiply to the number of devices.
    """
    devices = jax.devices() if devices is None else devices
    sizes = _axis_sizes(config, len(devices))
    # Auto: the compiler propagates shardings from the arguments; jax.make_mesh would default to Explicit.
    return jax.make_mesh(sizes, AXES, axis_types=(AxisType.Auto,) * len(AXES), devices=devices)


def _axis_sizes(config: MeshConfig, num_devices: int) -> tuple[int, ...]:
    sizes = [config.data, config.fsdp, config.tensor]
    if sizes.count(-1) > 1:
        raise UserError("only one of --config.mesh.data, fsdp and tensor may be -1; give the others' sizes")
    known = math.prod(size for size in sizes if size != -1)
    sizes = [num_devices // known if size == -1 else size for size in sizes]
    if math.prod(sizes) != num_devices:
        asked = "x".join(str(getattr(config, axis)) for axis in AXES)
        raise UserError(
            f"--config.mesh (data x fsdp x tensor = {asked}) does not fit {num_devices} device(s); "
            f"choose sizes whose product is {num_devices}"
        )
    return tuple(sizes)


def batch_shards(mesh: Mesh) -> int:
    """Into how many shards the rows of a global batch are split."""
    return math.prod(mesh.shape[axis] for axis in BATCH_AXES)


def check_batch(mesh: Mesh, phase: PhaseConfig, accumulation_steps: int) -> None:
    """Raise UserError unless the phase's global batch divides over the mesh and the accumulation steps."""
    unit = batch_shards(mesh) * accumulation_steps
    name, size = ("packed_rows", phase.packed_rows) if phase.packed_rows else ("global_batch_size", phase.rows)
    if size % unit:
        near = f"{size // unit * unit} or " if size > unit else ""
        raise UserError(
            f"{name}={size} of a phase does not divide over {batch_shards(mesh)} batch shards x "
            f"{accumulation_steps} accumulation steps; use {near}{(size // unit + 1) * unit}"
        )


def check_clip_pieces(mesh: Mesh, pieces: int) -> None:
    """Raise UserError unless the pieces whose gradients are clipped one by one divide over the mesh."""
    if pieces > 1 and pieces % batch_shards(mesh):
        raise UserError(
            f"--config.optimizer.clip_pieces={pieces} does not divide over {batch_shards(mesh)} batch shards; "
            f"use a multiple of {batch_shards(mesh)}, or 1 to clip the whole batch's gradient"
        )


def check_heads(mesh: Mesh, heads: int) -> None:
    """Raise UserError unless the attention heads divide over the tensor axis."""
    if heads % mesh.shape["tensor"]:
        raise UserError(
            f"{heads} attention heads do not divide over the mesh axis 'tensor' of {mesh.shape['tensor']}; "
            f"choose --config.mesh.tensor as a divisor of {heads}"
        )
