"""The training state {step, params, opt_state}: made sharded from the start, never whole on one device."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh

from bert_jax.model.functional import Model, Params, param_shardings, path_of, with_shardings
from bert_jax.parallel.axes import is_left_whole, replicated, without_data
from bert_jax.parallel.mesh import groups_line

State = dict[str, Any]


def state_shardings(model: Model, optimizer: optax.GradientTransformation, mesh: Mesh, shard_over_data: bool) -> State:
    """A tree like the state, of shardings. What the optimizer keeps for each parameter lies as the parameter does.

    With `shard_over_data` both are sharded over the data axis too: each device there keeps and updates its shard only.
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


def layout_lines(model: Model, shardings: State) -> tuple[str, ...]:
    """For people: what weight-update sharding leaves in many copies; mostly nothing."""
    params = with_shardings(model.abstract_params, shardings["params"])
    lines = groups_line(jax.tree.leaves(params)[0].sharding.mesh), _left_whole_line(params)
    return tuple(line for line in lines if line)


def _left_whole_line(params: Params) -> str:
    """Which large parameters each device along data has all of, and what that costs."""
    leaves = jax.tree_util.tree_leaves_with_path(params)
    found = {"/".join(path_of(path)): leaf for path, leaf in leaves if is_left_whole(leaf.sharding, leaf.shape)}
    if not found:
        return ""
    size = sum(math.prod(leaf.sharding.shard_shape(leaf.shape)) * leaf.dtype.itemsize for leaf in found.values())
    named = ", ".join(f"{name} {list(leaf.shape)}" for name, leaf in list(found.items())[:3])
    others = f" and {len(found) - 3} more" if len(found) > 3 else ""
    return (
        f"no free dimension of {named}{others} divides over the mesh axis 'data': each of its devices keeps and "
        f"updates all {size / 1e6:,.3g} MB, and as much of each moment"
    )
