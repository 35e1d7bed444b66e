"""The update of weights and moments by a step's gradient, or none of it where that is no finite number.

In two forms that compute the same, since compilers differ in what they make of them.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from bert_jax.training.norms import norms_by_room

Tree = Any  # nested dicts like the parameters
Norms = dict[str, jax.Array]
# (gradients, optimizer state, weights, finite, measured) -> (weights, optimizer state, norms of the update)
Update = Callable[[Tree, Any, Tree, jax.Array, jax.Array], tuple[Tree, Any, Norms]]


def update_for(optimizer: optax.GradientTransformation, platform: str) -> Update:
    """The form that is fast on `platform`.

    It gives new weights and optimizer state if `finite`, else the old ones, but the schedule counts every step of the
    run; and norms of the update if `measured`, a bool scalar like `finite`, else zeros.
    """
    return functools.partial(_with_branches if platform == "cpu" else _with_choices, optimizer)


def _with_choices(
    optimizer: optax.GradientTransformation,
    gradients: Tree,
    old_state: Any,
    params: Tree,
    finite: jax.Array,
    measured: jax.Array,
) -> tuple[Tree, Any, Norms]:
    """Both are computed and one is chosen: accelerators do all of it, norms too, in one pass over memory."""
    updates, opt_state = optimizer.update(gradients, old_state, params)
    norms = jax.tree.map(lambda norm: jnp.where(measured, norm, 0.0), norms_by_room("update_norm", updates))

    def choose(new: Any, old: Any) -> Any:
        return new if _is_schedule(new) else jnp.where(finite, new, old)

    params = jax.tree.map(choose, optax.apply_updates(params, updates), params)
    return params, jax.tree.map(choose, opt_state, old_state, is_leaf=_is_schedule), norms


def _with_branches(
    optimizer: optax.GradientTransformation,
    gradients: Tree,
    opt_state: Any,
    params: Tree,
    finite: jax.Array,
    measured: jax.Array,
) -> tuple[Tree, Any, Norms]:
    """One of them is computed: on a CPU the choice takes passes and copies of its own."""

    def norms_of(gradients: Tree, opt_state: Any, params: Tree) -> Norms:
        return norms_by_room("update_norm", optimizer.update(gradients, opt_state, params)[0])

    def update(gradients: Tree, opt_state: Any, params: Tree) -> tuple[Tree, Any]:
        updates, opt_state = optimizer.update(gradients, opt_state, params)
        return optax.apply_updates(params, updates), opt_state

    operands = gradients, opt_state, params
    nothing = jax.tree.map(jnp.zeros_like, jax.eval_shape(norms_of, *operands))
    norms = jax.lax.cond(measured, norms_of, lambda *_: nothing, *operands)
    # The update has to be told that it comes after the norms (none is negative): else XLA copies what both read,
    # instead of writing over it.
    return *jax.lax.cond(finite & ~(norms["update_norm"] < 0.0), update, _skip, *operands), norms


def _skip(gradients: Tree, opt_state: Any, params: Tree) -> tuple[Tree, Any]:
    del gradients

    def counted(node: Any) -> Any:
        return node._replace(count=optax.safe_increment(node.count)) if _is_schedule(node) else node

    return params, jax.tree.map(counted, opt_state, is_leaf=_is_schedule)


def _is_schedule(node: Any) -> bool:
    return isinstance(node, optax.ScaleByScheduleState)
