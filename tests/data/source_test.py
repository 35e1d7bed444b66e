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


def test_records_of_another_size(tmp_path, records):
    records.write_records(tmp_path, train=[5])
    manifest = tmp_path / "records.json"
    manifest.write_text(manifest.read_text().replace('"max_seq_length": 16', '"max_seq_length": 32'))
    with pytest.raises(UserError, match="00000-of-00001: record 4: feature 'input_ids' has 16 values where 32"):
        RecordSource(tmp_path, "train")[4]


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
        monkeypatch.setattr("bert_jax.data.source._ALL", 8)
        monkeypatch.setattr("bert_jax.data.source._SOME", 5)
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
