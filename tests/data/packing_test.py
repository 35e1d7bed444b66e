import json

import numpy as np
import pytest

from bert_jax.data.batches import record_ids
from bert_jax.data.packed_rows import pack_records, packed_batches
from bert_jax.data.packing import PackedOrder, Packing, choose_packing, pack
from bert_jax.data.source import RecordSource
from bert_jax.errors import UserError

LENGTH = 128


def random_sizes(number, seed=0):
    """Half the sequences full or nearly so, half of any length: tokens and, 15 % of them, predictions."""
    random = np.random.default_rng(seed)
    tokens = np.where(
        random.random(number) < 0.5, LENGTH - random.integers(0, 4, number), random.integers(5, LENGTH, number)
    )
    return np.stack([tokens, np.maximum(1, np.round(tokens * 0.15))], axis=1).astype(np.int32)


def test_rows_hold_every_sequence_once_and_no_more_than_they_may():
    sizes = random_sizes(3000)
    packing = Packing(0, 256, sequences_per_row=3, predictions_per_row=20, max_seq_length=LENGTH)
    rows = pack(sizes, packing)
    assert sorted(sequence for row in rows for sequence in row) == list(range(3000))
    assert max(len(row) for row in rows) == 3
    assert max(sizes[row, 0].sum() for row in rows) == LENGTH
    assert max(sizes[row, 1].sum() for row in rows) == 20


def test_hardly_more_rows_than_the_tokens_need():
    sizes = random_sizes(4096)
    packing = choose_packing(sizes, LENGTH, 256, seed=1)
    assert packing.rows % 8 == 0
    least = 256 * sizes[:, 0].mean() / LENGTH
    assert least < packing.rows < least * 1.05 + 8


def test_rows_that_are_chosen_divide_over_the_accumulation_steps():
    sizes = random_sizes(4096)
    few, many = (choose_packing(sizes, LENGTH, 240, seed=1, accumulation_steps=steps).rows for steps in (1, 20))
    assert few % 20
    assert (many % 40, few < many < few + 40) == (0, True)
    assert choose_packing(sizes, LENGTH, 240, 1, rows=few, accumulation_steps=20).rows == few  # which were given


@pytest.mark.parametrize("number", [100, 10_000])  # fewer records than a window has places, and more
def test_a_window_has_the_sequences_that_the_unpacked_steps_would_have(number):
    sizes = random_sizes(number)
    packing = choose_packing(sizes, LENGTH, 64, seed=3)
    order = PackedOrder(sizes, packing, seed=3)
    steps = packing.window_steps
    assert steps == 64
    packed = sorted(record for step in range(steps, 2 * steps) for row in order.rows(step) for record in row)
    unpacked = sorted(np.concatenate([record_ids(step, range(64), 64, number, 3) for step in range(steps, 2 * steps)]))
    assert packed == unpacked
    per_step = [sum(map(len, order.rows(step))) for step in range(steps)]
    assert np.mean(per_step) == 64
    assert np.std(per_step) < 16  # long and short are spread over the steps


def test_too_few_rows_leave_out_a_few():
    sizes = random_sizes(10_000)
    wide = choose_packing(sizes, LENGTH, 64, seed=3)
    tight = Packing(wide.rows * 3 // 4, 64, wide.sequences_per_row, wide.predictions_per_row, LENGTH)
    order = PackedOrder(sizes, tight, seed=3)
    rows = [row for step in range(tight.window_steps) for row in order.rows(step)]
    assert len(rows) == tight.rows * tight.window_steps
    packed = [record for row in rows for record in row]
    assert 0.7 * 4096 < len(packed) == len(set(packed)) < 4096


def test_the_rows_of_a_step_do_not_depend_on_where_one_begins():
    sizes = random_sizes(5000)
    packing = choose_packing(sizes, LENGTH, 256, seed=5)
    straight = PackedOrder(sizes, packing, seed=5)
    all_steps = [straight.rows(step) for step in range(40)]
    assert PackedOrder(sizes, packing, seed=5).rows(37) == all_steps[37]
    assert PackedOrder(sizes, packing, seed=6).rows(37) != all_steps[37]


def sequence(first, length, predictions):
    """A record of LENGTH places whose tokens are first, first + 1 ..."""
    mask = np.arange(LENGTH) < length
    weights = np.arange(20) < predictions
    return {
        "input_ids": np.where(mask, first + np.arange(LENGTH), 0).astype(np.int32),
        "input_mask": mask.astype(np.int32),
        "segment_ids": (mask & (np.arange(LENGTH) >= length // 2)).astype(np.int32),
        "masked_lm_positions": np.where(weights, 1 + np.arange(20), 0).astype(np.int32),
        "masked_lm_ids": np.where(weights, first * 10 + np.arange(20), 0).astype(np.int32),
        "masked_lm_weights": weights.astype(np.float32),
        "next_sentence_labels": np.array([first % 2], np.int32),
    }


def test_a_row_one_sequence_after_the_other():
    packing = Packing(1, 3, sequences_per_row=4, predictions_per_row=7, max_seq_length=LENGTH)
    row = pack_records([sequence(1000, 6, 1), sequence(2001, 50, 3), sequence(3000, 40, 2)], packing)
    assert row["input_ids"][[0, 5, 6, 55, 56, 95, 96]].tolist() == [1000, 1005, 2001, 2050, 3000, 3039, 0]
    assert row["input_mask"].tolist() == [1] * 6 + [2] * 50 + [3] * 40 + [0] * 32
    assert row["segment_ids"].tolist() == [0] * 3 + [1] * 3 + [0] * 25 + [1] * 25 + [0] * 20 + [1] * 20 + [0] * 32
    assert row["position_ids"].tolist() == [*range(6), *range(50), *range(40)] + [0] * 32
    assert row["masked_lm_positions"].tolist() == [1, 7, 8, 9, 57, 58, 0]
    assert row["masked_lm_ids"].tolist() == [10000, 20010, 20011, 20012, 30000, 30001, 0]
    assert row["masked_lm_weights"].tolist() == [1, 1, 1, 1, 1, 1, 0]
    assert row["next_sentence_positions"].tolist() == [0, 6, 56, 0]
    assert row["next_sentence_labels"].tolist() == [0, 1, 0, 0]
    assert row["next_sentence_weights"].tolist() == [1, 1, 1, 0]


def test_an_empty_row_weighs_nothing():
    packing = Packing(1, 3, sequences_per_row=4, predictions_per_row=7, max_seq_length=LENGTH)
    assert not any(values.any() for values in pack_records([], packing).values())


def test_batches_from_records_on_disk(tmp_path, records):
    records.write_records(tmp_path, train=[30, 20])
    source = RecordSource(tmp_path, "train")
    sizes = source.sizes()
    assert sizes.tolist() == [[12, 2]] * 50
    np.testing.assert_array_equal(RecordSource(tmp_path, "train").sizes(), sizes)  # kept beside the shards
    packing = Packing(4, 8, sequences_per_row=2, predictions_per_row=4, max_seq_length=32)
    run = {"seed": 0, "first_step": 2, "last_step": 5}
    whole = list(packed_batches(source, packing, rows=range(4), **run))
    assert len(whole) == 3
    assert whole[0]["input_ids"].shape == (4, 32)
    part = list(packed_batches(source, packing, rows=[1, 2], **run))
    order = PackedOrder(sizes, packing, seed=0)
    for step, (all_rows, two) in enumerate(zip(whole, part, strict=True), start=2):
        for name, values in two.items():
            np.testing.assert_array_equal(values, all_rows[name][1:3])
        first = [row[0] if row else -1 for row in order.rows(step)]
        assert all_rows["input_ids"][:, 0].tolist() == [record + 1 for record in first]


def write_counted_records(directory, records):
    """Two shards of 30 and 20 records of 12 tokens and 2 predictions, and records.json counts them; their sizes."""
    records.write_records(directory, train=[30, 20])
    content = json.loads((directory / "records.json").read_text())
    content["statistics"] = {"train": {"filled": 600, "predictions": 100}}
    (directory / "records.json").write_text(json.dumps(content))
    RecordSource(directory, "train").sizes()
    return directory / "index" / "bert-train-00001-of-00002.sizes.npy"


def test_any_flipped_bit_of_the_sizes_is_mended_and_logged(tmp_path, records, caplog):
    file = write_counted_records(tmp_path, records)
    good = file.read_bytes()
    for bit in np.random.default_rng(0).integers(0, len(good) * 8, 40).tolist():
        content = bytearray(good)
        content[bit // 8] ^= 1 << bit % 8
        file.write_bytes(content)
        caplog.clear()
        assert RecordSource(tmp_path, "train").sizes().tolist() == [[12, 2]] * 50, bit
        assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] in (
            [f"{file} does not agree with its shard and is made anew"],
            [f"{tmp_path}/index/*.sizes.npy do not agree with what records.json has counted and are made anew"],
        ), bit
        assert file.read_bytes() == good, bit


SIZES = np.array([[12, 2]] * 20, np.int32)


@pytest.mark.parametrize(
    "wrong",
    [
        SIZES.astype(np.int64),
        SIZES.astype(np.float32),
        SIZES[:-1],
        SIZES[:0],
        SIZES.T,
        SIZES[:, :1],
        SIZES.reshape(40),
        SIZES * 0,
        SIZES * 2,
        -SIZES,
        SIZES + np.int32([5, 0]),
        SIZES + np.int32([0, 2]),
        SIZES[:, ::-1],
        np.int32(7),
    ],
)
@pytest.mark.parametrize("skip_corrupt", [0, 1])
def test_sizes_of_another_kind_are_made_anew_and_logged(tmp_path, records, caplog, wrong, skip_corrupt):
    file = write_counted_records(tmp_path, records)
    np.save(file, wrong)
    source = RecordSource(tmp_path, "train", skip_corrupt)
    assert source.sizes().tolist() == [[12, 2]] * 50
    assert caplog.text.count("and is made anew") + caplog.text.count("and are made anew") == 1
    np.testing.assert_array_equal(np.load(file), SIZES, strict=True)
    assert source.skipped == set()


@pytest.mark.parametrize("wrong", [11, 13])
def test_sizes_that_nobody_has_counted_are_seen_to_be_wrong_when_their_record_is_read(tmp_path, records, wrong):
    """As of shards of another program."""
    records.write_records(tmp_path, train=[30])
    file = tmp_path / "index" / "bert-train-00000-of-00001.sizes.npy"
    sizes = np.array([[12, 2]] * 30, np.int32)
    sizes[7, 0] = wrong
    np.save(file, sizes)
    packing = Packing(4, 8, sequences_per_row=2, predictions_per_row=4, max_seq_length=32)
    source = RecordSource(tmp_path, "train")
    with pytest.raises(UserError, match=r"sizes\.npy did not agree with record 7 of its shard and is removed"):
        list(packed_batches(source, packing, rows=range(4), seed=0, first_step=0, last_step=packing.window_steps))
    assert RecordSource(tmp_path, "train").sizes().tolist() == [[12, 2]] * 30


def test_a_skipped_record_has_other_sizes_and_nothing_is_wrong(tmp_path, records):
    file = write_counted_records(tmp_path, records)
    shard = tmp_path / "bert-train.tfrecord-00001-of-00002"
    content = bytearray(shard.read_bytes())
    content[len(content) // 20 * 3 + 50] ^= 1
    shard.write_bytes(content)
    source = RecordSource(tmp_path, "train", skip_corrupt=1)
    assert source.sizes().tolist() == [[12, 2]] * 50
    assert source.fetch([32, 33, 34])["input_mask"].sum(1).tolist() == [12, 0, 12]
    assert np.load(file).tolist() == [[12, 2]] * 20


def test_sizes_that_are_found_while_a_record_is_skipped_are_not_kept(tmp_path, records):
    file = write_counted_records(tmp_path, records)
    shard = tmp_path / "bert-train.tfrecord-00001-of-00002"
    content = bytearray(shard.read_bytes())
    content[-50] ^= 1
    shard.write_bytes(content)
    file.unlink()
    source = RecordSource(tmp_path, "train", skip_corrupt=1)
    assert source.sizes().tolist() == [[12, 2]] * 49 + [[0, 0]]
    assert not file.exists()


def test_a_skipped_record_is_in_no_row():
    """In a full one, its [CLS] would be beyond the end."""
    sizes = random_sizes(3000)
    sizes[::7] = 0
    packing = Packing(0, 256, sequences_per_row=3, predictions_per_row=20, max_seq_length=LENGTH)
    rows = pack(sizes, packing)
    assert sorted(sequence for row in rows for sequence in row) == [one for one in range(3000) if one % 7]
