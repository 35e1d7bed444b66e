"""LayerNorm and its written-out gradient, against torch's in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from bert_jax.model.layer_norm import normalize

EPSILON = 1e-12


@pytest.mark.parametrize("shape", [(30, 64), (5, 6, 64)])
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 3e-6), ("bfloat16", 2e-2)])
@pytest.mark.parametrize("mean", [0.0, 30.0])  # of a row, in standard deviations
def test_normalize(shape, dtype, tolerance, mean):
    draw = np.random.default_rng(0)
    hidden, gradient = (jnp.asarray(draw.normal(size=shape), dtype) for _ in range(2))
    hidden = hidden + jnp.asarray(mean, dtype)
    scale, bias = (jnp.asarray(draw.normal(size=64), jnp.float32) for _ in range(2))
    output, pull = jax.vjp(lambda *arrays: normalize(*arrays, EPSILON), hidden, scale, bias)
    ours = (output, *pull(gradient))

    wide = [torch.tensor(np.asarray(array, np.float64), requires_grad=True) for array in (hidden, scale, bias)]
    expected = torch.nn.functional.layer_norm(wide[0], (64,), wide[1], wide[2], EPSILON)
    expected.backward(torch.tensor(np.asarray(gradient, np.float64)))
    theirs = (expected.detach(), *(array.grad for array in wide))

    assert [array.dtype for array in ours] == [dtype, dtype, "float32", "float32"]
    for one, other in zip(ours, theirs, strict=True):
        scale_of = np.abs(other.numpy()).max()
        np.testing.assert_allclose(np.asarray(one, np.float64), other, rtol=0, atol=tolerance * scale_of * (1 + mean))
