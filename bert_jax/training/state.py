"""The training state {step, params, opt_state}: made sharded from the start, never whole on one device."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh

from bert_jax.model.functional import Model, param_shardings, with_shardings
from bert_jax.parallel.axes import replicated, without_data

State = dict[str, Any]


def state_shardings(model: Model, optimizer: optax.GradientTransformation, mesh: Mesh, shard_over_data: bool) -> State:
    """A tree like the state, of shardings. What the optimizer keeps for each parameter lies as the parameter does.

    With `shard_over_data` both are sharded over the data axis too: each replica keeps and updates its shard only.
    """
    params = param_shardings(model, mesh, shard_over_data)
    opt_state = optax.tree.map_params(
        optimizer,
        lambda kept, sharding: kept if _is_nothing(kept) else sharding,
        jax.eval_shape(optimizer.init, model.abstract_params),
        params,
        transform_non_params=lambda _: replicated(mesh),
        is_leaf=_is_nothing,
    )
    return {"step": replicated(mesh), "params": params, "opt_state": opt_state}


def _is_nothing(node: Any) -> bool:
    """Whether a part of the optimizer keeps nothing for a parameter, which is another part's."""
    return isinstance(node, optax.MaskedNode)


def abstract_state(model: Model, optimizer: optax.GradientTransformation, shardings: State) -> State:
    """The state's shapes, dtypes and shardings: what a checkpoint is restored into."""

    def new_state() -> State:
        params = model.init(jax.random.key(0))
        return {"step": jnp.zeros([], jnp.int32), "params": params, "opt_state": optimizer.init(params)}

    return with_shardings(jax.eval_shape(new_state), shardings)


def init_state(model: Model, optimizer: optax.GradientTransformation, shardings: State, seed: int) -> State:
    """Fresh weights from `seed`, the same bits on any mesh; zeroed moments; step 0."""
    # Drawn as they lie without the data axis, then sharded: where a compiler vectorises a narrow shard otherwise than a
    # whole row, the last bit differs.
    unsharded = jax.tree.map(without_data, shardings["params"])
    make = jax.jit(model.init, out_shardings=unsharded)
    params = jax.device_put(make(jax.random.key(seed, impl="threefry2x32")), shardings["params"])
    return {
        "step": jax.device_put(np.int32(0), shardings["step"]),
        "params": params,
        "opt_state": jax.jit(optimizer.init, out_shardings=shardings["opt_state"])(params),
    }


def memory_line(state: State) -> str:
    """For the log: how much of the parameters and of the optimizer state each device holds.

    `state` has shapes, dtypes and shardings: arrays, or what `abstract_state` gives.
    """
    lines = []
    for name, tree in (("parameters", state["params"]), ("optimizer state", state["opt_state"])):
        leaves = jax.tree.leaves(tree)
        whole = sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in leaves)
        held = sum(math.prod(leaf.sharding.shard_shape(leaf.shape)) * leaf.dtype.itemsize for leaf in leaves)
        lines.append(f"{held / 1e6:,.1f} of {whole / 1e6:,.1f} MB of {name} ({held / whole:.0%})")
    return f"each device holds {' and '.join(lines)}"
