import json
import subprocess
import sys

import pytest
import tensorflow_datasets as tfds

from bert_jax.data.manifest import MANIFEST, check_vocabulary, read_manifest
from bert_jax.errors import UserError
from bert_jax.text.load_tokenizer import load_tokenizer


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


def write_changed(directory, records, *keys, value):
    """Records whose records.json has another value at `keys`."""
    records.write_records(directory, train=[5, 3], validation=[2])
    content = json.loads((directory / MANIFEST).read_text())
    place = content
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value
    (directory / MANIFEST).write_text(json.dumps(content))


SHARD = ("splits", "train", "shards", 0)


@pytest.mark.parametrize(
    ("keys", "value", "says"),
    [
        (["schema_version"], 99, "is of schema version 99, and this bert_jax reads 1"),
        (["schema_version"], "1", "Expected `int`, got `str` at `schema_version`"),
        (["splits"], None, "Expected `object`, got `null` at `splits`"),
        (["splits"], [], "Expected `object`, got `array` at `splits`"),
        (["splits", "train"], 3, "Expected `object`, got `int` at"),
        (["splits", "train", "num_records"], 9, "train has 9 records, and its shards 8"),
        (["splits", "train", "num_records"], 0, ">= 1"),
        (["splits", "train", "shards"], [], "length >= 1"),
        ([*SHARD], "a", "Expected `object`, got `str`"),
        ([*SHARD, "num_records"], 6, "train has 8 records, and its shards 9"),
        ([*SHARD, "num_records"], -5, ">= 0"),
        ([*SHARD, "num_records"], 5.5, "Expected `int`, got `float`"),
        ([*SHARD, "num_records"], True, "Expected `int`, got `bool`"),
        ([*SHARD, "bytes"], None, "Expected `int`, got `null`"),
        ([*SHARD, "bytes"], "1", "Expected `int`, got `str`"),
        ([*SHARD, "file"], None, "Expected `str`, got `null`"),
        ([*SHARD, "file"], "../bert-train.tfrecord-00000-of-00002", "matching regex"),
        ([*SHARD, "file"], "bert-train.tfrecord-00000-of-00002\n", "matching regex"),
        ([*SHARD, "file"], "bert-train.tfrecord-00001-of-00002", "names a shard twice"),
        (["max_seq_length"], 0, ">= 1"),
        (["max_seq_length"], 1e6, "Expected `int`"),
        (["max_seq_length"], 1_000_001, "<= 1000000"),
        (["vocab_size"], 2**31, "<= 2147483647"),
        (["max_predictions_per_seq"], [], "Expected `int`, got `array`"),
        (["vocab_size"], "1000", "Expected `int`, got `str` at `vocab_size`"),
        (["vocab_size"], -1, ">= 1"),
        (["vocab_fingerprint"], 5, "Expected `str`"),
        (["vocab_fingerprint"], "0123456789abcdef\n", "matching regex"),
        (["tokenizer_kind"], {}, "Expected `str`"),
        (["options"], [], "Expected `object`, got `array` at `options`"),
        (["options"], {"dupe_factor": "a\nb"}, "options is damaged or of another version: Expected `int`, got `str`"),
        (["statistics"], 3, "Expected `object`, got `int` at `statistics`"),
        (["statistics"], {"train": 3}, "Expected `object`, got `int`"),
        (["bert_jax_version"], 3, "Expected `str`"),
    ],
)
def test_what_it_may_not_say(tmp_path, records, keys, value, says):
    write_changed(tmp_path, records, *keys, value=value)
    with pytest.raises(UserError) as error:
        read_manifest(tmp_path)
    assert says in str(error.value)
    assert str(error.value).startswith(f"{tmp_path}/records.json")
    assert str(error.value).endswith("build the records again")
    assert "\n" not in str(error.value)


def test_what_a_later_version_adds_is_passed_over(tmp_path, records):
    write_changed(tmp_path, records, "from_the_future", value=1)
    assert read_manifest(tmp_path).splits["train"].num_records == 8


@pytest.mark.parametrize("content", [b"", b"{", b"[" * 100_000, b"\xff", b"null", b"[]", b"{}", b'"a"', b"9" * 9999])
def test_another_file_of_that_name(tmp_path, content):
    (tmp_path / MANIFEST).write_bytes(content)
    with pytest.raises(UserError, match=r"records\.json is .*; restore it, or build the records again") as error:
        read_manifest(tmp_path)
    assert "\n" not in str(error.value)


@pytest.fixture
def with_tokenizer(tmp_path, records, tokenizer):
    """A records directory with a vocabulary beside the records, which is theirs."""
    records.write_records(tmp_path, train=[5])
    tokenizer.save(tmp_path / "tokenizer")
    content = json.loads((tmp_path / MANIFEST).read_text())
    content |= {"vocab_size": tokenizer.vocab_size, "vocab_fingerprint": tokenizer.fingerprint}
    (tmp_path / MANIFEST).write_text(json.dumps(content))
    assert read_manifest(tmp_path).vocab_size == tokenizer.vocab_size
    return tmp_path


def test_what_it_says_of_the_vocabulary_beside_it(with_tokenizer, tokenizer):
    content, size = json.loads((with_tokenizer / MANIFEST).read_text()), tokenizer.vocab_size
    for wrong in ({"vocab_size": 10}, {"vocab_size": size - 1}, {"vocab_fingerprint": "0" * 16}):
        (with_tokenizer / MANIFEST).write_text(json.dumps(content | wrong))
        with pytest.raises(UserError, match=rf"records\.json says .*/tokenizer has {size}, .*; restore the one"):
            read_manifest(with_tokenizer)


def test_another_vocabulary_beside_it(with_tokenizer, vocab):
    load_tokenizer(vocab, do_lower_case=False).save(with_tokenizer / "tokenizer")
    with pytest.raises(UserError, match=r"records\.json says that the records are of .*/tokenizer has .*; restore"):
        read_manifest(with_tokenizer)


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
