"""Softmax attention with dropout, and its gradient written out.

Left to automatic differentiation, the float32 scores of all pairs of tokens are kept and read several times on the way
back; at 512 tokens that is most of a layer's memory traffic. Here one array of the activations' dtype is kept.

Tokens are the last dimension, [heads, head_dim, batch, length], and scores are [batch, heads, keys, queries]: then the
softmax goes over rows of vector registers instead of across them, and the products need hardly a transposition.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp

from bert_jax.model.dropout import keeps

Residuals = tuple[Any, ...]


@functools.partial(jax.custom_vjp, nondiff_argnums=(5,))
def attend(
    query: jax.Array, key: jax.Array, value: jax.Array, bias: jax.Array, bits: jax.Array | None, rate: float
) -> jax.Array:
    """The context of each query: values weighted by softmax(key . query + bias), a share `rate` of weights dropped.

    query, key, value: [heads, head_dim, batch, length]; bias float32 [batch, 1, keys, 1], which gets no gradient; bits
    uint16 [batch, heads, keys, queries], or None for no dropout. Returns [heads, head_dim, batch, length].
    """
    return _forward(query, key, value, bias, bits, rate)[0]


def _forward(
    query: jax.Array, key: jax.Array, value: jax.Array, bias: jax.Array, bits: jax.Array | None, rate: float
) -> tuple[jax.Array, Residuals]:
    scores = jnp.einsum("ndbk,ndbq->bnkq", key, query, preferred_element_type=jnp.float32) + bias
    shares = jnp.exp(scores - scores.max(axis=2, keepdims=True))  # of the softmax, before they are divided by their sum
    # What a kept share is multiplied by. It is the same for all keys of a query, so the context is, not the shares.
    scale = 1.0 / (shares.sum(axis=2) * (1.0 - rate if bits is not None else 1.0))
    scale = jnp.swapaxes(scale, 0, 1)[:, None]  # [heads, 1, batch, queries]
    shares = shares.astype(query.dtype)
    if bits is not None:
        shares = jnp.where(keeps(bits, rate), shares, -shares)  # the sign remembers what is dropped
    context = jnp.einsum("ndbk,bnkq->ndbq", value, _kept(shares, bits), preferred_element_type=jnp.float32)
    context = (context * scale).astype(query.dtype)
    return context, (query, key, value, shares, scale, context, bits)


def _backward(rate: float, residuals: Residuals, gradient: jax.Array) -> tuple[jax.Array | None, ...]:
    """With softmax P, gradient dP of it and D = sum over keys of P dP, the scores have the gradient P (dP - D).

    D is also the sum over head_dim of the context and its gradient (arXiv 2205.14135, appendix B.2).
    """
    query, key, value, shares, scale, context, bits = residuals
    through_context = (gradient.astype(jnp.float32) * context.astype(jnp.float32)).sum(axis=1, keepdims=True)
    inner = through_context * scale * (1.0 - rate if bits is not None else 1.0)  # D over the sum of shares
    gradient = (gradient * scale).astype(value.dtype)
    d_value = jnp.einsum("bnkq,ndbq->ndbk", _kept(shares, bits), gradient)
    d_kept = jnp.einsum("ndbk,ndbq->bnkq", value, gradient, preferred_element_type=jnp.float32)
    if bits is not None:
        d_kept = jnp.where(shares > 0, d_kept, 0.0)
    d_scores = jnp.abs(shares.astype(jnp.float32)) * (d_kept - jnp.swapaxes(inner[:, 0], 0, 1)[:, :, None])
    d_scores = d_scores.astype(query.dtype)
    d_key = jnp.einsum("ndbq,bnkq->ndbk", query, d_scores)
    d_query = jnp.einsum("ndbk,bnkq->ndbq", key, d_scores)
    return d_query, d_key, d_value, None, None


def _kept(shares: jax.Array, bits: jax.Array | None) -> jax.Array:
    return shares if bits is None else jnp.maximum(shares, 0)


attend.defvjp(_forward, _backward)
