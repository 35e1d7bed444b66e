"""The mesh: which devices there are and how they are laid out along replica, data, fsdp and tensor."""

import contextlib
import math
from collections.abc import Iterator

import jax
import numpy as np
from absl import logging
from jax.experimental import mesh_utils
from jax.sharding import AxisType, Mesh

from bert_jax.config import MeshConfig, ModelConfig, PhaseConfig
from bert_jax.errors import UserError

AXES = ("replica", "data", "fsdp", "tensor")
DATA_PARALLEL_AXES = ("replica", "data")  # along which each device has all of the weights in a step
BATCH_AXES = (*DATA_PARALLEL_AXES, "fsdp")
SUBLANES = 8  # rows of a TPU's tile
LEAST_FILLED = 2 / 3  # of the tiles of a weight's shard


def make_mesh(config: MeshConfig, devices: list[jax.Device] | None = None, model: ModelConfig | None = None) -> Mesh:
    """Lay the devices (default: all of every process) out along replica, data, fsdp and tensor, for this model.

    Weights whose rows or columns are its hidden_size are cut over data. Where the config gives neither replica nor
    data, data is what most_shards gives, and replica the rest. Of layers that share their weights, fsdp is data too:
    one layer's are all that there are, so nothing is saved by gathering them for each use, and each use's gradient
    would be summed by itself.

    Raises:
      UserError: the axes' sizes do not multiply to the number of devices.
    """
    devices = jax.devices() if devices is None else devices
    sizes = _axis_sizes(config, len(devices))
    if model and model.distinct_layers < model.num_hidden_layers and sizes["fsdp"] > 1:
        logging.info("layers that share their weights: the mesh's fsdp=%d are data", sizes["fsdp"])
        sizes |= {"data": sizes["data"] * sizes["fsdp"], "fsdp": 1}
    if model and config.data == -1 and not config.replica:
        shards = most_shards(sizes["data"], model.hidden_size, devices[0].platform)
        sizes |= {"replica": sizes["data"] // shards, "data": shards}
    # Auto: the compiler propagates shardings from the arguments.
    return Mesh(_laid_out(tuple(sizes.values()), devices), AXES, axis_types=(AxisType.Auto,) * len(AXES))


def _laid_out(sizes: tuple[int, ...], devices: list[jax.Device]) -> np.ndarray:
    """An array of the devices, neighbours of the network beside each other as far as JAX finds how."""
    try:
        # An axis of the network is cut in two where an axis of the mesh asks for it; jax.make_mesh would refuse.
        return mesh_utils.create_device_mesh(sizes, devices, allow_split_physical_axes=True)
    except TypeError:  # it takes some sizes of a network's axes, 28 or 10, for primes, and finds nothing then
        return mesh_utils.create_device_mesh((len(devices),), devices).reshape(sizes)


def most_shards(devices: int, hidden_size: int, platform: str) -> int:
    """Over how many of `devices` weights are cut: the most that divide them, and on TPUs nearly fill whole tiles.

    A TPU's shard of [1024, 4096] is filled up to 8 rows for its gather and its sum: on 2048 cores of v3 gradients of
    8.4 MB were sums of 134 MB (benchmarks/step_trials.md). 6 of 8 rows, BERT-base on 128 cores, cost less than groups.
    """
    divisors = [count for count in range(1, devices + 1) if devices % count == hidden_size % count == 0]
    filled = [count for count in divisors if _filled(hidden_size // count) >= LEAST_FILLED]
    return max(filled if platform == "tpu" and filled else divisors)


def _filled(rows: int) -> float:
    """The share of its tiles that a shard fills."""
    return rows / (-(-rows // SUBLANES) * SUBLANES)


def by_sequence(mesh: Mesh | None = None) -> bool:
    """Whether layers of a model on the mesh (default: all devices) work on [batch, length, embed], as encoder.py says.

    TPUs compute that form faster, all others rows of tokens (benchmarks/step_trials.md); the numbers are the same.
    """
    device = jax.devices()[0] if mesh is None else mesh.devices.flat[0]
    return device.platform == "tpu"


@contextlib.contextmanager
def no_mesh() -> Iterator[None]:
    """Within it, or a function that it decorates, no mesh is in force: neither ours nor a caller's of the library."""
    if jax.sharding.get_abstract_mesh().empty:
        yield
    else:
        with jax.set_mesh(None):
            yield


def groups_line(mesh: Mesh) -> str:
    """For people: that there are several groups of devices with all weights each; "" if there is one."""
    groups = mesh.shape["replica"]
    if groups == 1:
        return ""
    return (
        f"weights and optimizer state are cut over {mesh.size // groups} devices, and each of {groups} groups has all "
        "shards (--config.mesh.replica=1 cuts over all; without it, groups are made where finer shards would be parts "
        "of tiles, or do not divide)"
    )


def _axis_sizes(config: MeshConfig, num_devices: int) -> dict[str, int]:
    sizes = {axis: getattr(config, axis) for axis in AXES} | {"replica": config.replica or 1}
    if list(sizes.values()).count(-1) > 1:
        raise UserError("only one of --config.mesh.data, fsdp and tensor may be -1; give the others' sizes")
    known = math.prod(size for size in sizes.values() if size != -1)
    found = {axis: num_devices // known if size == -1 else size for axis, size in sizes.items()}
    if math.prod(found.values()) != num_devices:
        named = [axis for axis in AXES if axis != "replica" or config.replica]
        asked = "x".join(str(sizes[axis]) for axis in named)
        raise UserError(
            f"--config.mesh ({' x '.join(named)} = {asked}) does not fit {num_devices} device(s); "
            f"choose sizes whose product is {num_devices}"
        )
    return found


def data_parallel_size(mesh: Mesh) -> int:
    """How many devices, or groups of them, have all of the weights in a step, each for its rows of the batch."""
    return math.prod(mesh.shape[axis] for axis in DATA_PARALLEL_AXES)


def batch_shards(mesh: Mesh) -> int:
    """Into how many shards the rows of a global batch are split."""
    return math.prod(mesh.shape[axis] for axis in BATCH_AXES)


def check_batch(mesh: Mesh, phase: PhaseConfig, accumulation_steps: int) -> None:
    """Raise UserError unless the phase's global batch divides over the mesh and the accumulation steps."""
    unit = batch_shards(mesh) * accumulation_steps
    name, size = ("packed_rows", phase.packed_rows) if phase.packed_rows else ("global_batch_size", phase.rows)
    if size % unit:
        larger = (size // unit + 1) * unit
        remedy = f"use {size // unit * unit} or {larger}" if size > unit else f"use {larger}"
        if phase.packed_rows:  # chosen, mostly; fewer would leave sequences out
            remedy = (
                f"give --config.phases[N].packed_rows={larger}; a resumed run keeps its rows: there, give a mesh "
                f"and --config.train.accumulation_steps that divide {size}"
            )
        raise UserError(
            f"{name}={size} does not divide over {batch_shards(mesh)} batch shards x "
            f"{accumulation_steps} accumulation steps; {remedy}"
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
