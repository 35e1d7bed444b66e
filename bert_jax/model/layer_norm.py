"""LayerNorm (arXiv 1607.06450) and its gradient written out.

Automatic differentiation goes back through the variance's own mean, a sum over each row that is zero: a pass over the
activations for nothing, in each of two LayerNorms a layer.
"""

import functools

import jax
import jax.numpy as jnp
from flax import nnx

from bert_jax.config import ModelConfig
from bert_jax.parallel.axes import logical

Residuals = tuple[jax.Array, ...]


class LayerNorm(nnx.Module):
    """LayerNorm over the last dimension, with scale and bias or scale alone; statistics are float32 in any dtype."""

    def __init__(self, config: ModelConfig, size: int, dtype: jnp.dtype, rngs: nnx.Rngs, use_bias: bool = True) -> None:
        def vector(init: jax.nn.initializers.Initializer) -> nnx.Param:
            return nnx.Param(logical(init, "embed")(rngs.params(), (size,), jnp.float32))

        self.scale = vector(jax.nn.initializers.ones)
        if use_bias:
            self.bias = vector(jax.nn.initializers.zeros)
        self.use_bias = use_bias
        self.epsilon = config.layer_norm_eps
        self.dtype = dtype

    def __call__(self, hidden: jax.Array) -> jax.Array:
        """Hidden [..., embed] -> the same shape, in the module's dtype."""
        scale = self.scale[...]
        bias = self.bias[...] if self.use_bias else jnp.zeros_like(scale)  # compilers leave out what adds 0
        return normalize(hidden.astype(self.dtype), scale, bias, self.epsilon)


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def normalize(hidden: jax.Array, scale: jax.Array, bias: jax.Array, epsilon: float) -> jax.Array:
    """Hidden [..., embed] less its mean, over its standard deviation, times scale plus bias [embed], in its dtype."""
    return _forward(hidden, scale, bias, epsilon)[0]


def _forward(hidden: jax.Array, scale: jax.Array, bias: jax.Array, epsilon: float) -> tuple[jax.Array, Residuals]:
    wide = hidden.astype(jnp.float32)
    mean = wide.mean(axis=-1, keepdims=True)
    # Of the differences, in a second pass: E[x^2] - E[x]^2 cancels, and epsilon is 1e-12.
    variance = jnp.square(wide - mean).mean(axis=-1, keepdims=True)
    inverse = jax.lax.rsqrt(variance + epsilon)
    rows = (1,) * (hidden.ndim - 1)
    normalized = (wide - mean) * inverse * scale.reshape(*rows, -1) + bias.reshape(*rows, -1)
    return normalized.astype(hidden.dtype), (hidden, scale, mean, inverse)


def _backward(epsilon: float, residuals: Residuals, gradient: jax.Array) -> Residuals:
    """With x the normalised row and g its gradient: (g - mean(g) - x mean(g x)) over the standard deviation."""
    del epsilon
    hidden, scale, mean, inverse = residuals
    normalized = (hidden.astype(jnp.float32) - mean) * inverse
    gradient = gradient.astype(jnp.float32)
    rows = tuple(range(gradient.ndim - 1))
    of_normalized = gradient * scale.reshape(*[1] * len(rows), -1)
    along = (of_normalized * normalized).mean(axis=-1, keepdims=True)
    d_hidden = (of_normalized - of_normalized.mean(axis=-1, keepdims=True) - normalized * along) * inverse
    return d_hidden.astype(hidden.dtype), (gradient * normalized).sum(axis=rows), gradient.sum(axis=rows)


normalize.defvjp(_forward, _backward)
