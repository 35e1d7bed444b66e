"""Softmax attention with dropout, and its gradient written out.

Left to automatic differentiation, the float32 scores of all pairs of tokens are kept and read several times on the way
back; at 512 tokens that is most of a layer's memory traffic. Here they are read once, and what is kept are two arrays
of the activations' dtype.

Scores are [batch, heads, keys, queries]: then the softmax goes over rows of vector registers instead of across them.
Queries, keys, values and the context have tokens last, [batch, heads, head_dim, length].

Suffixes are the axes of an array: Batch, heads (N), head_Dim, Keys, Queries; 1 where an axis is summed away.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp

from bert_jax.model.products import contract

Residuals = tuple[Any, ...]


@functools.partial(jax.custom_vjp, nondiff_argnums=(5,))
def attend(
    query_BNDQ: jax.Array,
    key_BNDK: jax.Array,
    value_BNDK: jax.Array,
    bias: jax.Array,
    mask_BNKQ: jax.Array | None,
    rate: float,
) -> jax.Array:
    """The context of each query: values weighted by softmax(key . query + bias), a fraction `rate` of weights dropped.

    query [batch, heads, head_dim, queries], key and value [batch, heads, head_dim, keys]; bias float32 [batch, 1, keys,
    1 or queries], which gets no gradient; mask bool [batch, heads, keys, queries], true where a weight stays,
    or None for no dropout. Returns [batch, heads, head_dim, queries].
    """
    return _forward(query_BNDQ, key_BNDK, value_BNDK, bias, mask_BNKQ, rate)[0]


def _forward(
    query_BNDQ: jax.Array,
    key_BNDK: jax.Array,
    value_BNDK: jax.Array,
    bias: jax.Array,
    mask_BNKQ: jax.Array | None,
    rate: float,
) -> tuple[jax.Array, Residuals]:
    scores_BNKQ = contract("bndk,bndq->bnkq", key_BNDK, query_BNDQ, jnp.float32) + bias
    # of the softmax, not divided by their sum yet
    weights_BNKQ = jnp.exp(scores_BNKQ - scores_BNKQ.max(axis=2, keepdims=True))
    sum_BN1Q = weights_BNKQ.sum(axis=2)[:, :, None]
    weights_BNKQ = weights_BNKQ.astype(query_BNDQ.dtype)
    dropped_BNKQ = _drop(weights_BNKQ, mask_BNKQ)
    # What a weight that stays is multiplied by is the same for all keys of a query, so the context is, not the weights.
    scale_BN1Q = 1.0 / (sum_BN1Q * _keep_rate(mask_BNKQ, rate))
    context_BNDQ = contract("bndk,bnkq->bndq", value_BNDK, dropped_BNKQ, jnp.float32)
    context_BNDQ = (context_BNDQ * scale_BN1Q).astype(query_BNDQ.dtype)
    residuals = (
        query_BNDQ,
        key_BNDK,
        value_BNDK,
        mask_BNKQ,
        weights_BNKQ,
        dropped_BNKQ,
        scale_BN1Q,
        context_BNDQ,
    )
    return context_BNDQ, residuals


def _backward(rate: float, residuals: Residuals, gradient_BNDQ: jax.Array) -> tuple[jax.Array | None, ...]:
    """With the softmax P, the gradient dP of it and D = sum over keys of P dP, the scores' gradient is P (dP - D).

    D is also the sum over head_dim of the context times its gradient (arXiv 2205.14135, appendix B.2).
    """
    query_BNDQ, key_BNDK, value_BNDK, mask_BNKQ, weights_BNKQ, dropped_BNKQ, scale_BN1Q, context_BNDQ = residuals
    product_BNDQ = gradient_BNDQ.astype(jnp.float32) * context_BNDQ.astype(jnp.float32)
    # D over the sum of the weights:
    inner_BN1Q = product_BNDQ.sum(axis=2, keepdims=True) * scale_BN1Q * _keep_rate(mask_BNKQ, rate)
    gradient_BNDQ = (gradient_BNDQ * scale_BN1Q).astype(value_BNDK.dtype)
    d_value_BNDK = contract("bndq,bnkq->bndk", gradient_BNDQ, dropped_BNKQ, value_BNDK.dtype)
    d_dropped_BNKQ = contract("bndk,bndq->bnkq", value_BNDK, gradient_BNDQ, jnp.float32)
    d_scores_BNKQ = dropped_BNKQ.astype(jnp.float32) * d_dropped_BNKQ - weights_BNKQ.astype(jnp.float32) * inner_BN1Q
    d_scores_BNKQ = d_scores_BNKQ.astype(query_BNDQ.dtype)
    d_key_BNDK = contract("bndq,bnkq->bndk", query_BNDQ, d_scores_BNKQ, key_BNDK.dtype)
    d_query_BNDQ = contract("bndk,bnkq->bndq", key_BNDK, d_scores_BNKQ, query_BNDQ.dtype)
    return d_query_BNDQ, d_key_BNDK, d_value_BNDK, None, None


def _drop(weights_BNKQ: jax.Array, mask_BNKQ: jax.Array | None) -> jax.Array:
    if mask_BNKQ is None:
        return weights_BNKQ
    return jnp.where(mask_BNKQ, weights_BNKQ, jnp.zeros_like(weights_BNKQ))


def _keep_rate(dropout_mask: jax.Array | None, rate: float) -> float:
    return 1.0 if dropout_mask is None else 1.0 - rate


attend.defvjp(_forward, _backward)
