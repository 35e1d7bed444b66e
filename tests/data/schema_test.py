import numpy as np
import pytest

from bert_jax.data.schema import RecordFormat, record_features
from bert_jax.errors import UserError

INTEGERS = {
    "input_ids": 16,
    "input_mask": 16,
    "segment_ids": 16,
    "masked_lm_positions": 3,
    "masked_lm_ids": 3,
    "next_sentence_labels": 1,
}


@pytest.fixture
def record():
    random = np.random.default_rng(0)
    integers = {name: random.integers(0, 30522, length).tolist() for name, length in INTEGERS.items()}
    return {**integers, "masked_lm_weights": [1.0, 1.0, 0.0]}


def test_tfds_reads_what_we_write(record):
    parsed = record_features(16, 3).deserialize_example_np(RecordFormat(16, 3).serialize(record))
    assert parsed.keys() == record.keys()
    for name, values in record.items():
        assert parsed[name].tolist() == values
        assert parsed[name].dtype == (np.float32 if name == "masked_lm_weights" else np.int64)


def test_we_read_what_tfds_writes(record):
    parsed = RecordFormat(16, 3).parse(record_features(16, 3).serialize_example(record))
    assert parsed.keys() == record.keys()
    for name, values in record.items():
        assert parsed[name].tolist() == values
        assert parsed[name].dtype == (np.float32 if name == "masked_lm_weights" else np.int32)


def test_bytes_do_not_depend_on_order(record):
    backwards = dict(reversed(record.items()))
    assert RecordFormat(16, 3).serialize(record) == RecordFormat(16, 3).serialize(backwards)


def test_record_of_another_size(record):
    data = RecordFormat(16, 3).serialize(record)
    with pytest.raises(UserError, match="'input_ids' has 16 values where 32 are expected"):
        RecordFormat(32, 3).parse(data)
