"""Attention and its written-out gradient, against the formula in float64 NumPy and JAX's own differentiation of it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bert_jax.model.attention import attend

BATCH, HEADS, WIDTH, LENGTH, RATE = 3, 2, 8, 12, 0.25


@pytest.fixture(scope="module")
def inputs():
    draw = np.random.default_rng(0)
    query, key, value = draw.normal(size=(3, BATCH, HEADS, WIDTH, LENGTH)).astype(np.float32)
    gradient = draw.normal(size=(BATCH, HEADS, WIDTH, LENGTH)).astype(np.float32)
    bias = np.where(np.arange(LENGTH) < np.array([[12], [7], [1]]), 0.0, -10_000.0)[:, None, :, None]
    keep = draw.random((BATCH, HEADS, LENGTH, LENGTH)) >= RATE
    return query, key, value, bias.astype(np.float32), keep, gradient


def restated(query, key, value, bias, keep, numpy):
    """softmax(K Q + bias) over the keys, dropped and scaled up, times the values."""
    scores = numpy.einsum("bndk,bndq->bnkq", key, query) + bias
    shares = numpy.exp(scores - scores.max(axis=2, keepdims=True))
    shares = shares / shares.sum(axis=2, keepdims=True)
    if keep is not None:
        shares = shares * keep / (1 - RATE)
    return numpy.einsum("bndk,bnkq->bndq", value, shares)


@pytest.mark.parametrize("drops", [False, True])
@pytest.mark.parametrize("queries", [LENGTH, 5])
def test_the_context(inputs, drops, queries):
    query, key, value, bias, keep, _ = inputs
    query, keep = query[..., :queries], keep[..., :queries] if drops else None
    expected = restated(*(array.astype(np.float64) for array in (query, key, value, bias)), keep, np)
    np.testing.assert_allclose(attend(query, key, value, bias, keep, RATE), expected, rtol=0, atol=2e-6)


@pytest.mark.parametrize("drops", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_gradient(inputs, drops, dtype):
    query, key, value, bias, keep, gradient = inputs
    keep = keep if drops else None
    arrays = tuple(jnp.asarray(array, dtype) for array in (query, key, value))
    wide = tuple(array.astype(jnp.float32) for array in arrays)
    _, pull = jax.vjp(lambda *three: attend(*three, bias, keep, RATE), *arrays)
    _, expected = jax.vjp(lambda *three: restated(*three, bias, keep, jnp), *wide)
    given = jnp.asarray(gradient, dtype)
    for ours, theirs in zip(pull(given), expected(given.astype(jnp.float32)), strict=True):
        assert ours.dtype == dtype
        scale = np.abs(theirs).max()
        np.testing.assert_allclose(
            ours.astype(jnp.float32), theirs, rtol=0, atol=scale * (1e-5 if dtype == "float32" else 2e-2)
        )
