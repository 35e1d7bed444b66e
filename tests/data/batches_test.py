import itertools

import numpy as np
import pytest

from bert_jax.data.batches import epochs_of, evaluation_batches, record_ids, training_batches
from bert_jax.data.source import RecordSource
from bert_jax.errors import UserError


def sequence(num_positions, num_records, seed=1):
    """The endless sequence's beginning, a record a step."""
    return np.concatenate([record_ids(step, [0], 1, num_records, seed) for step in range(num_positions)])


@pytest.mark.parametrize("num_records", [1, 2, 3, 10, 1000])
def test_every_record_once_an_epoch(num_records):
    epochs = sequence(3 * num_records, num_records).reshape(3, num_records)
    for epoch in epochs:
        assert sorted(epoch) == list(range(num_records))


def test_every_record_once_in_a_large_set():
    ids = record_ids(0, np.arange(70_000), 70_000, 70_000, seed=3)
    assert sorted(ids) == list(range(70_000))
    again = record_ids(1, np.arange(70_000), 70_000, 70_000, seed=3)
    assert sorted(again) == list(range(70_000))
    assert np.mean(ids == again) < 0.001


@pytest.mark.parametrize("num_records", [10_000, 100_000])
def test_shuffled_over_the_whole_set(num_records):
    ids = record_ids(0, np.arange(5000), 5000, num_records, seed=3)
    assert abs(np.corrcoef(ids[:-1], ids[1:])[0, 1]) < 0.06  # 4 standard deviations
    assert abs(ids.mean() / num_records - 0.5) < 0.017
    assert np.histogram(ids, 10, (0, num_records))[0].min() > 400


def test_epochs_and_seeds_differ():
    first, second = sequence(200, 100).reshape(2, 100)
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, sequence(100, 100, seed=2))


@pytest.mark.parametrize("num_records", [7, 100_000])
def test_rows_are_those_of_the_global_batch(num_records):
    whole = record_ids(5, np.arange(12), 12, num_records, seed=4)
    cut = [record_ids(5, rows, 12, num_records, seed=4) for rows in ([0, 1, 2, 3], [4, 5], range(6, 12))]
    np.testing.assert_array_equal(whole, np.concatenate(cut))
    np.testing.assert_array_equal(whole[[9, 2]], record_ids(5, [9, 2], 12, num_records, seed=4))


@pytest.mark.parametrize("num_records", [50, 10**6])
def test_an_order_may_begin_anywhere(num_records):
    """At the record after `first_position` others, in its epoch."""
    whole = record_ids(0, np.arange(100), 100, num_records, seed=4)
    later = [record_ids(step, np.arange(8), 8, num_records, seed=4, first_position=36) for step in range(8)]
    np.testing.assert_array_equal(np.concatenate(later), whole[36:])
    epochs = [epochs_of(step, np.arange(8), 8, num_records, first_position=36) for step in range(8)]
    np.testing.assert_array_equal(np.concatenate(epochs), np.arange(36, 100) // num_records)


def test_order_is_the_one_that_runs_were_started_with():
    """If this fails, no run that was begun before resumes with the records it has not seen."""
    assert record_ids(7, range(8), 8, 50, seed=1).tolist() == [36, 49, 40, 21, 22, 43, 35, 44]
    assert record_ids(7, range(4), 8, 10**6, seed=1).tolist() == [251960, 164697, 25494, 65763]


def first_ids(batch):
    return batch["masked_lm_ids"][:, 0].tolist()


@pytest.fixture
def source(tmp_path, records):
    records.write_records(tmp_path, train=[20, 17])
    return RecordSource(tmp_path, "train")


def test_training_batches(source):
    rows = [1, 4, 5]
    batches = list(training_batches(source, global_batch_size=6, rows=rows, seed=9, first_step=3, last_step=30))
    assert [first_ids(batch) for batch in batches] == [
        record_ids(step, rows, 6, 37, seed=9).tolist() for step in range(3, 30)
    ]
    assert batches[0]["input_ids"].shape == (3, 16)
    assert batches[0]["next_sentence_labels"].shape == (3, 1)
    assert batches[0]["input_ids"].dtype == np.int32
    assert batches[0]["masked_lm_weights"].dtype == np.float32


def test_training_goes_on_where_it_stopped(source):
    def steps(first, last):
        return [
            first_ids(batch)
            for batch in training_batches(
                source, global_batch_size=4, rows=range(4), seed=9, first_step=first, last_step=last
            )
        ]

    assert steps(0, 20) == steps(0, 13) + steps(13, 20)
    assert steps(5, 5) == []


def test_batch_larger_than_the_set(source):
    batches = training_batches(source, global_batch_size=74, rows=range(74), seed=9, first_step=0, last_step=1)
    assert sorted(first_ids(next(batches))) == sorted([*range(37), *range(37)])


def test_long_run_can_be_left_early(source):
    batches = training_batches(source, global_batch_size=4, rows=range(4), seed=9, first_step=0, last_step=10**9)
    assert len(list(itertools.islice(batches, 3))) == 3


def test_damaged_record_is_raised_as_it_is(source, tmp_path):
    shard = tmp_path / "bert-train.tfrecord-00001-of-00002"
    data = bytearray(shard.read_bytes())
    data[-20] ^= 1
    shard.write_bytes(data)
    with pytest.raises(UserError, match=r"00001-of-00002: record 16 is damaged \(CRC mismatch\)") as error:
        list(training_batches(source, global_batch_size=4, rows=range(4), seed=9, first_step=0, last_step=10))
    assert "\n" not in str(error.value)


def test_evaluation_batches_in_order_and_padded(source):
    batches = list(evaluation_batches(source, global_batch_size=8, rows=range(8)))
    assert [batch["input_ids"].shape for batch in batches] == [(8, 16)] * 5
    real = [
        number
        for batch in batches
        for number, mask in zip(first_ids(batch), batch["input_mask"], strict=True)
        if mask.any()
    ]
    assert real == list(range(37))
    for values in batches[-1].values():
        assert not values[5:].any()


def test_evaluation_batches_of_one_process(source):
    whole = list(evaluation_batches(source, global_batch_size=8, rows=range(8)))
    part = list(evaluation_batches(source, global_batch_size=8, rows=[2, 7]))
    for ours, all_rows in zip(part, whole, strict=True):
        for name, values in ours.items():
            np.testing.assert_array_equal(values, all_rows[name][[2, 7]])


def test_rows_that_a_mesh_needs_beyond_an_evaluation_batch_are_zeros(source):
    whole = list(evaluation_batches(source, global_batch_size=10, rows=range(10)))
    filled = list(evaluation_batches(source, global_batch_size=10, rows=range(16)))
    assert len(filled) == len(whole) == 4
    for wide, batch in zip(filled, whole, strict=True):
        for name, values in wide.items():
            np.testing.assert_array_equal(values[:10], batch[name])
            assert not values[10:].any()


def test_evaluation_is_bounded(source):
    assert len(list(evaluation_batches(source, global_batch_size=8, rows=range(8), max_batches=3))) == 3
    assert len(list(evaluation_batches(source, global_batch_size=8, rows=range(8), max_batches=30))) == 5
