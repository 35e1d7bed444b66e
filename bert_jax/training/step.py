"""One training step, as a pure function for jit."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from bert_jax import scopes
from bert_jax.model.functional import Model, Params
from bert_jax.objectives.objective import Batch, Objective, Sums
from bert_jax.parallel.axes import batch_sharding, replicated
from bert_jax.parallel.mesh import DATA_PARALLEL_AXES, data_parallel_size
from bert_jax.parallel.weight_update import data_specs, gather, scatter_sum
from bert_jax.training.frozen import Frozen, with_targets
from bert_jax.training.norms import norms_by_group
from bert_jax.training.state import State
from bert_jax.training.update import update_for

# (params, (a chunk of) the batch, weights of the whole, keys of its rows) -> its loss or gradient, and its sums
Loss = Callable[[Params, Batch, Sums, jax.Array], tuple[jax.Array, Sums]]
Gradient = Callable[[Params, Batch, Sums, jax.Array], tuple[Params, Sums]]
# Of the step, by platform.
COMPILER_OPTIONS: dict[str, dict[str, Any]] = {
    # Registers of 512 bits where there are some; small models gain most.
    "cpu": {"xla_cpu_prefer_vector_width": 512},
    "tpu": {
        # A device draws bits for its own rows; else each draws those of the whole batch and keeps its own.
        "xla_tpu_spmd_rng_bit_generator_unsafe": True,
        # Weights are gathered while the layers before them compute; else all of them before the first layer.
        "xla_enable_async_all_gather": True,
    },
}


@dataclasses.dataclass(frozen=True)
class StepOptions:
    """How a step goes through its global batch, and what it measures."""

    accumulation_steps: int = 1  # the batch is split into this many, one after the other
    clip_pieces: int = 1  # above 1: `clip` is applied to the gradient of each of so many, before they are summed
    clip: optax.GradientTransformation = dataclasses.field(default_factory=optax.identity)
    measure_every: int = 1  # steps; norms of the update are measured in the last of them, and 0 in the others


def dropout_key(seed: int, bits: str, platform: str) -> jax.Array:
    """The run's dropout key; step s uses fold_in(key, s), so that the bits are a function of (seed, step).

    Threefry gives the same bits on any mesh and is slow on accelerators; rbg is their hardware generator.
    """
    if bits == "auto":
        bits = "threefry" if platform == "cpu" else "rbg"
    return jax.random.key(seed, impl={"threefry": "threefry2x32", "rbg": "rbg"}[bits])


def train_step(
    objective: Objective,
    model: Model,
    optimizer: optax.GradientTransformation,
    shardings: Params,
    key: jax.Array,
    options: StepOptions,
    frozen: Frozen = (),
) -> Callable[..., tuple[State, Sums]]:
    """The function (state, global batch, *weights of the frozen models) -> (next state, sums): one update.

    `shardings` are the parameters', `key` is the run's dropout key. A step whose loss or gradient is not finite leaves
    weights and moments as they are: sums["skipped"] is 1 then.
    """
    update = update_for(optimizer, model.groups, mesh_of(shardings).devices.flat[0].platform)
    loss = functools.partial(chunk_loss, objective, model)
    gradient = batch_gradient(loss, objective, model, shardings, options, frozen)

    def step(state: State, batch: Batch, *weights: Params) -> tuple[State, Sums]:
        gradients, sums = gradient(state["params"], batch, jax.random.fold_in(key, state["step"]), *weights)
        with jax.named_scope(scopes.OPTIMIZER):
            sums |= norms_by_group("gradient_norm", gradients, model.groups)
            finite = jnp.isfinite(objective.loss(sums, sums)) & jnp.isfinite(sums["gradient_norm"])
            sums["skipped"] = 1.0 - finite.astype(jnp.float32)
            measured = finite & ((state["step"] + 1) % options.measure_every == 0)
            params, opt_state, norms = update(gradients, state["opt_state"], state["params"], finite, measured)
        return {"step": state["step"] + 1, "params": params, "opt_state": opt_state}, sums | norms

    return step


def chunk_loss(
    objective: Objective, model: Model, params: Params, batch: Batch, weights: Sums, keys: jax.Array
) -> tuple[jax.Array, Sums]:
    """Loss and sums of `batch`, which is (a chunk of) the batch that has these weights.

    keys [rows]: each row's own, of its number in the global batch, so that its dropout is the same wherever it is
    computed. The hardware generator draws one stream for all rows, since drawing many would go through a loop.
    """
    key = keys[0] if jax.random.key_impl(keys) == "rbg" else keys
    sums = objective.sums(model.apply(params, **objective.inputs(batch), dropout_key=key), batch)
    return objective.loss(sums, weights), sums


def batch_gradient(
    loss: Loss, objective: Objective, model: Model, shardings: Params, options: StepOptions, frozen: Frozen = ()
) -> Callable[..., tuple[Params, Sums]]:
    """The function (params, global batch, the step's dropout key, *weights of the frozen models) -> (gradients, sums).

    However the batch is split. `loss` is chunk_loss of the objective; what else it gives among its sums is summed over
    all chunks too.
    """
    devices = data_parallel_size(mesh_of(shardings))

    def on_data_parallel_device(
        params: Params, batch: Batch, keys: jax.Array, weights: Sums, *frozen_params: Params
    ) -> tuple[Params, Sums]:
        def gradient(params: Params, chunk: Batch, weights: Sums, keys: jax.Array) -> tuple[Params, Sums]:
            chunk = with_targets(frozen, frozen_params, chunk)
            return jax.grad(loss, has_aux=True)(params, chunk, weights, keys)

        if options.clip_pieces > 1:
            return _clipped(gradient, objective, params, batch, options.clip_pieces // devices, options.clip, keys)
        return _accumulated(gradient, params, batch, options.accumulation_steps, keys, weights)

    return functools.partial(_sum_over_data_parallel, on_data_parallel_device, objective, model, shardings, frozen)


def _sum_over_data_parallel(
    gradient: Callable[..., tuple[Params, Sums]],
    objective: Objective,
    model: Model,
    shardings: Params,
    frozen: Frozen,
    params: Params,
    batch: Batch,
    key: jax.Array,
    *frozen_params: Params,
) -> tuple[Params, Sums]:
    """Sums over the data-parallel axes of what `gradient` gives on each data-parallel device.

    It is called with whole parameters, a device's rows of the batch, their keys, the weights of the whole batch, and
    the frozen models' whole parameters.
    """
    mesh = mesh_of(shardings)
    keys = jax.vmap(functools.partial(jax.random.fold_in, key))(jnp.arange(len(next(iter(batch.values())))))
    weights = objective.weights(batch)
    if data_parallel_size(mesh) == 1:
        return gradient(model.compute_params(params), batch, keys, weights, *frozen_params)
    specs, rows = data_specs(shardings), P(DATA_PARALLEL_AXES)

    @functools.partial(
        jax.shard_map,
        mesh=mesh,
        in_specs=(specs, rows, rows, P(), *(data_specs(each.shardings) for each in frozen)),
        out_specs=(specs, P()),
        axis_names=set(DATA_PARALLEL_AXES),
        check_vma=False,
    )
    def run(
        params: Params, batch: Batch, keys: jax.Array, weights: Sums, *frozen_params: Params
    ) -> tuple[Params, Sums]:
        with jax.named_scope(scopes.WEIGHTS):
            whole = gather(model.compute_params(params), shardings, model.axes)
            read = [each.gathered(shards) for each, shards in zip(frozen, frozen_params, strict=True)]
        gradients, sums = gradient(whole, batch, keys, weights, *read)
        with jax.named_scope(scopes.GRADIENTS):
            gradients = jax.tree.map(lambda array, weight: array.astype(weight.dtype), gradients, whole)
            return scatter_sum(gradients, params, shardings), jax.lax.psum(sums, DATA_PARALLEL_AXES)

    return run(params, batch, keys, weights, *frozen_params)


def _accumulated(
    gradient: Gradient, params: Params, batch: Batch, chunks: int, keys: jax.Array, weights: Sums
) -> tuple[Params, Sums]:
    """Gradient and sums of a data-parallel device's rows, computed in `chunks` one after the other."""
    if chunks == 1:
        return gradient(params, batch, weights, keys)

    def chunk_gradient(chunk: Batch, keys: jax.Array) -> tuple[Params, Sums]:
        return gradient(params, chunk, weights, keys)

    split = {name: every_nth_row(array, chunks) for name, array in batch.items()}
    return sum_one_by_one(chunk_gradient, split, every_nth_row(keys, chunks))


def _clipped(
    gradient: Gradient,
    objective: Objective,
    params: Params,
    batch: Batch,
    pieces: int,
    clip: optax.GradientTransformation,
    keys: jax.Array,
) -> tuple[Params, Sums]:
    """Sums over a device's `pieces` runs of rows of each one's own gradient, of its own mean loss, clipped.

    The original does so with a piece to each TPU core: it clips before the sum over cores (optimization.py:74), and
    its CrossShardOptimizer sums and does not average. Here a device may have several, one after the other, so that
    the mesh makes no difference.
    """

    def piece_gradient(piece: Batch, keys: jax.Array) -> tuple[Params, Sums]:
        gradients, sums = gradient(params, piece, objective.weights(piece), keys)
        gradients = jax.tree.map(lambda array: array.astype(jnp.float32), gradients)
        return clip.update(gradients, optax.EmptyState())[0], sums

    apart = {name: array.reshape(pieces, -1, *array.shape[1:]) for name, array in batch.items()}
    return sum_one_by_one(piece_gradient, apart, keys.reshape(pieces, -1))


def sum_one_by_one(function: Callable[..., Any], *chunks: Any) -> Any:
    """Sum in float32 of `function(*chunk)` over the chunks that lie along the first axis."""

    def add(total: Any, chunk: Any) -> tuple[Any, None]:
        return jax.tree.map(jnp.add, total, function(*chunk)), None

    shapes = jax.eval_shape(function, *jax.tree.map(lambda array: array[0], chunks))
    return jax.lax.scan(add, jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, jnp.float32), shapes), chunks)[0]


def every_nth_row(array: jax.Array, chunks: int) -> jax.Array:
    """[batch, ...] -> [chunks, batch / chunks, ...], every so many-th row a chunk: so each device keeps its rows."""
    return jnp.moveaxis(array.reshape(array.shape[0] // chunks, chunks, *array.shape[1:]), 1, 0)


def mesh_of(shardings: Any) -> Mesh:
    """The mesh of a tree of NamedShardings."""
    return jax.tree.leaves(shardings)[0].mesh


def jit_train_step(
    step: Callable[..., Any], mesh: Mesh, shardings: State, frozen: Frozen = ()
) -> Callable[..., tuple[State, Sums]]:
    """Compile for the mesh; the incoming state's memory is given to the outgoing one."""
    return jax.jit(
        step,
        in_shardings=(shardings, batch_sharding(mesh), *(each.shardings for each in frozen)),
        out_shardings=(shardings, replicated(mesh)),
        donate_argnums=0,
        compiler_options=COMPILER_OPTIONS.get(mesh.devices.flat[0].platform),
    )
