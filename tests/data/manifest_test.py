import json
import subprocess
import sys

import pytest
import tensorflow_datasets as tfds

from bert_jax.data.manifest import MANIFEST, check_vocabulary, read_manifest
from bert_jax.errors import UserError


def test_round_trip(tmp_path, records):
    written = records.write_records(tmp_path, train=[5, 3], validation=[2])
    assert read_manifest(tmp_path) == written
    assert written.splits["train"].num_records == 8


def test_same_content_same_bytes(tmp_path, records):
    for name in ("a", "b"):
        records.write_records(tmp_path / name, train=[5, 3])
    files = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*") if path.is_file())
    assert len(files) == 7  # records.json, two of TFDS, two shards, two indices
    for file in files:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes(), file


def test_tfds_opens_the_directory(tmp_path, records):
    records.write_records(tmp_path, train=[5, 3], validation=[2])
    info = tfds.builder_from_directory(tmp_path).info
    assert {name: split.num_examples for name, split in info.splits.items()} == {"train": 8, "validation": 2}
    assert info.splits["train"].filenames == [
        "bert-train.tfrecord-00000-of-00002",
        "bert-train.tfrecord-00001-of-00002",
    ]
    assert info.features["input_ids"].shape == (16,)


def test_tfds_reads_the_records(tmp_path, records):
    """Without TensorFlow: TFDS's own random-access reading is for ArrayRecord, so its features parse the bytes."""
    records.write_records(tmp_path, train=[5])
    features = tfds.builder_from_directory(tmp_path).info.features
    from bert_jax.data.tfrecord import TFRecordReader

    reader = TFRecordReader(tmp_path / "bert-train.tfrecord-00000-of-00001")
    assert features.deserialize_example_np(reader[4])["input_ids"][0] == 5


def test_missing_directory(tmp_path):
    with pytest.raises(UserError, match="nowhere does not exist; make it with build_records"):
        read_manifest(tmp_path / "nowhere")


def test_unfinished_directory(tmp_path, records):
    records.write_records(tmp_path, train=[5])
    (tmp_path / MANIFEST).unlink()
    with pytest.raises(UserError, match=r"has no records\.json.*did not finish"):
        read_manifest(tmp_path)


@pytest.mark.parametrize("change", [{"schema_version": 99}, {"splits": None}, {"from_the_future": 1}])
def test_other_schema(tmp_path, records, change):
    records.write_records(tmp_path, train=[5])
    content = json.loads((tmp_path / MANIFEST).read_text())
    (tmp_path / MANIFEST).write_text(json.dumps({**content, **change}))
    with pytest.raises(UserError, match=r"records\.json is damaged or not of schema version 1"):
        read_manifest(tmp_path)


def test_not_json(tmp_path):
    (tmp_path / MANIFEST).write_text("{")
    with pytest.raises(UserError, match="is damaged"):
        read_manifest(tmp_path)


def test_vocabulary(tmp_path, records):
    manifest = records.write_records(tmp_path, train=[5])
    check_vocabulary(tmp_path, manifest, 1000, "0123456789abcdef", "the checkpoint")
    with pytest.raises(UserError, match=r"vocabulary of 1000 tokens.*and the checkpoint has 1000, feed"):
        check_vocabulary(tmp_path, manifest, 1000, "feed", "the checkpoint")


def test_no_tensorflow_and_no_jax():
    """The rooms that build records load neither, so that worker processes start quickly."""
    program = (
        "import sys, bert_jax.data.manifest, bert_jax.data.source; "
        "print([m for m in ('tensorflow', 'jax') if m in sys.modules])"
    )
    assert subprocess.check_output([sys.executable, "-c", program], text=True).strip() == "[]"
