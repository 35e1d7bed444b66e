import logging

import pytest

from bert_jax.data.building import build_records
from bert_jax.data.options import RecordOptions


def shards(text, tokenizer, output, num_workers, num_parts):
    options = RecordOptions(max_seq_length=64, max_predictions_per_seq=10, dupe_factor=2, num_parts=num_parts)
    build_records([str(text)], tokenizer, output, options, num_workers)
    return {path.name: path.read_bytes() for path in (*output.glob("*.tfrecord*"), *output.glob("index/*"))}


@pytest.mark.slow
def test_the_number_of_workers_changes_no_byte(text, tokenizer, tmp_path):
    one, two, eight = (shards(text, tokenizer, tmp_path / str(number), number, num_parts=9) for number in (1, 2, 8))
    assert len(one) == 27
    assert one == two == eight


@pytest.mark.slow
def test_idle_workers_are_logged(text, tokenizer, tmp_path, caplog):
    with caplog.at_level(logging.INFO, logger="absl"):
        shards(text, tokenizer, tmp_path / "one", 2, num_parts=1)
        assert "--num_parts=1 leaves some of 2 workers idle" in caplog.text
        caplog.clear()
        shards(text, tokenizer, tmp_path / "two", 2, num_parts=2)
        assert "leaves some" not in caplog.text
