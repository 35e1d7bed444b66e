"""The parts of one Transformer layer, as in BERT (arXiv 1810.04805; google-research/bert modeling.py) or by its fields.

Parameters are declared here once: shape, initializer and logical axes; shardings, checkpoints and export derive from
that. Weights are float32; `dtype` is that of activations and matrix products.
"""

import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx
from jax.ad_checkpoint import checkpoint_name
from jax.experimental.layout import Layout, with_layout_constraint

from bert_jax import scopes
from bert_jax.config import ModelConfig
from bert_jax.model.attention import attend
from bert_jax.model.dropout import attention_dropout_mask, dropout, split_key
from bert_jax.model.layer_norm import LayerNorm
from bert_jax.model.products import NAME, dense, product
from bert_jax.model.rotary import Rotations, rotate
from bert_jax.parallel.axes import logical


@jax.custom_vjp
def gelu(array: jax.Array) -> jax.Array:
    """Multiply x by the normal distribution function of x, in float32 (modeling.py as released with the paper).

    jax.nn.gelu has the same through erfc, which is exact to the last digit at -5 and costs twice as much.
    """
    wide = array.astype(jnp.float32)
    return (wide * _normal_cdf(wide)).astype(array.dtype)


def _gelu_forward(array: jax.Array) -> tuple[jax.Array, jax.Array]:
    """What `gelu` gives, and its slope: the distribution function, and x times the density.

    The slope is kept in the place of x, so that the backward pass has a multiplication left. TPUs compute it anew from
    x unless both are held together, which takes longer: the product before it waits for its results to be written.
    """
    wide = array.astype(jnp.float32)
    cdf = _normal_cdf(wide)
    slope = cdf + wide * jnp.exp(-0.5 * wide * wide) * (1.0 / math.sqrt(2.0 * math.pi))
    value, slope = (wide * cdf).astype(array.dtype), slope.astype(array.dtype)
    return jax.lax.optimization_barrier((value, slope))


def _gelu_backward(slope: jax.Array, gradient: jax.Array) -> tuple[jax.Array]:
    return ((slope.astype(jnp.float32) * gradient.astype(jnp.float32)).astype(slope.dtype),)


def _normal_cdf(wide: jax.Array) -> jax.Array:
    return 0.5 * (1.0 + jax.lax.erf(wide * math.sqrt(0.5)))


gelu.defvjp(_gelu_forward, _gelu_backward)


ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "gelu": gelu,
    "gelu_tanh": functools.partial(jax.nn.gelu, approximate=True),
}
# Added to the scores of padding. The original's value, and not -inf: a row of padding alone stays finite.
MASKED_SCORE = -10_000.0


def kernel_init(config: ModelConfig) -> jax.nn.initializers.Initializer:
    """Normal; where it is cut off, not rescaled, like TensorFlow's truncated_normal_initializer."""
    kinds = {"truncated_normal": jax.nn.initializers.truncated_normal, "normal": jax.nn.initializers.normal}
    return kinds[config.initializer](config.initializer_range)


def linear(
    config: ModelConfig,
    sizes: tuple[int, int],
    axes: tuple[str, str],
    dtype: jnp.dtype,
    rngs: nnx.Rngs,
    use_bias: bool = True,
) -> nnx.Linear:
    """A dense layer with kernel [in, out] and bias [out], or the kernel alone."""
    return nnx.Linear(
        *sizes,
        use_bias=use_bias,
        kernel_init=logical(kernel_init(config), *axes),
        bias_init=logical(jax.nn.initializers.zeros, axes[1]),
        dtype=dtype,
        dot_general=dense,
        rngs=rngs,
    )


class SelfAttention(nnx.Module):
    """Multi-head attention of every token to every token that is not padding, with its output projection."""

    def __init__(self, config: ModelConfig, dtype: jnp.dtype, rngs: nnx.Rngs) -> None:
        hidden = config.hidden_size
        projection = functools.partial(
            linear, config, (hidden, hidden), dtype=dtype, rngs=rngs, use_bias=config.use_bias
        )
        self.query, self.key, self.value = (projection(axes=("embed", "heads")) for _ in range(3))
        self.output = projection(axes=("heads", "embed"))
        self.num_heads = config.num_attention_heads
        self.rate = config.attention_probs_dropout_prob

    def __call__(
        self,
        queries: jax.Array,
        hidden: jax.Array,
        score_bias: jax.Array,
        dropout_key: jax.Array | None,
        rotations: Rotations | None = None,
    ) -> jax.Array:
        """What the tokens `queries` take from all of `hidden`: [batch * length, embed] or [batch, length, embed].

        score_bias float32 [batch, 1, length, 1 or queries]; rotations: by which queries and keys are rotated, or None.
        Returns the shape of `queries`.
        """
        batch, _, length, _ = score_bias.shape
        query, key, value = (
            self._heads(into, tokens, batch)
            for into, tokens in ((self.query, queries), (self.key, hidden), (self.value, hidden))
        )
        query = query / math.sqrt(query.shape[2])
        if rotations is not None:
            query, key = rotate(query, rotations.queries), rotate(key, rotations.keys)
        mask = None
        if dropout_key is not None and self.rate > 0.0:
            mask = attention_dropout_mask(dropout_key, (batch, query.shape[1], length, query.shape[3]), self.rate)
        context = attend(query, key, value, score_bias, mask, self.rate)
        return self._tokens(context.reshape(batch, -1, context.shape[3]), queries)

    def _heads(self, into: nnx.Linear, hidden: jax.Array, batch: int) -> jax.Array:
        """Tokens, as rows or by sequence -> [batch, heads, head_dim, length], as `attend` takes it."""
        if hidden.ndim == 3:
            kernel, bias = _weights(into, hidden.dtype)
            # A product with the kernel first puts the tokens last, without transposing. Unless its layout is held, XLA
            # turns the kernels around for that; and an einsum would put it second. [heads * head_dim, batch, length]:
            kernel = with_layout_constraint(kernel, Layout(major_to_minor=(0, 1)))
            by_row = checkpoint_name(jnp.tensordot(kernel, hidden, axes=(0, 2)), NAME)
            by_column = jnp.swapaxes(by_row, 0, 1)
            by_column = by_column if bias is None else by_column + bias.reshape(1, -1, 1)
        else:
            by_column = jnp.swapaxes(into(hidden).reshape(batch, -1, into.out_features), 1, 2)
        return by_column.reshape(batch, self.num_heads, -1, by_column.shape[2])

    def _tokens(self, context: jax.Array, queries: jax.Array) -> jax.Array:
        """The output projection of [batch, heads * head_dim, queries], in the shape of `queries`."""
        if queries.ndim == 3:
            kernel, bias = _weights(self.output, context.dtype)
            projected = product("bhq,he->bqe", context, kernel, context.dtype)
            return projected if bias is None else projected + bias.reshape(1, 1, -1)
        return self.output(jnp.swapaxes(context, 1, 2).reshape(-1, context.shape[1]))


def _weights(projection: nnx.Linear, dtype: jnp.dtype) -> tuple[jax.Array, jax.Array | None]:
    """Kernel and bias, if there is one, in the dtype of the activations."""
    bias = projection.bias
    return projection.kernel[...].astype(dtype), None if bias is None else bias[...].astype(dtype)


class Layer(nnx.Module):
    """Attention and feed-forward, each added to its input and normalised: the sum, or with pre_norm what it reads."""

    def __init__(self, config: ModelConfig, dtype: jnp.dtype, rngs: nnx.Rngs) -> None:
        hidden, mlp = config.hidden_size, config.intermediate_size
        self.attention = SelfAttention(config, dtype, rngs)
        self.attention_norm = LayerNorm(config, hidden, dtype, rngs, config.use_bias)
        self.intermediate = linear(config, (hidden, mlp), ("embed", "mlp"), dtype, rngs, config.use_bias)
        if config.gated_feed_forward:
            self.gate = linear(config, (hidden, mlp), ("embed", "mlp"), dtype, rngs, config.use_bias)
        self.output = linear(config, (mlp, hidden), ("mlp", "embed"), dtype, rngs, config.use_bias)
        self.output_norm = LayerNorm(config, hidden, dtype, rngs, config.use_bias)
        self.pre_norm, self.is_gated = config.pre_norm, config.gated_feed_forward
        self.activation = ACTIVATIONS[config.hidden_act]
        self.rate = config.hidden_dropout_prob

    def __call__(
        self,
        hidden: jax.Array,
        score_bias: jax.Array,
        dropout_key: jax.Array | None,
        query_positions: jax.Array | None = None,
        rotations: Rotations | None = None,
    ) -> jax.Array:
        """Hidden [batch * length, embed] or [batch, length, embed] -> the same shape; score_bias as in SelfAttention.

        With query_positions int32 [batch, queries], only those tokens' output is computed: queries in length's place.
        `rotations` are those of the queries and of all tokens.
        """
        probs_key, attention_key, output_key = split_key(dropout_key, 3)
        with jax.named_scope(scopes.ATTENTION):
            inputs = self._before(self.attention_norm, hidden)
            queries = inputs
            if query_positions is not None:
                queries, score_bias = _tokens_at(inputs, query_positions), _of_queries(score_bias, query_positions)
                hidden = _tokens_at(hidden, query_positions) if self.pre_norm else queries
            attended = self.attention(queries, inputs, score_bias, probs_key, rotations)
            hidden = self._after(self.attention_norm, hidden + dropout(attended, self.rate, attention_key))
        return self._feed_forward(hidden, output_key)

    @jax.named_scope(scopes.FEED_FORWARD)
    def _feed_forward(self, hidden: jax.Array, dropout_key: jax.Array | None) -> jax.Array:
        inputs = self._before(self.output_norm, hidden)
        if self.is_gated:
            wide = self.activation(self.gate(inputs)) * self.intermediate(inputs)
        else:
            wide = self.activation(self.intermediate(inputs))
        return self._after(self.output_norm, hidden + dropout(self.output(wide), self.rate, dropout_key))

    def _before(self, norm: LayerNorm, hidden: jax.Array) -> jax.Array:
        """What attention or the feed-forward reads of its input."""
        return norm(hidden) if self.pre_norm else hidden

    def _after(self, norm: LayerNorm, hidden: jax.Array) -> jax.Array:
        """What becomes of its output and input, added."""
        return hidden if self.pre_norm else norm(hidden)


def at_positions(hidden: jax.Array, positions: jax.Array) -> jax.Array:
    """Of hidden [batch, length, embed] the positions [batch, n]: [batch, n, embed]."""
    return jnp.take_along_axis(hidden, positions[:, :, None], axis=1)


def _tokens_at(hidden: jax.Array, positions: jax.Array) -> jax.Array:
    """Of hidden [batch * length, embed] or [batch, length, embed] the positions [batch, n]: n in length's place."""
    by_sequence = hidden.reshape(positions.shape[0], -1, hidden.shape[-1])
    taken = at_positions(by_sequence, positions)
    return taken if hidden.ndim == 3 else taken.reshape(-1, hidden.shape[-1])


def _of_queries(score_bias: jax.Array, queries: jax.Array) -> jax.Array:
    """[batch, 1, length, 1 or length] -> that of the queries [batch, n] only: [batch, 1, length, 1 or n]."""
    if score_bias.shape[3] == 1:
        return score_bias
    return jnp.take_along_axis(score_bias, queries[:, None, None, :], axis=3)
