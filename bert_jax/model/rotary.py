"""Rotary positions (arXiv 2104.09864): queries and keys are rotated by angles that grow with their tokens' places.

So a score depends on how far two tokens are apart, and on no table. The numbers of a head are rotated in pairs, one of
the first half with the one as far into the second, as in GPT-NeoX and Transformers; the paper pairs neighbours.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

BASE = 10_000.0  # the slowest pair turns by almost 1 / BASE a token (section 3.2.2)


class Rotation(NamedTuple):
    """Of tokens, for every pair of a head's numbers: float32 [batch or 1, 1, head_dim / 2, tokens]."""

    cosine: jax.Array
    sine: jax.Array


class Rotations(NamedTuple):
    """Those of attention's two sides, which differ where only some tokens ask."""

    queries: Rotation
    keys: Rotation


def speeds(head_dim: int) -> np.ndarray:
    """By what each pair turns a token, float64 [head_dim / 2]: number i by BASE ** (-2 i / head_dim)."""
    return BASE ** (-np.arange(0, head_dim, 2) / head_dim)


def rotation(positions: jax.Array, head_dim: int) -> Rotation:
    """Of int32 [batch or 1, tokens], for pairs of these `speeds`."""
    by_pair = jnp.asarray(speeds(head_dim), jnp.float32)
    angles = positions[:, None, None, :].astype(jnp.float32) * by_pair[None, None, :, None]
    return Rotation(jnp.cos(angles), jnp.sin(angles))


def rotate(heads: jax.Array, by: Rotation) -> jax.Array:
    """Queries or keys [batch, heads, head_dim, tokens], rotated in float32, in their dtype."""
    first, second = jnp.split(heads.astype(jnp.float32), 2, axis=2)
    turned = first * by.cosine - second * by.sine, second * by.cosine + first * by.sine
    return jnp.concatenate(turned, axis=2).astype(heads.dtype)
