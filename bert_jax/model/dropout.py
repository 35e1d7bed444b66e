"""Dropout, from 16 random bits a number: half the work of drawing 32, and a rate that is right to 2^-17."""

import math

import jax
import jax.numpy as jnp


def dropout(array: jax.Array, rate: float, key: jax.Array | None) -> jax.Array:
    """Set a fraction `rate` to zero and scale the rest up; without a key, the identity. `key` as in random_bits."""
    if key is None or rate == 0.0:
        return array
    mask = dropout_mask(random_bits(key, array.shape), rate)
    return jnp.where(mask, array / (1.0 - rate), jnp.zeros_like(array))


def dropout_mask(bits: jax.Array, rate: float) -> jax.Array:
    """True where a number stays, from uint16 `bits`: each with probability 1 - round(2^16 rate) / 2^16."""
    return bits >= jnp.uint16(round(rate * 2**16))


def attention_dropout_mask(key: jax.Array, shape: tuple[int, int, int, int], rate: float) -> jax.Array:
    """True where an attention weight stays: bool [batch, heads, keys, queries], as likely as in `dropout_mask`.

    With one key, the heads are the bits of a word. A bit of `drawn | words` is set with probability (1 + p) / 2 and one
    of `drawn & words` with p / 2, if it is one of `words` with p: so the binary digits of 1 - rate, last one first,
    make words of the right probability, without a comparison for each number and with a mask that is packed already.
    """
    heads = shape[1]
    digits = 2**16 - round(rate * 2**16)
    if key.ndim or heads > 32 or digits == 2**16:
        return dropout_mask(random_bits(key, shape), rate)
    places = [digits >> place & 1 for place in range(16)]
    places = places[places.index(1) :]
    dtype = next(dtype for dtype in (jnp.uint8, jnp.uint16, jnp.uint32) if heads <= jnp.iinfo(dtype).bits)
    drawn = jax.random.bits(key, (len(places), shape[0], *shape[2:]), dtype)
    words = drawn[0]
    for place, more in zip(places[1:], drawn[1:], strict=True):
        words = words | more if place else words & more
    return (words[:, None] >> jnp.arange(heads, dtype=dtype)[None, :, None, None] & 1) != 0


def random_bits(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """uint16 of `shape`, whose first dimension is a multiple of the batch.

    `key` is one key, or one for each sequence of the batch: [batch]. Then a sequence's bits do not depend on what else
    is in the batch, nor on how that is sharded over devices.
    """
    if key.ndim == 0:
        return jax.random.bits(key, shape, jnp.uint16)
    size = math.prod(shape) // key.shape[0]
    words = threefry(jax.random.key_data(key), -(-size // 4))
    halves = jax.lax.bitcast_convert_type(words, jnp.uint16)
    return halves.reshape(key.shape[0], -1)[:, :size].reshape(shape)


def threefry(keys: jax.Array, count: int) -> jax.Array:
    """Threefry-2x32 with 20 rounds (Salmon et al., 2011): of uint32 keys [batch, 2], words uint32 [batch, 2, count].

    The words of jax.extend.random.threefry_2x32(key, arange(2 * count)). That one is a loop on CPUs, and writes its
    state into memory in each turn; jax.random.bits in addition uses half of the words only.
    """
    first, second = keys[:, :1], keys[:, 1:]
    schedule = (first, second, first ^ second ^ jnp.uint32(0x1BD11BDA))
    counter = jnp.arange(count, dtype=jnp.uint32)[None]
    left, right = counter + first, counter + jnp.uint32(count) + second
    for turn in range(5):
        for rotation in ((13, 15, 26, 6), (17, 29, 16, 24))[turn % 2]:
            left = left + right
            right = left ^ (right << rotation | right >> (32 - rotation))
        left = left + schedule[(turn + 1) % 3]
        right = right + schedule[(turn + 2) % 3] + jnp.uint32(turn + 1)
    return jnp.stack([left, right], axis=1)


def split_key(key: jax.Array | None, number: int) -> tuple[jax.Array | None, ...]:
    """`number` independent keys (each [batch] if `key` is), or as many Nones (no dropout)."""
    if key is None:
        return (None,) * number
    if key.ndim == 0:
        return tuple(jax.random.split(key, number))
    return tuple(jax.vmap(lambda one: jax.random.split(one, number), out_axes=1)(key))
