"""Shards without our manifest, in every state in which people have them. Those of the original: tests/original."""

import re

import numpy as np
import pytest
from tensorflow_datasets.proto import tf_example_pb2

from bert_jax.data.manifest import MANIFEST, read_manifest
from bert_jax.data.source import RecordSource
from bert_jax.data.tfrecord import TFRecordReader, write_shard
from bert_jax.errors import UserError
from bert_jax.text.load_tokenizer import load_tokenizer

# Records of `records.numbered_record` begin with their number plus one.
VOCABULARY = ["[PAD]", "[CLS]", "[UNK]", "[SEP]", "[MASK]", *(f"w{number}" for number in range(20))]


@pytest.fixture
def foreign(tmp_path, records):
    """A directory as another program and a user with a vocab.txt leave it."""
    directory = tmp_path / "foreign"
    records.write_records(tmp_path, train=[5], validation=[2])
    (directory / "tokenizer").mkdir(parents=True)
    (directory / "tokenizer" / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n")
    for number, content in enumerate([tmp_path / "bert-train.tfrecord-00000-of-00001"] * 2):
        (directory / f"tf_examples.tfrecord{number}").write_bytes(content.read_bytes())
    content = (tmp_path / "bert-validation.tfrecord-00000-of-00001").read_bytes()
    (directory / "validation.tfrecord").write_bytes(content)
    return directory


def test_everything_is_found_out(foreign):
    manifest = read_manifest(foreign)
    assert (manifest.max_seq_length, manifest.max_predictions_per_seq) == (16, 3)
    assert {name: split.num_records for name, split in manifest.splits.items()} == {"train": 10, "validation": 2}
    tokenizer = load_tokenizer(foreign / "tokenizer")
    assert (manifest.vocab_size, manifest.vocab_fingerprint) == (len(VOCABULARY), tokenizer.fingerprint)
    assert read_manifest(foreign) == manifest


def test_shards_of_alberts_script_have_their_pairs_in_order_or_exchanged(foreign):
    """It writes one feature more, by which they are known."""
    path = foreign / "tf_examples.tfrecord0"
    reader = TFRecordReader(path)
    examples = [tf_example_pb2.Example.FromString(reader[number]) for number in range(len(reader))]
    for example in examples:
        example.features.feature["token_boundary"].int64_list.value[:] = [1] * 16
    assert read_manifest(foreign).pairs == "nsp"
    with write_shard(path) as writer:
        for example in examples:
            writer.write(example.SerializeToString())
    assert read_manifest(foreign).pairs == "sop"
    assert RecordSource(foreign, "train")[3]["masked_lm_ids"].tolist() == [3, 7, 0]


def test_records_are_read_and_the_index_kept(foreign, records):
    for _ in range(2):
        source = RecordSource(foreign, "train")
        assert [int(source[number]["masked_lm_ids"][0]) for number in range(len(source))] == [*range(5), *range(5)]
        for name, values in records.numbered_record(3).items():
            np.testing.assert_array_equal(source[8][name], values)
        assert sorted(path.name for path in (foreign / "index").iterdir()) == [
            "tf_examples0.npy",
            "tf_examples1.npy",
            "validation.npy",
        ]


def test_no_vocabulary(foreign):
    (foreign / "tokenizer" / "vocab.txt").unlink()
    with pytest.raises(UserError, match=r"holds no vocab\.txt"):
        read_manifest(foreign)
    (foreign / "tokenizer").rmdir()
    with pytest.raises(UserError, match=f"put their vocabulary into {re.escape(str(foreign))}/tokenizer"):
        read_manifest(foreign)


@pytest.mark.parametrize(
    "tokens", [["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"], ["[PAD]", "[CLS]", "[UNK]", "[SEP]", "[MASK]"]]
)
def test_another_vocabulary(foreign, records, tokens):
    (foreign / "tokenizer" / "vocab.txt").write_text("\n".join(tokens) + "\n")
    with write_shard(foreign / "tf_examples.tfrecord0") as writer:
        record = records.numbered_record(0)
        record["input_ids"][3] = 5
        writer.write(records.RecordFormat(16, 3).serialize(record))
    with pytest.raises(
        UserError, match=r"tf_examples\.tfrecord0 begins with token 1, and tokenizer/ beside it has 5 tok"
    ):
        read_manifest(foreign)


def test_shards_of_two_sizes(foreign, records):
    with write_shard(foreign / "tf_examples.tfrecord2") as writer:
        record = {name: [*values, 0, 0] for name, values in records.numbered_record(0).items()}
        writer.write(records.RecordFormat(18, 5).serialize(record | {"next_sentence_labels": [0]}))
    with pytest.raises(
        UserError, match=r"tfrecord2 holds records of 18 tokens and 5 predictions, and tf_ex.* of 16 and 3"
    ):
        read_manifest(foreign)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ([], "holds no record"),
        ([b"\x0a\x05nonsense"], "is no tf.train.Example"),
        ([b""], "has no input_ids"),
    ],
)
def test_other_records(foreign, content, complaint):
    with write_shard(foreign / "other.tfrecord") as writer:
        for record in content:
            writer.write(record)
    with pytest.raises(UserError, match=rf"other\.tfrecord.*{re.escape(complaint)}"):
        read_manifest(foreign)


def test_a_shard_that_is_cut_off(foreign):
    shard = foreign / "tf_examples.tfrecord1"
    shard.write_bytes(shard.read_bytes()[:-3])
    with pytest.raises(UserError, match=r"tfrecord1: record 4 is cut off"):
        read_manifest(foreign)


def test_an_unfinished_build_is_not_taken_for_foreign(foreign):
    (foreign / ".parts").mkdir()
    with pytest.raises(UserError, match=rf"has no {re.escape(MANIFEST)}.*did not finish"):
        read_manifest(foreign)
