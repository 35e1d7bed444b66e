import itertools

import numpy as np
import pytest

from bert_jax.tasks.batching import TrainingOrder, batches_by_length, choose_lengths, padded_length

LENGTHS = np.random.default_rng(0).integers(3, 121, 500)


def padded_tokens(lengths, padded):
    return sum(padded_length(int(length), padded) for length in lengths)


@pytest.mark.parametrize("most", [1, 2, 3])
def test_lengths_are_those_of_the_least_padding(most):
    sizes = sorted({-(-int(length) // 8) * 8 for length in LENGTHS})
    least = min(padded_tokens(LENGTHS, [*some, sizes[-1]]) for some in itertools.combinations(sizes[:-1], most - 1))
    chosen = choose_lengths(LENGTHS, most)
    assert len(chosen) == most
    assert padded_tokens(LENGTHS, chosen) == least


def test_a_length_that_saves_too_little_is_left_out():
    padding = [padded_tokens(LENGTHS, choose_lengths(LENGTHS, most)) for most in range(1, 7)]
    savings = -np.diff(padding)
    for worth in (0.0, 2000.0, 5000.0, 1e9):
        expected = 1 + int((savings >= worth).sum())
        assert len(choose_lengths(LENGTHS, 6, least_saving=worth)) == expected


def test_no_more_lengths_than_there_are():
    assert choose_lengths(np.array([5, 6, 7]), 4) == [8]
    assert choose_lengths(np.array([1, 9, 17]), 8) == [8, 16, 24]


def test_lengths_among_given_ones_and_beyond_them():
    chosen = choose_lengths(np.array([3, 20, 60, 300]), 3, among=(16, 32, 64))
    assert set(chosen) <= {16, 32, 64, 304}
    assert chosen[-1] == 304


def rows_of(order, steps):
    return [order.rows(step).tolist() for step in range(steps)]


@pytest.mark.parametrize("rows", [64, 512, 100])
def test_each_row_is_in_each_epoch_once(rows):
    lengths = np.random.default_rng(1).integers(3, 60, rows)
    order = TrainingOrder(lengths, 4, seed=3)
    epochs = 3
    seen = np.bincount(np.concatenate(rows_of(order, epochs * rows // 4)), minlength=rows)
    assert (seen == epochs).all()


@pytest.mark.parametrize(("rows", "batch_size"), [(40, 8), (100, 32), (130, 64), (851, 32)])
def test_a_row_is_in_a_batch_twice_only_where_an_epoch_ends(rows, batch_size):
    lengths = np.random.default_rng(1).integers(3, 60, rows)
    order, epochs = TrainingOrder(lengths, batch_size, seed=0), 20
    batches = rows_of(order, epochs * rows // batch_size)
    assert sum(len(set(batch)) < batch_size for batch in batches) <= epochs


def test_rows_of_a_batch_have_similar_lengths_and_seeds_differ():
    order = TrainingOrder(LENGTHS, 10, seed=0)
    spread = np.mean([np.ptp(LENGTHS[rows]) for rows in rows_of(order, 50)])
    assert spread < np.ptp(LENGTHS) / 8
    assert rows_of(order, 5) == rows_of(TrainingOrder(LENGTHS, 10, seed=0), 5)
    assert rows_of(order, 5) != rows_of(TrainingOrder(LENGTHS, 10, seed=1), 5)
    means = [LENGTHS[rows].mean() for rows in rows_of(order, 50)]
    assert means != sorted(means)  # short ones do not come first
    of_window = [np.argsort([LENGTHS[rows].max() for rows in rows_of(order, 200)[at : at + 50]]) for at in (0, 50)]
    assert of_window[0].tolist() != of_window[1].tolist()  # nor in the same order again


@pytest.mark.parametrize("multiple", [1, 8])
def test_all_rows_are_in_the_batches_of_an_evaluation_once(multiple):
    padded = choose_lengths(LENGTHS, 4)
    batches = list(batches_by_length(LENGTHS, padded, 256, multiple))
    assert sorted(np.concatenate([numbers for numbers, _, _ in batches])) == list(range(len(LENGTHS)))
    for numbers, size, length in batches:
        assert len(numbers) <= size
        assert size % multiple == 0
        assert {padded_length(int(each), padded) for each in LENGTHS[numbers]} == {length}
    assert len({(size, length) for _, size, length in batches}) <= 4


def test_a_file_that_is_sorted_by_label_gives_mixed_batches():
    labels = np.repeat([0, 1], 250)
    order = TrainingOrder(LENGTHS, 10, seed=0)
    shares = [labels[order.rows(step)].mean() for step in range(50)]
    assert 0.35 < np.mean(shares[:10]) < 0.65
    assert all(0 < share < 1 for share in shares)
