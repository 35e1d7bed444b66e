"""The update of weights and moments by a step's gradient, or none of it where that is no finite number.

In two forms that compute the same, since compilers differ in what they make of them.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax

from bert_jax import scopes
from bert_jax.model.functional import Path
from bert_jax.training.norms import norms_by_group

Tree = Any  # nested dicts like the parameters
Norms = dict[str, jax.Array]
# (gradients, optimizer state, weights, finite, measured) -> (weights, optimizer state, norms of the update)
Update = Callable[[Tree, Any, Tree, jax.Array, jax.Array], tuple[Tree, Any, Norms]]


def update_for(optimizer: optax.GradientTransformation, groups: Mapping[Path, str], platform: str) -> Update:
    """The form that is fast on `platform`; `groups` are those of the norms.

    It gives new weights and optimizer state if `finite`, else the old ones, but the schedule counts every step of the
    run; and norms of the update if `measured`, a bool scalar like `finite`, else zeros.
    """
    updated = _with_branches if platform == "cpu" else _with_choices

    def update(
        gradients: Tree, opt_state: Any, params: Tree, finite: jax.Array, measured: jax.Array
    ) -> tuple[Tree, Any, Norms]:
        norms = _norms_if(measured, optimizer, groups, gradients, opt_state, params)
        # The update has to depend on the norms (none is negative): else XLA copies what both read,
        # instead of writing over it.
        finite = finite & ~(norms["update_norm"] < 0.0)
        return *updated(optimizer, gradients, opt_state, params, finite), norms

    return update


@jax.named_scope(scopes.ONCE_AN_INTERVAL)
def _norms_if(
    measured: jax.Array,
    optimizer: optax.GradientTransformation,
    groups: Mapping[Path, str],
    gradients: Tree,
    opt_state: Any,
    params: Tree,
) -> Norms:
    """Norms of the update, computed apart from it: a sum beside them keeps TPUs from making one pass of the update."""

    def norms_of(gradients: Tree, opt_state: Any, params: Tree) -> Norms:
        return norms_by_group("update_norm", optimizer.update(_wide(gradients), opt_state, params)[0], groups)

    operands = gradients, opt_state, params
    nothing = jax.tree.map(jnp.zeros_like, jax.eval_shape(norms_of, *operands))
    return jax.lax.cond(measured, norms_of, lambda *_: nothing, *operands)


def _with_choices(
    optimizer: optax.GradientTransformation, gradients: Tree, old_state: Any, params: Tree, finite: jax.Array
) -> tuple[Tree, Any]:
    """Both are computed and one is chosen: accelerators do all of it in one pass over memory."""

    def choose(new: Any, old: Any) -> Any:
        return new if _is_schedule(new) else jnp.where(finite, new, old)

    updates, opt_state = optimizer.update(_wide(gradients), old_state, params)
    params = jax.tree.map(choose, optax.apply_updates(params, updates), params)
    return params, jax.tree.map(choose, opt_state, old_state, is_leaf=_is_schedule)


def _with_branches(
    optimizer: optax.GradientTransformation, gradients: Tree, opt_state: Any, params: Tree, finite: jax.Array
) -> tuple[Tree, Any]:
    """One of them is computed: on a CPU the choice takes passes and copies of its own."""

    def update(gradients: Tree, opt_state: Any, params: Tree) -> tuple[Tree, Any]:
        updates, opt_state = optimizer.update(_wide(gradients), opt_state, params)
        return optax.apply_updates(params, updates), opt_state

    return jax.lax.cond(finite, update, _skip, gradients, opt_state, params)


def _wide(gradients: Tree) -> Tree:
    """In float32, made where they are read: before a branch, a copy of all of them would be written."""
    return jax.tree.map(lambda array: array.astype(jnp.float32), gradients)


def _skip(gradients: Tree, opt_state: Any, params: Tree) -> tuple[Tree, Any]:
    del gradients

    def counted(node: Any) -> Any:
        return node._replace(count=optax.safe_increment(node.count)) if _is_schedule(node) else node

    return params, jax.tree.map(counted, opt_state, is_leaf=_is_schedule)


def _is_schedule(node: Any) -> bool:
    """Whether a node counts the steps of the schedule, skipped ones too: else the rate would not end at 0."""
    return isinstance(node, optax.ScaleByScheduleState)
