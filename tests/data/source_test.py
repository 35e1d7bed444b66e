import numpy as np
import pytest

from bert_jax.data.source import RecordSource
from bert_jax.errors import UserError


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
