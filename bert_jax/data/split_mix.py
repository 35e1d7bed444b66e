"""Random numbers of SplitMix64 (Steele, Lea and Flood, 2014): a 64-bit counter, of which each value is mixed well."""

import numpy as np
from numpy.typing import NDArray

from bert_jax.data.compiled import compiled

_STEP, _FIRST, _SECOND = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_30, _27, _31, _11 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(11)
_FLOATS = 2.0**-53
LARGEST = 1.0 - _FLOATS  # of numbers in [0, 1)


def keys(seed: np.uint64, epochs: NDArray[np.uint64], records: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """A hash of each (seed, epoch, record): of one seed and epoch, no two are equal."""
    return _mixed_all(_mixed_all(_mixed_all(np.array([seed])) + epochs) + records)


def _mixed_all(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    return _mixed(values + _STEP)  # arrays of uint64 wrap around without a warning


@compiled
def uniform(state: NDArray[np.uint64]) -> float:
    """The next number, uniform in [0, 1): 53 random bits. `state` is [1]."""
    return (_next(state) >> _11) * _FLOATS


@compiled
def below(state: NDArray[np.uint64], limit: int) -> int:
    """The next number from 0 to limit - 1; the larger ones are rarer by limit / 2^53."""
    return int(uniform(state) * limit)


@compiled
def _next(state: NDArray[np.uint64]) -> np.uint64:
    state[0] += _STEP
    return _mixed(state[0])


@compiled
def _mixed(value: np.uint64) -> np.uint64:
    value = (value ^ (value >> _30)) * _FIRST
    value = (value ^ (value >> _27)) * _SECOND
    return value ^ (value >> _31)
