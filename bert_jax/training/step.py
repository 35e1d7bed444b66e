"""One training step, as a pure function for jit."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from bert_jax.parallel.axes import batch_sharding, replicated
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
    model: Model, optimizer: optax.GradientTransformation, accumulation_steps: int, key: jax.Array
) -> Callable[[State, Batch], tuple[State, Sums]]:
    """The function (state, global batch) -> (next state, sums): one update of the weights."""

    def step(state: State, batch: Batch) -> tuple[State, Sums]:
        step_key = jax.random.fold_in(key, state["step"])
        gradients, sums = _accumulated(model, state["params"], batch, accumulation_steps, step_key)
        updates, opt_state = optimizer.update(gradients, state["opt_state"], state["params"])
        params = optax.apply_updates(state["params"], updates)
        sums["gradient_norm"] = optax.tree.norm(gradients)
        return {"step": state["step"] + 1, "params": params, "opt_state": opt_state}, sums

    return step


def _accumulated(model: Model, params: Params, batch: Batch, cuts: int, key: jax.Array) -> tuple[Params, Sums]:
    """Gradient and sums of the whole batch, computed in `cuts` pieces one after the other."""
    weights = batch_weights(batch)

    def loss(params: Params, piece: Batch, piece_key: jax.Array) -> tuple[jax.Array, Sums]:
        logits = model.apply(params, *(piece[name] for name in INPUTS), piece_key)
        sums = batch_sums(logits, piece)
        return loss_from_sums(sums, weights), sums

    gradient = jax.grad(loss, has_aux=True)
    if cuts == 1:
        return gradient(params, batch, key)

    def add_piece(total: Any, numbered: tuple[jax.Array, Batch]) -> tuple[Any, None]:
        number, piece = numbered
        return jax.tree.map(jnp.add, total, gradient(params, piece, jax.random.fold_in(key, number))), None

    pieces = {name: _cut(array, cuts) for name, array in batch.items()}
    first = jax.eval_shape(gradient, params, jax.tree.map(lambda array: array[0], pieces), key)
    zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), first)
    return jax.lax.scan(add_piece, zeros, (jnp.arange(cuts), pieces))[0]


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
