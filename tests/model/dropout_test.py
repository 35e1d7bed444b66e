"""Dropout: the rate, the scale, and bits that belong to a sequence and to nothing else."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.random import threefry_2x32

from bert_jax.model.dropout import attention_dropout_mask, dropout, dropout_mask, random_bits, split_key, threefry

ROWS, SHAPE = 6, (6, 40, 1001)  # an odd number of them: four come from each draw


@pytest.fixture(scope="module")
def row_keys():
    return jax.random.split(jax.random.key(0), ROWS)


@pytest.fixture(params=["threefry2x32", "rbg"])
def key(request, row_keys):
    return row_keys if request.param == "threefry2x32" else jax.random.key(0, impl="rbg")


def test_the_fraction_that_is_dropped(key):
    kept = np.asarray(dropout(np.ones(SHAPE, np.float32), 0.1, key))
    assert set(np.unique(kept)) == {np.float32(0.0), np.float32(1.0) / np.float32(0.9)}
    number = kept.size
    assert (kept == 0).mean() == pytest.approx(0.1, abs=4 * np.sqrt(0.09 / number))


def test_the_threshold_is_within_half_a_part_of_65536():
    every = np.arange(2**16, dtype=np.uint16)
    for rate in (0.1, 0.15, 0.5):
        assert abs((~np.asarray(dropout_mask(every, rate))).mean() - rate) <= 2.0**-17


def test_bits_are_spread_evenly_over_all_sixteen(key):
    bits = np.asarray(random_bits(key, SHAPE))
    assert bits.dtype == np.uint16
    for bit in range(16):
        assert (bits >> bit & 1).mean() == pytest.approx(0.5, abs=4 * 0.5 / np.sqrt(bits.size))
    assert len(np.unique(bits.reshape(-1)[:200])) > 190


@pytest.mark.parametrize("count", [1, 2, 5000])
def test_threefry_is_jaxs_own(row_keys, count):
    words = threefry(jax.random.key_data(row_keys), count).reshape(ROWS, -1)
    for key, ours in zip(jax.random.key_data(row_keys), words, strict=True):
        np.testing.assert_array_equal(ours, threefry_2x32(key, jnp.arange(2 * count, dtype=jnp.uint32)))


def test_a_rows_bits_do_not_depend_on_the_others(row_keys):
    whole, part = random_bits(row_keys, (ROWS, 7, 5)), random_bits(row_keys[2:4], (2, 7, 5))
    np.testing.assert_array_equal(whole[2:4], part)
    assert not np.array_equal(whole[0], whole[1])
    np.testing.assert_array_equal(random_bits(row_keys, (ROWS * 7, 5)).reshape(ROWS, 7, 5), whole)


def test_split_keys_are_all_different(key):
    first, second = split_key(key, 2)
    assert first.shape == second.shape == key.shape
    assert not np.array_equal(random_bits(first, SHAPE), random_bits(second, SHAPE))
    assert split_key(None, 2) == (None, None)


def test_without_a_key_or_a_rate_nothing_happens(row_keys):
    array = np.ones((ROWS, 3), np.float32)
    assert dropout(array, 0.1, None) is array
    assert dropout(array, 0.0, row_keys) is array


@pytest.mark.parametrize("heads", [2, 12, 32, 40])
def test_weights_of_attention_are_dropped_at_the_rate_each_by_itself(heads):
    shape = (3, heads, 40, 60)
    for rate in (0.1, 0.5, 2.0**-16):
        kept = np.asarray(attention_dropout_mask(jax.random.key(0, impl="rbg"), shape, rate), np.float64)
        assert kept.shape == shape
        error = 4 * np.sqrt(rate * (1 - rate) / kept.size)
        assert 1 - kept.mean() == pytest.approx(rate, abs=error)
        if rate < 0.01:
            continue
        for axis in range(4):  # neighbours know nothing of each other
            first, second = np.split(np.take(kept, range(shape[axis] // 2 * 2), axis), 2, axis)
            assert np.corrcoef(first.ravel(), second.ravel())[0, 1] == pytest.approx(0, abs=5 / np.sqrt(first.size))


def test_with_a_key_for_each_sequence_they_are_its_own_bits(row_keys):
    shape = (ROWS, 3, 7, 5)
    expected = np.asarray(dropout_mask(random_bits(row_keys, shape), 0.1))
    np.testing.assert_array_equal(attention_dropout_mask(row_keys, shape, 0.1), expected)


def test_a_rate_of_less_than_half_a_part_of_65536_drops_nothing():
    assert attention_dropout_mask(jax.random.key(0, impl="rbg"), (2, 4, 8, 8), 2.0**-18).all()
