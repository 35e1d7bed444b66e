"""Muon (github.com/KellerJordan/Muon): the layers' matrices move along their momentum made orthogonal.

The step of a matrix has singular values near 1, times what gives it the root mean square of Adam's steps, so that one
learning rate and one decay serve all parameters (arXiv 2502.16982, section 2.2). optax.contrib.muon has the same
arithmetic, but keeps its coefficients among the optimizer's state, and would orthogonalise all matrices on each device.
"""

import dataclasses
import functools
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.sharding import NamedSharding

from bert_jax.model.functional import Model, Params, Path, path_of
from bert_jax.parallel.whole_matrices import on_whole_matrices

MOMENTUM = 0.95
# Of the quintic that maps singular values of (0, 1] into .7 to 1.2 in five iterations: its authors found that the slope
# at 0 counts, 3.44 an iteration, and not how near to 1 the others come.
ITERATIONS = 5
COEFFICIENTS = 3.4445, -4.7750, 2.0315
ADAMS_RMS = 0.2  # of Adam's steps, by experience (arXiv 2502.16982, equation 4)
INSIDE_A_LAYER = {"heads", "mlp"}  # logical axes that only the matrices of layers have


class MuonState(NamedTuple):
    """What is kept of the matrices' gradients."""

    momentum: Params


@dataclasses.dataclass(frozen=True)
class LayerMatrices:
    """The matrices of the encoder's layers: which parameters they are, and where they lie."""

    shardings: Mapping[Path, NamedSharding]
    dtype: jnp.dtype  # in which they are exchanged and multiplied

    def mask(self, params: Any) -> Any:
        """A tree like `params` of booleans: which are such matrices."""
        return jax.tree_util.tree_map_with_path(lambda entries, _: path_of(entries) in self.shardings, params)

    def mask_of_others(self, params: Any) -> Any:
        """The opposite of `mask`."""
        return jax.tree.map(lambda is_matrix: not is_matrix, self.mask(params))


def layer_matrices(model: Model, shardings: Params) -> LayerMatrices:
    """Those of `model`, whose parameters lie as `shardings` say."""
    by_path = {path_of(entries): sharding for entries, sharding in jax.tree_util.tree_leaves_with_path(shardings)}
    are_inside = [path for path, axes in model.axes.items() if len(axes) == 2 and INSIDE_A_LAYER & set(axes)]
    return LayerMatrices({path: by_path[path] for path in are_inside}, model.dtype)


def scale_by_muon(matrices: LayerMatrices) -> optax.GradientTransformation:
    """The direction of each of the matrices, of which alone the trees consist (`optax.masked`)."""

    def init(params: optax.Params) -> MuonState:
        return MuonState(jax.tree.map(jnp.zeros_like, params))

    def update(
        gradients: optax.Updates, state: MuonState, params: optax.Params | None = None
    ) -> tuple[optax.Updates, MuonState]:
        del params
        momentum = jax.tree.map(_moved, state.momentum, gradients)
        ahead = jax.tree.map(_moved, momentum, gradients)  # Nesterov's
        leaves, tree = jax.tree_util.tree_flatten_with_path(ahead)
        # As the products take them, and on the way back as they give them: half as many bytes are exchanged.
        by_path = {path_of(entries): leaf.astype(matrices.dtype) for entries, leaf in leaves}
        platform = next(iter(matrices.shardings.values())).mesh.devices.flat[0].platform
        found = on_whole_matrices(functools.partial(each_orthogonal, platform=platform), by_path, matrices.shardings)
        moves = [ADAMS_RMS * math.sqrt(max(found[path].shape)) * found[path].astype(jnp.float32) for path in by_path]
        return jax.tree.unflatten(tree, moves), MuonState(momentum)

    return optax.GradientTransformation(init, update)


def _moved(momentum: jax.Array, gradient: jax.Array) -> jax.Array:
    return MOMENTUM * momentum + (1.0 - MOMENTUM) * gradient


def each_orthogonal(matrices: jax.Array, platform: str) -> jax.Array:
    """`orthogonal` of each of [matrices, rows, columns].

    One after the other on CPUs, whose library has no fast products of stacks.
    """
    return jax.lax.map(orthogonal, matrices) if platform == "cpu" else jax.vmap(orthogonal)(matrices)


def orthogonal(matrix: jax.Array) -> jax.Array:
    """U V^T, roughly, of a matrix U S V^T by Newton and Schulz's iteration, [rows, columns] both; zeros stay zeros.

    It runs in the matrix's dtype, with sums in float32, as its authors' does: what bfloat16 rounds, some 5 % of the
    result, is less than what the quintic leaves of S.
    """
    if matrix.shape[0] > matrix.shape[1]:  # the product with its transpose is the smaller one then
        return orthogonal(matrix.T).T
    wide = matrix.astype(jnp.float32)
    length = jnp.sqrt(jnp.square(wide).sum())
    current = (wide / jnp.maximum(length, jnp.finfo(jnp.float32).tiny)).astype(matrix.dtype)
    linear, cubic, quintic = COEFFICIENTS
    for _ in range(ITERATIONS):
        square = _product("ij,kj->ik", current, current)
        polynomial = cubic * square + quintic * _product("ij,jk->ik", square, square)
        current = linear * current + _product("ij,jk->ik", polynomial, current)
    return current


def _product(subscripts: str, left: jax.Array, right: jax.Array) -> jax.Array:
    return jnp.einsum(subscripts, left, right, preferred_element_type=jnp.float32).astype(left.dtype)
