"""Matrix products of the model, summed in float32, and the products of their gradient.

On TPUs and GPUs they are einsums, which the compilers lay out as they like. XLA's CPU compiler has fast programs for
one form: the sums stay float32, the left operand is summed over its last dimension, and the result is not transposed.
Where the processor has a matrix unit, bfloat16 is several times as fast as float32 in that form, and slower in others;
in float32, stacks of small products (attention's) and gradients of kernels gain, too. So on CPUs operands are brought
into that form.
"""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name
from jax.typing import DTypeLike

NAME = "product"  # of what `product` gives, for the choice of what is kept for the backward pass


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 3))
def product(subscripts: str, left: jax.Array, right: jax.Array, dtype: DTypeLike) -> jax.Array:
    """einsum(subscripts, left, right) in `dtype`, for operands of one dtype; their gradients have theirs.

    A letter that both operands and the result have comes first in all of them, if any does.
    """
    return _forward(subscripts, left, right, dtype)[0]


def _forward(
    subscripts: str, left: jax.Array, right: jax.Array, dtype: DTypeLike
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return checkpoint_name(contract(subscripts, left, right, dtype), NAME), (left, right)


def _backward(
    subscripts: str, dtype: DTypeLike, operands: tuple[jax.Array, jax.Array], gradient: jax.Array
) -> tuple[jax.Array, jax.Array]:
    (left, right), gradient = operands, gradient.astype(operands[0].dtype)
    of_left, of_right, of_result = _letters(subscripts)
    d_left = contract(f"{of_result},{of_right}->{of_left}", gradient, right, left.dtype)
    if of_right[0] in of_left:
        d_right = contract(f"{of_left},{of_result}->{of_right}", left, gradient, right.dtype)
    else:  # so that its dimensions come out in order
        d_right = contract(f"{of_result},{of_left}->{of_right}", gradient, left, right.dtype)
    return d_left, d_right


product.defvjp(_forward, _backward)


def dense(inputs: jax.Array, kernel: jax.Array, *_: Any, **__: Any) -> jax.Array:
    """Inputs [..., in] times kernel [in, out], called as jax.lax.dot_general is by nnx.Linear."""
    rows = "abc"[: inputs.ndim - 1]
    return product(f"{rows}i,io->{rows}o", inputs, kernel, inputs.dtype)


def contract(subscripts: str, left: jax.Array, right: jax.Array, dtype: DTypeLike) -> jax.Array:
    """einsum(subscripts, left, right) in `dtype`, whose gradient is for the caller to write.

    On CPUs the cheapest is a `left` that is summed over its last dimensions: else it is copied; `right` never is.
    """
    plain = functools.partial(jnp.einsum, subscripts, preferred_element_type=dtype)
    of_left, of_right, of_result = _letters(subscripts)
    is_stack = any(letter in of_right and letter in of_result for letter in of_left)
    ends_in_rows = of_left[-1] in of_result  # of a matrix: what it is summed over is not its last dimension
    if left.dtype == jnp.float32 and not is_stack and not ends_in_rows:
        return plain(left, right)
    on_cpu = functools.partial(_on_cpu, subscripts, dtype)
    return jax.lax.platform_dependent(left, right, cpu=on_cpu, default=plain)


def _on_cpu(subscripts: str, dtype: DTypeLike, left: jax.Array, right: jax.Array) -> jax.Array:
    of_left, of_right, of_result = _letters(subscripts)
    stack = [letter for letter in of_left if letter in of_right and letter in of_result]
    rows = [letter for letter in of_left if letter not in of_right]
    columns = [letter for letter in of_right if letter not in of_left]
    summed = [letter for letter in of_left if letter in of_right and letter not in of_result]
    left = _in_order(left, of_left, stack + rows + summed)
    in_left = [[(stack + rows + summed).index(letter) for letter in letters] for letters in (summed, stack)]
    in_right = [[of_right.index(letter) for letter in letters] for letters in (summed, stack)]
    dimensions = (in_left[0], in_right[0]), (in_left[1], in_right[1])
    result = jax.lax.dot_general(left, right.astype(left.dtype), dimensions, preferred_element_type=jnp.float32)
    return _in_order(result, stack + rows + columns, of_result).astype(dtype)


def _in_order(array: jax.Array, letters: Sequence[str], wanted: Sequence[str]) -> jax.Array:
    """Transposed, if need be, and not only in name: else XLA makes a product of another form, a slow or impossible one.

    It does not if a dimension is split in two on the way. Where none is even, bfloat16 becomes float32, which has no
    such products.
    """
    order = [letters.index(letter) for letter in wanted]
    if order == sorted(order):
        return array
    moved = [axis for place, axis in enumerate(order) if axis != place]
    split = next((axis for axis in reversed(moved) if array.shape[axis] % 2 == 0 and array.shape[axis] > 2), None)
    if split is None:
        return jnp.transpose(array.astype(jnp.float32), order)
    shape = (*array.shape[:split], 2, array.shape[split] // 2, *array.shape[split + 1 :])
    axes = [part for axis in order for part in ((split, split + 1) if axis == split else (axis + (axis > split),))]
    return jnp.transpose(array.reshape(shape), axes).reshape([array.shape[axis] for axis in order])


def _letters(subscripts: str) -> tuple[str, str, str]:
    left, right, result = subscripts.replace("->", ",").split(",")
    return left, right, result
