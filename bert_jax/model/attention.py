"""Softmax attention with dropout, and its gradient written out.

Left to automatic differentiation, the float32 scores of all pairs of tokens are kept and read several times on the way
back; at 512 tokens that is most of a layer's memory traffic. Here they are read once, and what is kept are two arrays
of the activations' dtype.

Scores are [batch, heads, keys, queries]: then the softmax goes over rows of vector registers instead of across them.
Queries, keys, values and the context have tokens last, [batch, heads, head_dim, length].
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp

from bert_jax.model.products import contract

Residuals = tuple[Any, ...]


@functools.partial(jax.custom_vjp, nondiff_argnums=(5,))
def attend(
    query: jax.Array, key: jax.Array, value: jax.Array, bias: jax.Array, keep: jax.Array | None, rate: float
) -> jax.Array:
    """The context of each query: values weighted by softmax(key . query + bias), a share `rate` of weights dropped.

    query [batch, heads, head_dim, queries], key and value [batch, heads, head_dim, keys]; bias float32 [batch, 1, keys,
    1 or queries], which gets no gradient; keep bool [batch, heads, keys, queries], or None for no dropout. Returns
    [batch, heads, head_dim, queries].
    """
    return _forward(query, key, value, bias, keep, rate)[0]


def _forward(
    query: jax.Array, key: jax.Array, value: jax.Array, bias: jax.Array, keep: jax.Array | None, rate: float
) -> tuple[jax.Array, Residuals]:
    scores = contract("bndk,bndq->bnkq", key, query, jnp.float32) + bias
    shares = jnp.exp(scores - scores.max(axis=2, keepdims=True))  # of the softmax, before they are divided by their sum
    total = shares.sum(axis=2)[:, :, None]  # [batch, heads, 1, queries]
    shares = shares.astype(query.dtype)
    kept = shares if keep is None else jnp.where(keep, shares, jnp.zeros_like(shares))
    # What a kept share is multiplied by is the same for all keys of a query, so the context is, not the shares.
    scale = 1.0 / (total * _keep_rate(keep, rate))
    context = contract("bndk,bnkq->bndq", value, kept, jnp.float32)
    context = (context * scale).astype(query.dtype)
    return context, (query, key, value, keep, shares, kept, scale, context)


def _backward(rate: float, residuals: Residuals, gradient: jax.Array) -> tuple[jax.Array | None, ...]:
    """With the softmax P, the gradient dP of it and D = sum over keys of P dP, the scores' gradient is P (dP - D).

    D is also the sum over head_dim of the context times its gradient (arXiv 2205.14135, appendix B.2).
    """
    query, key, value, keep, shares, kept, scale, context = residuals
    product = gradient.astype(jnp.float32) * context.astype(jnp.float32)
    inner = product.sum(axis=2, keepdims=True) * scale * _keep_rate(keep, rate)  # D over the sum of the shares
    gradient = (gradient * scale).astype(value.dtype)
    d_value = contract("bndq,bnkq->bndk", gradient, kept, value.dtype)
    d_kept = contract("bndk,bndq->bnkq", value, gradient, jnp.float32)
    d_scores = (kept.astype(jnp.float32) * d_kept - shares.astype(jnp.float32) * inner).astype(query.dtype)
    d_key = contract("bndq,bnkq->bndk", query, d_scores, key.dtype)
    d_query = contract("bndk,bnkq->bndq", key, d_scores, query.dtype)
    return d_query, d_key, d_value, None, None


def _keep_rate(keep: jax.Array | None, rate: float) -> float:
    return 1.0 if keep is None else 1.0 - rate


attend.defvjp(_forward, _backward)
