import os
import re
import resource
import shutil

import numpy as np
import pytest

from bert_jax.data.schema import RecordFormat
from bert_jax.data.source import RecordSource
from bert_jax.data.tfrecord import write_shard
from bert_jax.errors import DamagedRecordError, UserError


def test_records_run_through_the_shards(tmp_path, records):
    records.write_records(tmp_path, train=[5, 1, 3], validation=[2])
    source = RecordSource(tmp_path, "train")
    assert len(source) == 9
    assert [int(source[i]["masked_lm_ids"][0]) for i in range(9)] == list(range(9))
    assert len(RecordSource(tmp_path, "validation")) == 2


def test_features(tmp_path, records):
    records.write_records(tmp_path, train=[5])
    record = RecordSource(tmp_path, "train")[3]
    for name, values in records.numbered_record(3).items():
        np.testing.assert_array_equal(record[name], values)
        assert record[name].dtype == (np.float32 if name == "masked_lm_weights" else np.int32)


def test_outside(tmp_path, records):
    records.write_records(tmp_path, train=[5])
    with pytest.raises(IndexError):
        RecordSource(tmp_path, "train")[5]


def test_no_such_split(tmp_path, records):
    records.write_records(tmp_path, train=[5])
    with pytest.raises(UserError, match=r"has no validation records.*--holdout"):
        RecordSource(tmp_path, "validation")


def test_missing_shard(tmp_path, records):
    records.write_records(tmp_path, train=[5, 3])
    (tmp_path / "bert-train.tfrecord-00001-of-00002").unlink()
    with pytest.raises(UserError, match="00001-of-00002 is missing"):
        RecordSource(tmp_path, "train")


def test_truncated_shard_is_found_on_opening(tmp_path, records):
    records.write_records(tmp_path, train=[5, 3])
    shard = tmp_path / "bert-train.tfrecord-00001-of-00002"
    shard.write_bytes(shard.read_bytes()[:-10])
    with pytest.raises(UserError, match="00001-of-00002: record 2 is cut off"):
        RecordSource(tmp_path, "train")


def test_records_of_another_size_than_all_are_said_to_have(tmp_path, records):
    records.write_records(tmp_path, train=[5])
    manifest = tmp_path / "records.json"
    manifest.write_text(manifest.read_text().replace('"max_seq_length": 16', '"max_seq_length": 32'))
    for skip_corrupt in (0, 9):
        with pytest.raises(UserError, match=r"16 tokens and 3 predictions and its records\.json says 32 and 3"):
            RecordSource(tmp_path, "train", skip_corrupt)


@pytest.mark.parametrize(("said", "truth"), [(4, 5), (6, 5)])
def test_another_number_of_records_than_is_said(tmp_path, records, said, truth):
    records.write_records(tmp_path, train=[truth])
    manifest = tmp_path / "records.json"
    manifest.write_text(manifest.read_text().replace(f'"num_records": {truth}', f'"num_records": {said}'))
    for skip_corrupt in (0, 9):
        with pytest.raises(UserError, match=f"holds {truth} records and the records.json beside it says {said}"):
            RecordSource(tmp_path, "train", skip_corrupt)


def test_another_size_of_a_shard_than_is_said(tmp_path, records):
    (shard,) = records.write_records(tmp_path, train=[5]).splits["train"].shards
    manifest = tmp_path / "records.json"
    good = manifest.read_text()
    manifest.write_text(good.replace(f'"bytes": {shard.bytes}', f'"bytes": {shard.bytes - 1}'))
    for skip_corrupt in (0, 9):
        with pytest.raises(UserError, match=f"has {shard.bytes} bytes and {shard.bytes - 1} were written"):
            RecordSource(tmp_path, "train", skip_corrupt)


def write_shard_of(directory, records, changes, number=5):
    """A directory whose only shard has `number` records, those in `changes` with other features."""
    records.write_records(directory, train=[number])
    shard = directory / "bert-train.tfrecord-00000-of-00001"
    with write_shard(shard) as writer:
        for record in range(number):
            content = records.numbered_record(record) | changes.get(record, {})
            writer.write(records.RecordFormat(16, 3).serialize(content))
    manifest = (directory / "records.json").read_text()
    size = re.search(r'"bytes": \d+', manifest)[0]
    (directory / "records.json").write_text(manifest.replace(size, f'"bytes": {shard.stat().st_size}'))


def ids(number):
    return [1, 2, 3, number, *[5] * 8, *[0] * 4]


BAD_NUMBERS = [
    ({"input_ids": ids(-3)}, "input_ids holds -3, which is not from 0 to 999"),
    ({"input_ids": ids(1000)}, "input_ids holds 1000, which is not from 0 to 999"),
    ({"input_ids": ids(2**31)}, f"'input_ids' holds {2**31}, which is beyond 32 bits"),
    ({"input_ids": ids(2**32 + 7)}, f"'input_ids' holds {2**32 + 7}, which is beyond 32 bits"),
    ({"input_ids": ids(-(2**63))}, f"'input_ids' holds {-(2**63)}, which is beyond 32 bits"),
    ({"input_ids": [7] * 15}, "'input_ids' has 15 values where 16 are expected"),
    ({"masked_lm_ids": [-100, 7, 0]}, "masked_lm_ids holds -100, which is not from 0 to 999"),
    ({"masked_lm_ids": [1, 7, 30522]}, "masked_lm_ids holds 30522, which is not from 0 to 999"),
    ({"masked_lm_positions": [2, -1, 0]}, "masked_lm_positions holds -1, which is not from 0 to 15"),
    ({"masked_lm_positions": [2, 16, 0]}, "masked_lm_positions holds 16, which is not from 0 to 15"),
    ({"masked_lm_positions": [2, 12, 0]}, "masked_lm_positions holds one of padding"),
    ({"segment_ids": [0] * 4 + [2] + [0] * 11}, "segment_ids holds 2, which is not from 0 to 1"),
    ({"segment_ids": [-1] * 16}, "segment_ids holds -1, which is not from 0 to 1"),
    ({"next_sentence_labels": [2]}, "next_sentence_labels holds 2, which is not from 0 to 1"),
    ({"next_sentence_labels": [-1]}, "next_sentence_labels holds -1, which is not from 0 to 1"),
    ({"input_mask": [2] * 12 + [0] * 4}, "input_mask is not so many times 1, and then 0"),
    ({"input_mask": [1] * 5 + [0] + [1] * 6 + [0] * 4}, "input_mask is not so many times 1, and then 0"),
    ({"input_mask": [-1] * 16}, "input_mask is not so many times 1, and then 0"),
    ({"masked_lm_weights": [1.0, float("nan"), 0.0]}, "masked_lm_weights is not so many times 1, and then 0"),
    ({"masked_lm_weights": [0.5, 0.5, 0.0]}, "masked_lm_weights is not so many times 1, and then 0"),
    ({"masked_lm_weights": [0.0, 1.0, 0.0]}, "masked_lm_weights is not so many times 1, and then 0"),
]


@pytest.mark.parametrize(("change", "says"), BAD_NUMBERS)
def test_numbers_that_a_model_would_take_for_others(tmp_path, records, change, says):
    """Negative ones count from the end of a table, and too large ones make numbers that are none."""
    write_shard_of(tmp_path, records, {3: change})
    source = RecordSource(tmp_path, "train")
    assert source.fetch([0, 1, 2, 4])["input_ids"][:, 0].tolist() == [1, 2, 3, 5]
    for read in (lambda: source[3], lambda: source.fetch(range(5))):
        with pytest.raises(DamagedRecordError, match=r"00000-of-00001: record 3: .*; build the records again") as error:
            read()
        assert says in str(error.value)
        assert "\n" not in str(error.value)
    source = RecordSource(tmp_path, "train", skip_corrupt=1)
    for _ in range(2):
        batch = source.fetch(range(5))
        assert batch["input_ids"][:, 0].tolist() == [1, 2, 3, 0, 5]
        assert not any(values[3].any() for values in batch.values())
    assert source.skipped == {3}


def test_the_largest_numbers_that_may_be(tmp_path, records):
    largest = {
        "input_ids": [999] * 16,
        "input_mask": [1] * 16,
        "segment_ids": [1] * 16,
        "masked_lm_positions": [15] * 3,
        "masked_lm_ids": [999] * 3,
        "masked_lm_weights": [1.0] * 3,
        "next_sentence_labels": [1],
    }
    write_shard_of(tmp_path, records, {0: largest})
    for name, values in RecordSource(tmp_path, "train")[0].items():
        assert values.tolist() == largest[name]


def test_damaged_numbers_and_damaged_bytes_are_counted_together(tmp_path, records):
    write_shard_of(tmp_path, records, {1: {"input_ids": ids(-1)}, 4: {"segment_ids": [9] * 16}}, number=9)
    damage(tmp_path, 6)
    source = RecordSource(tmp_path, "train", skip_corrupt=2)
    assert source.fetch(range(6))["input_ids"][:, 0].tolist() == [1, 0, 3, 4, 0, 6]
    with pytest.raises(DamagedRecordError, match=r"record 6 is damaged.*2 damaged records are skipped already"):
        source.fetch([5, 6])


@pytest.mark.parametrize("skip_corrupt", [0, 1])
def test_a_wrong_index_is_made_anew_and_counts_for_nothing(tmp_path, records, caplog, skip_corrupt):
    records.write_records(tmp_path, train=[5, 4])
    index = tmp_path / "index" / "bert-train-00001-of-00002.npy"
    good = np.load(index)
    for wrong in (good + 1, good * 2, good[:-1], good.astype(np.int32), np.r_[good[:2], good[2] + 4, good[3:]]):
        np.save(index, wrong)
        caplog.clear()
        source = RecordSource(tmp_path, "train", skip_corrupt)
        assert source.fetch(range(9))["input_ids"][:, 0].tolist() == list(range(1, 10))
        assert caplog.text.count("-00001-of-00002.npy does not agree with its shard and is made anew") == 1
        assert source.skipped == set()
        assert np.load(index).tolist() == good.tolist()


def damage(directory, *numbers):
    """Change a byte in the data of records of a shard of 16-token records, all of one size."""
    shard = directory / "bert-train.tfrecord-00000-of-00001"
    content = bytearray(shard.read_bytes())
    size = len(content) // 9
    for number in numbers:
        content[number * size + size // 2] ^= 1
    shard.write_bytes(content)


def test_damaged_records_are_named_and_up_to_a_bound_skipped(tmp_path, records):
    records.write_records(tmp_path, train=[9])
    damage(tmp_path, 2, 5, 7)
    with pytest.raises(DamagedRecordError, match=r"00000-of-00001: record 2 is damaged"):
        RecordSource(tmp_path, "train")[2]
    source = RecordSource(tmp_path, "train", skip_corrupt=2)
    for _ in range(2):  # a second epoch counts nothing twice
        assert [int(source[i]["input_ids"][0]) for i in (0, 1, 2, 3, 4, 5, 6)] == [1, 2, 0, 4, 5, 0, 7]
    assert source.skipped == {2, 5}
    assert all(not values.any() for values in source[2].values())
    assert source[2].keys() == source[0].keys()
    with pytest.raises(DamagedRecordError, match=r"record 7 is damaged.*2 damaged records.*--config.data.skip_corrupt"):
        source[7]


def test_a_shard_that_was_cut_off_is_read_as_far_as_it_goes(tmp_path, records):
    records.write_records(tmp_path, train=[9])
    shard = tmp_path / "bert-train.tfrecord-00000-of-00001"
    shard.write_bytes(shard.read_bytes()[:-10])
    source = RecordSource(tmp_path, "train", skip_corrupt=1)
    assert [int(source[i]["input_ids"][0]) for i in range(9)] == [1, 2, 3, 4, 5, 6, 7, 8, 0]
    assert source.skipped == {8}


def test_a_record_with_a_right_crc_that_is_no_example(tmp_path, records):
    records.write_records(tmp_path, train=[1])
    shard = tmp_path / "bert-train.tfrecord-00000-of-00001"
    shard.unlink()
    with write_shard(shard) as writer:
        writer.write(b"no example")
    source = RecordSource(tmp_path, "train", skip_corrupt=1)
    assert not source[0]["input_ids"].any()


def digest(directory):
    return RecordSource(directory, "train").digest()


@pytest.mark.parametrize("looked_at", ["all", "some"])
def test_a_digest_says_which_records_these_are(tmp_path, records, monkeypatch, looked_at):
    if looked_at == "some":
        monkeypatch.setattr("bert_jax.data.source._DIGESTED_ALL", 8)
        monkeypatch.setattr("bert_jax.data.source._DIGESTED_SOME", 5)
    records.write_records(tmp_path / "these", train=[5, 4])
    records.write_records(tmp_path / "more", train=[5, 5])
    records.write_records(tmp_path / "turned", train=[4, 5])
    shutil.copytree(tmp_path / "these", tmp_path / "copy")
    for old, new in (("00000", "00001"), ("00001", "00000")):
        shutil.copy(
            tmp_path / "these" / f"bert-train.tfrecord-{old}-of-00002",
            tmp_path / "turned" / f"bert-train.tfrecord-{new}-of-00002",
        )
    shutil.rmtree(tmp_path / "turned" / "index")
    assert digest(tmp_path / "copy") == digest(tmp_path / "these")
    assert len({digest(tmp_path / name) for name in ("these", "more", "turned")}) == 3


def test_a_damaged_index_is_another_matter_than_other_records(tmp_path, records):
    records.write_records(tmp_path, train=[9])
    before = digest(tmp_path)
    index = tmp_path / "index" / "bert-train-00000-of-00001.npy"
    good = np.load(index)
    for number in range(1, 9):
        wrong = good.copy()
        wrong[number] += 1
        np.save(index, wrong)
        assert digest(tmp_path) == before
        assert np.load(index).tolist() == good.tolist()


def test_a_damaged_record_is_another_matter_than_another_record(tmp_path, records):
    records.write_records(tmp_path, train=[9])
    before = digest(tmp_path)
    damage(tmp_path, 2)
    assert digest(tmp_path) == before
    shard = tmp_path / "bert-train.tfrecord-00000-of-00001"
    record_format = RecordFormat(16, 3)
    with write_shard(shard) as writer:
        for number in range(9):
            writer.write(record_format.serialize(records.numbered_record(number if number != 4 else 5)))
    assert digest(tmp_path) != before


def test_more_shards_than_files_may_be_open(tmp_path, records):
    records.write_records(tmp_path, train=[1] * 100)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 20, before[1]))  # noqa: PTH208
    try:
        assert len(RecordSource(tmp_path, "train").fetch(range(100))["input_ids"]) == 100
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_a_limit_of_open_files_that_may_not_be_raised_is_no_error(tmp_path, records, monkeypatch):
    """As where it is infinite by name, and the system has another one behind it."""

    def refuse(*arguments):
        raise ValueError("current limit exceeds maximum limit")

    records.write_records(tmp_path, train=[5])
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, resource.RLIM_INFINITY))
    monkeypatch.setattr(resource, "setrlimit", refuse)
    assert len(RecordSource(tmp_path, "train")) == 5
