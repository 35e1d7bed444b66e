"""One training step, as a pure function for jit."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from bert_jax.model.heads import PretrainingLogits
from bert_jax.parallel.axes import batch_sharding, replicated
from bert_jax.parallel.weight_update import data_specs, gather, scatter_sum
from bert_jax.training.norms import norms_by_room
from bert_jax.training.objective import Batch, batch_sums, batch_weights, loss_from_sums
from bert_jax.training.state import Model, Params, State
from bert_jax.training.update import update_for

Sums = dict[str, jax.Array]
# (params, (a piece of) the batch, weights of the whole, keys of its rows) -> its loss or gradient, and its sums
Loss = Callable[[Params, Batch, Sums, jax.Array], tuple[jax.Array, Sums]]
Gradient = Callable[[Params, Batch, Sums, jax.Array], tuple[Params, Sums]]
# What each platform's compiler is told of the step.
COMPILER_OPTIONS: dict[str, dict[str, Any]] = {
    # Registers of 512 bits where there are some; small models gain most.
    "cpu": {"xla_cpu_prefer_vector_width": 512},
    "tpu": {
        # A replica draws bits for its own rows; else each draws those of the whole batch and keeps its share.
        "xla_tpu_spmd_rng_bit_generator_unsafe": True,
        # Weights are gathered while the layers before them compute; else all of them before the first layer.
        "xla_enable_async_all_gather": True,
    },
}
INPUTS = ("input_ids", "input_mask", "segment_ids", "masked_lm_positions")
PACKED_INPUTS = ("position_ids", "next_sentence_positions")  # there where a row holds several sequences


def dropout_key(seed: int, bits: str, platform: str) -> jax.Array:
    """The run's dropout key; step s uses fold_in(key, s), so that the bits are a function of (seed, step).

    Threefry gives the same bits on any mesh and is slow on accelerators; rbg is their hardware generator.
    """
    if bits == "auto":
        bits = "threefry" if platform == "cpu" else "rbg"
    return jax.random.key(seed, impl={"threefry": "threefry2x32", "rbg": "rbg"}[bits])


def train_step(
    model: Model,
    optimizer: optax.GradientTransformation,
    shardings: Params,
    accumulation_steps: int,
    key: jax.Array,
    clip_pieces: int = 1,
    clip: optax.GradientTransformation | None = None,
    measure_every: int = 1,
) -> Callable[[State, Batch], tuple[State, Sums]]:
    """The function (state, global batch) -> (next state, sums): one update of the weights.

    `shardings` are the parameters'. With `clip_pieces` above 1, `clip` is applied to the gradient of each piece, before
    they are summed. A step whose loss or gradient is no finite number leaves weights and moments as they are, and says
    so: sums["skipped"] is 1. Norms of the update are measured in every `measure_every`-th step and 0 in the others.
    """
    mesh = jax.tree.leaves(shardings)[0].mesh
    update = update_for(optimizer, mesh.devices.flat[0].platform)
    loss = functools.partial(piece_loss, model.apply)
    gradient = batch_gradient(loss, model, shardings, accumulation_steps, clip_pieces, clip)

    def step(state: State, batch: Batch) -> tuple[State, Sums]:
        gradients, sums = gradient(state["params"], batch, jax.random.fold_in(key, state["step"]))
        with jax.named_scope("optimizer"):
            sums |= norms_by_room("gradient_norm", gradients)
            finite = jnp.isfinite(loss_from_sums(sums, sums)) & jnp.isfinite(sums["gradient_norm"])
            sums["skipped"] = 1.0 - finite.astype(jnp.float32)
            measured = finite & ((state["step"] + 1) % measure_every == 0)
            params, opt_state, norms = update(gradients, state["opt_state"], state["params"], finite, measured)
        return {"step": state["step"] + 1, "params": params, "opt_state": opt_state}, sums | norms

    return step


def piece_loss(
    apply: Callable[..., PretrainingLogits], params: Params, batch: Batch, weights: Sums, keys: jax.Array
) -> tuple[jax.Array, Sums]:
    """Loss and sums of `batch`, which is (a piece of) the batch that has these weights; `apply` is the model's.

    keys [rows]: each row's own, of its number in the global batch, so that its dropout is the same wherever it is
    computed. The hardware generator draws one stream for all rows, since drawing many would go through a loop.
    """
    key = keys[0] if jax.random.key_impl(keys) == "rbg" else keys
    packed = (batch[name] for name in PACKED_INPUTS if name in batch)
    logits = apply(params, *(batch[name] for name in INPUTS), key, *packed)
    sums = batch_sums(logits, batch)
    return loss_from_sums(sums, weights), sums


def batch_gradient(
    loss: Loss,
    model: Model,
    shardings: Params,
    accumulation_steps: int,
    clip_pieces: int = 1,
    clip: optax.GradientTransformation | None = None,
) -> Callable[[Params, Batch, jax.Array], tuple[Params, Sums]]:
    """The function (params, global batch, the step's dropout key) -> (gradients, sums), however the batch is cut.

    `loss` is piece_loss of the model; what else it gives among its sums is summed over all pieces too.
    """
    replicas = jax.tree.leaves(shardings)[0].mesh.shape["data"]
    piece = jax.grad(loss, has_aux=True)

    def of_a_replica(params: Params, batch: Batch, keys: jax.Array, weights: Sums) -> tuple[Params, Sums]:
        if clip_pieces > 1 and clip is not None:
            return _clipped_pieces(piece, params, batch, clip_pieces // replicas, clip, keys)
        return _accumulated(piece, params, batch, accumulation_steps, keys, weights)

    return functools.partial(_of_all_replicas, of_a_replica, model, shardings)


def _of_all_replicas(
    gradient: Callable[..., tuple[Params, Sums]],
    model: Model,
    shardings: Params,
    params: Params,
    batch: Batch,
    key: jax.Array,
) -> tuple[Params, Sums]:
    """Sums over the data axis of what `gradient` gives on each replica.

    It is called with whole parameters, a replica's rows of the batch, their keys, and the weights of the whole batch.
    """
    mesh = jax.tree.leaves(shardings)[0].mesh
    keys = jax.vmap(functools.partial(jax.random.fold_in, key))(jnp.arange(len(batch["input_ids"])))
    weights = batch_weights(batch)
    if mesh.shape["data"] == 1:
        return gradient(model.multiplied(params), batch, keys, weights)
    cut, rows = data_specs(shardings), P("data")

    @functools.partial(
        jax.shard_map,
        mesh=mesh,
        in_specs=(cut, rows, rows, P()),
        out_specs=(cut, P()),
        axis_names={"data"},
        check_vma=False,
    )
    def run(params: Params, *rest: Any) -> tuple[Params, Sums]:
        with jax.named_scope("weights"):
            whole = gather(model.multiplied(params), shardings)
        gradients, sums = gradient(whole, *rest)
        with jax.named_scope("gradients"):
            gradients = jax.tree.map(lambda array, weight: array.astype(weight.dtype), gradients, whole)
            return scatter_sum(gradients, params, shardings), jax.lax.psum(sums, "data")

    return run(params, batch, keys, weights)


def _accumulated(
    gradient: Gradient, params: Params, batch: Batch, cuts: int, keys: jax.Array, weights: Sums
) -> tuple[Params, Sums]:
    """Gradient and sums of a replica's rows, computed in `cuts` pieces one after the other."""
    if cuts == 1:
        return gradient(params, batch, weights, keys)

    def piece_gradient(piece: Batch, keys: jax.Array) -> tuple[Params, Sums]:
        return gradient(params, piece, weights, keys)

    return _sum_one_by_one(piece_gradient, {name: _cut(array, cuts) for name, array in batch.items()}, _cut(keys, cuts))


def _clipped_pieces(
    gradient: Gradient, params: Params, batch: Batch, pieces: int, clip: optax.GradientTransformation, keys: jax.Array
) -> tuple[Params, Sums]:
    """Sums over a replica's `pieces` runs of rows of each one's own gradient, of its own mean loss, clipped.

    The original does so with a piece to each TPU core: it clips before the sum over cores (optimization.py:74), and
    its CrossShardOptimizer sums and does not average. Here a replica may have several, one after the other, so that
    the mesh makes no difference.
    """

    def piece_gradient(piece: Batch, keys: jax.Array) -> tuple[Params, Sums]:
        gradients, sums = gradient(params, piece, batch_weights(piece), keys)
        gradients = jax.tree.map(lambda array: array.astype(jnp.float32), gradients)
        return clip.update(gradients, optax.EmptyState())[0], sums

    apart = {name: array.reshape(pieces, -1, *array.shape[1:]) for name, array in batch.items()}
    return _sum_one_by_one(piece_gradient, apart, keys.reshape(pieces, -1))


def _sum_one_by_one(function: Callable[..., Any], *pieces: Any) -> Any:
    """Sum in float32 of `function(*piece)` over the pieces that lie along the first axis."""

    def add(total: Any, piece: Any) -> tuple[Any, None]:
        return jax.tree.map(jnp.add, total, function(*piece)), None

    shapes = jax.eval_shape(function, *jax.tree.map(lambda array: array[0], pieces))
    return jax.lax.scan(add, jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, jnp.float32), shapes), pieces)[0]


def _cut(array: jax.Array, cuts: int) -> jax.Array:
    """[batch, ...] -> [cuts, batch / cuts, ...], every cuts-th row a piece: so each device keeps its own rows."""
    return jnp.moveaxis(array.reshape(array.shape[0] // cuts, cuts, *array.shape[1:]), 1, 0)


def jit_train_step(step: Callable[..., Any], mesh: Mesh, shardings: State) -> Callable[..., tuple[State, Sums]]:
    """Compile for the mesh; the incoming state's memory is given to the outgoing one."""
    return jax.jit(
        step,
        in_shardings=(shardings, batch_sharding(mesh)),
        out_shardings=(shardings, replicated(mesh)),
        donate_argnums=0,
        compiler_options=COMPILER_OPTIONS.get(mesh.devices.flat[0].platform),
    )
