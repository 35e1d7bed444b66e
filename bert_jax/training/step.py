"""One training step, as a pure function for jit."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from bert_jax.parallel.axes import batch_sharding, replicated
from bert_jax.parallel.mesh import BATCH_AXES
from bert_jax.training.norms import norms_by_room
from bert_jax.training.objective import Batch, batch_sums, batch_weights, loss_from_sums
from bert_jax.training.state import Model, Params, State

Sums = dict[str, jax.Array]
INPUTS = ("input_ids", "input_mask", "segment_ids", "masked_lm_positions")


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
    accumulation_steps: int,
    key: jax.Array,
    clip_pieces: int = 1,
    clip: optax.GradientTransformation | None = None,
) -> Callable[[State, Batch], tuple[State, Sums]]:
    """The function (state, global batch) -> (next state, sums): one update of the weights.

    With `clip_pieces` above 1, `clip` is applied to the gradient of each piece, before they are summed. A step whose
    loss or gradient is no finite number leaves weights and moments as they are, and says so: sums["skipped"] is 1.
    """

    def step(state: State, batch: Batch) -> tuple[State, Sums]:
        step_key = jax.random.fold_in(key, state["step"])
        if clip_pieces > 1 and clip is not None:
            gradients, sums = _clipped_pieces(model, state["params"], batch, clip_pieces, clip, step_key)
        else:
            gradients, sums = _accumulated(model, state["params"], batch, accumulation_steps, step_key)
        with jax.named_scope("optimizer"):
            updates, opt_state = optimizer.update(gradients, state["opt_state"], state["params"])
            sums |= norms_by_room("gradient_norm", gradients) | norms_by_room("update_norm", updates)
            finite = jnp.isfinite(loss_from_sums(sums, sums)) & jnp.isfinite(sums["gradient_norm"])
            sums["skipped"] = 1.0 - finite.astype(jnp.float32)
            params = _where(finite, optax.apply_updates(state["params"], updates), state["params"])
            opt_state = _where(finite, opt_state, state["opt_state"])
        return {"step": state["step"] + 1, "params": params, "opt_state": opt_state}, sums

    return step


def _where(finite: jax.Array, new: Any, old: Any) -> Any:
    """`new` where `finite`, else `old`; but the schedule counts every step of the run, skipped or not."""

    def choose(new: Any, old: Any) -> Any:
        return new if isinstance(new, optax.ScaleByScheduleState) else jnp.where(finite, new, old)

    return jax.tree.map(choose, new, old, is_leaf=lambda node: isinstance(node, optax.ScaleByScheduleState))


def _gradient(model: Model, params: Params, batch: Batch, weights: Sums, key: jax.Array) -> tuple[Params, Sums]:
    """Gradient and sums of `batch`, which is (a piece of) the batch that has these weights."""

    def loss(params: Params) -> tuple[jax.Array, Sums]:
        logits = model.apply(params, *(batch[name] for name in INPUTS), key)
        sums = batch_sums(logits, batch)
        return loss_from_sums(sums, weights), sums

    return jax.grad(loss, has_aux=True)(params)


def _accumulated(model: Model, params: Params, batch: Batch, cuts: int, key: jax.Array) -> tuple[Params, Sums]:
    """Gradient and sums of the whole batch, computed in `cuts` pieces one after the other."""
    weights = batch_weights(batch)
    if cuts == 1:
        return _gradient(model, params, batch, weights, key)

    def piece_gradient(number: jax.Array, piece: Batch) -> tuple[Params, Sums]:
        return _gradient(model, params, piece, weights, jax.random.fold_in(key, number))

    return _sum_one_by_one(piece_gradient, jnp.arange(cuts), {name: _cut(array, cuts) for name, array in batch.items()})


def _clipped_pieces(
    model: Model, params: Params, batch: Batch, pieces: int, clip: optax.GradientTransformation, key: jax.Array
) -> tuple[Params, Sums]:
    """Sums over `pieces` runs of rows of each one's own gradient (of its own mean loss), clipped by itself.

    The original does so with a piece to each TPU core: it clips before the sum over cores (optimization.py:74), and
    its CrossShardOptimizer sums and does not average. Here a piece lies on one device and a device may have several,
    one after the other, so that the mesh makes no difference.
    """

    def piece_gradient(params: Params, number: jax.Array, piece: Batch) -> tuple[Params, Sums]:
        gradients, sums = _gradient(model, params, piece, batch_weights(piece), jax.random.fold_in(key, number))
        return clip.update(gradients, optax.EmptyState())[0], sums

    shards = P(BATCH_AXES)

    @jax.shard_map(in_specs=(P(), shards, shards), out_specs=shards, axis_names=set(BATCH_AXES), check_vma=False)
    def sums_of_shards(params: Params, numbers: jax.Array, batch: Batch) -> tuple[Params, Sums]:
        local = _sum_one_by_one(functools.partial(piece_gradient, params), numbers, batch)
        return jax.tree.map(lambda array: array[None], local)

    apart = {name: array.reshape(pieces, -1, *array.shape[1:]) for name, array in batch.items()}
    return jax.tree.map(lambda array: array.sum(0), sums_of_shards(params, jnp.arange(pieces), apart))


def _sum_one_by_one(function: Callable[..., Any], *pieces: Any) -> Any:
    """Sum of `function(*piece)` over the pieces that lie along the first axis."""

    def add(total: Any, piece: Any) -> tuple[Any, None]:
        return jax.tree.map(jnp.add, total, function(*piece)), None

    shapes = jax.eval_shape(function, *jax.tree.map(lambda array: array[0], pieces))
    return jax.lax.scan(add, jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes), pieces)[0]


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
    )
