"""The generator of Python's random module and NumPy's RandomState, compiled: the same draws, one by one.

The generator is MT19937 (Matsumoto and Nishimura, 1998); how floats, whole numbers and shuffles are made of its
32-bit words is what CPython's random.py and _randommodule.c do. The state is an array of uint32: the 624 words of
the generator and, last, how many of them are used up, exactly as in random.Random.getstate().
"""

import random
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bert_jax.data.compiled import compiled

State = NDArray[np.uint32]

_N, _M = 624, 397
_UPPER, _LOWER = np.uint32(0x80000000), np.uint32(0x7FFFFFFF)
_MATRIX = np.uint32(0x9908B0DF)
_ONE = np.uint32(1)


class Generators(NamedTuple):
    """The two generators of a build."""

    main: State  # of all draws but those of the other
    ngrams: State  # of the lengths of n-grams


def state_of(rng: random.Random) -> State:
    """The state in which `rng` is; draws from it leave `rng` alone."""
    return np.array(rng.getstate()[1], np.uint32)


def numpy_state(seed: int) -> State:
    """The state of NumPy's global generator after np.random.seed(seed), which takes 32 bits; of others the lowest."""
    _, words, used, *_ = np.random.RandomState(seed % 2**32).get_state(legacy=True)
    return np.array([*words, used], np.uint32)


def generators_of(seed: int) -> Generators:
    """Both generators, seeded: as random.Random(seed) and np.random.seed(seed)."""
    return Generators(state_of(random.Random(seed)), numpy_state(seed))


@compiled
def seeded(seed: np.uint64) -> State:
    """state_of(random.Random(seed)): the generator's init_by_array() of the seed's 32-bit words."""
    high = np.uint32(seed >> np.uint64(32))
    key = (np.uint32(seed & np.uint64(0xFFFFFFFF)), high)
    num_words = 2 if high else 1
    state = np.empty(_N + 1, np.uint32)
    state[0] = 19650218
    for at in range(1, _N):
        state[at] = np.uint32(1812433253) * (state[at - 1] ^ (state[at - 1] >> np.uint32(30))) + np.uint32(at)
    at = 1
    for number in range(_N):
        word = number % num_words
        mixed = (state[at - 1] ^ (state[at - 1] >> np.uint32(30))) * np.uint32(1664525)
        state[at] = (state[at] ^ mixed) + key[word] + np.uint32(word)
        at = _after(state, at)
    for _ in range(_N - 1):
        mixed = (state[at - 1] ^ (state[at - 1] >> np.uint32(30))) * np.uint32(1566083941)
        state[at] = (state[at] ^ mixed) - np.uint32(at)
        at = _after(state, at)
    state[0] = _UPPER
    state[_N] = _N
    return state


@compiled
def _after(state: State, at: int) -> int:
    """The place after `at`, which goes round to 1."""
    if at + 1 < _N:
        return at + 1
    state[0] = state[_N - 1]
    return 1


@compiled
def random_float(state: State) -> float:
    """random.random(): 53 random bits, from 0 to below 1."""
    high = _word(state) >> np.uint32(5)
    low = _word(state) >> np.uint32(6)
    return (high * 67108864.0 + low) / 9007199254740992.0


@compiled
def random_below(state: State, limit: int) -> int:
    """random._randbelow(): 0 to limit - 1, for a limit from 1 to below 2^32."""
    return _bits_below(state, limit, _bit_length(limit))


@compiled
def random_between(state: State, least: int, most: int) -> int:
    """random.randint(): `least` to `most`, both included."""
    return least + random_below(state, most - least + 1)


@compiled
def shuffle(state: State, items: NDArray[np.integer]) -> None:
    """random.shuffle(): put `items` in a random order, in place."""
    num_bits = _bit_length(len(items))
    for last in range(len(items) - 1, 0, -1):
        if (last + 1) >> (num_bits - 1) == 0:
            num_bits -= 1
        other = _bits_below(state, last + 1, num_bits)
        items[last], items[other] = items[other], items[last]


@compiled
def _bit_length(number: int) -> int:
    """int.bit_length()."""
    num_bits = 0
    while number >> num_bits:
        num_bits += 1
    return num_bits


@compiled
def _bits_below(state: State, limit: int, num_bits: int) -> np.int64:
    """random.getrandbits(num_bits), drawn again while it is not below `limit`."""
    shift = np.uint32(32 - num_bits)
    number = np.int64(_word(state) >> shift)
    while number >= limit:
        number = np.int64(_word(state) >> shift)
    return number


@compiled
def _word(state: State) -> np.uint32:
    """The next 32 random bits: genrand_uint32()."""
    if state[_N] >= _N:
        _renew(state)
    word = state[state[_N]]
    state[_N] += _ONE
    word ^= word >> np.uint32(11)
    word ^= (word << np.uint32(7)) & np.uint32(0x9D2C5680)
    word ^= (word << np.uint32(15)) & np.uint32(0xEFC60000)
    return word ^ (word >> np.uint32(18))


@compiled
def _renew(state: State) -> None:
    """Make the generator's next 624 words of its last ones."""
    for number in range(_N):
        following = (state[number] & _UPPER) | (state[(number + 1) % _N] & _LOWER)
        renewed = state[(number + _M) % _N] ^ (following >> _ONE)
        if following & _ONE:
            renewed ^= _MATRIX
        state[number] = renewed
    state[_N] = np.uint32(0)
