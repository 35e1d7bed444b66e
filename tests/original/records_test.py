"""Our records and the original's: its generator beside ours on real text, and each program's shards read by the other.

The original's create_pretraining_data.py runs as PyPI's bert-tensorflow 1.0.4 has it, unchanged.
"""

import collections
import importlib.util
import lzma
import re
import subprocess
import sys
from pathlib import Path
from pydoc_data.topics import topics

import numpy as np
import pytest
import tensorflow_datasets as tfds
from tensorflow_datasets.proto import tf_example_pb2

from bert_jax.data.building import build_records
from bert_jax.data.options import RecordOptions
from bert_jax.data.source import RecordSource
from bert_jax.data.tfrecord import TFRecordReader
from bert_jax.text.load_tokenizer import load_tokenizer

pytestmark = pytest.mark.skipif(
    not (importlib.util.find_spec("bert") and importlib.util.find_spec("tensorflow")),
    reason="needs tensorflow-cpu and bert-tensorflow",
)
SHARED = Path(__file__).parents[3] / "shared"
CHARACTERS = 60_000  # of every text


def write_text(path):
    """Python's own reference and, where they are at hand, pieces of real books, articles and mail."""
    texts = ["\n\n".join(re.sub(r"\n\s*\n", "\n", topics[name]).strip() for name in sorted(topics))]
    for source in ("enwiki_gensim", "foldoc", "spamassassin_ham", "mobydick"):
        file = SHARED / "corpus" / f"{source}.txt.xz"
        if file.exists():
            with lzma.open(file, "rt", encoding="utf-8") as text:
                texts.append(text.read(CHARACTERS))
    path.write_text("\n\n".join(text[:CHARACTERS] for text in texts) + "\n", encoding="utf-8")


def write_vocabulary(path, text):
    words = collections.Counter(re.findall(r"\w+|[^\w\s]", text))
    words += collections.Counter(re.findall(r"\w+|[^\w\s]", text.lower()))
    characters = sorted({character for word in words for character in word if ord(character) < 0x250})
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *characters, *("##" + c for c in characters)]
    common = [word for word, _ in words.most_common(3000) if len(word) > 1]
    path.write_text("\n".join(pieces + common) + "\n", encoding="utf-8")


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """A directory with text.txt and vocab.txt."""
    directory = tmp_path_factory.mktemp("inputs")
    write_text(directory / "text.txt")
    write_vocabulary(directory / "vocab.txt", (directory / "text.txt").read_text(encoding="utf-8"))
    return directory


def run_original(inputs, output, cased=False, **flags):
    """The original's shards, with the vocabulary beside them as a user puts it there."""
    (output / "tokenizer").mkdir(parents=True)
    (output / "tokenizer" / "vocab.txt").write_bytes((inputs / "vocab.txt").read_bytes())
    if cased:
        (output / "tokenizer" / "tokenizer_config.json").write_text('{"do_lower_case": false}')
    command = [
        sys.executable,
        "-m",
        "bert.create_pretraining_data",
        f"--input_file={inputs}/text.txt",
        f"--vocab_file={inputs}/vocab.txt",
        f"--output_file={output}/tf_examples.tfrecord0,{output}/tf_examples.tfrecord1",
        f"--do_lower_case={not cased}",
        *(f"--{name}={value}" for name, value in flags.items()),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


SETTINGS = {
    "defaults": {},
    "long": {"max_seq_length": 512, "max_predictions_per_seq": 76, "dupe_factor": 3, "random_seed": 7},
    "odd": {
        "max_seq_length": 33,
        "max_predictions_per_seq": 4,
        "masked_lm_prob": 0.4,
        "short_seq_prob": 0.6,
        "dupe_factor": 2,
        "cased": True,
    },
}


@pytest.fixture(
    scope="module", params=["defaults", *(pytest.param(name, marks=pytest.mark.slow) for name in ("odd", "long"))]
)
def both(request, inputs, tmp_path_factory):
    """Directories of records of the original and of ours, of the same text with the same options."""
    theirs, ours = (tmp_path_factory.mktemp(request.param) / name for name in ("theirs", "ours"))
    flags = SETTINGS[request.param]
    run_original(inputs, theirs, **flags)
    tokenizer = load_tokenizer(theirs / "tokenizer")
    options = RecordOptions(**{name: value for name, value in flags.items() if name != "cased"})
    build_records([str(inputs / "text.txt")], tokenizer, ours, options, num_workers=1)
    return theirs, ours


def test_record_for_record_the_same(both):
    theirs, ours = (RecordSource(directory, "train") for directory in both)
    assert len(ours) == len(theirs) > 100
    rounds = len(theirs) // 2 + len(theirs) % 2  # the original deals its records out to its files in turn
    for number in range(len(ours)):
        expected = theirs[number // 2 + rounds * (number % 2)]
        found = ours[number]
        for name, values in expected.items():
            np.testing.assert_array_equal(found[name], values, err_msg=f"record {number}", strict=True)


def test_serialized_records_differ_in_the_order_of_features_alone(both):
    """The original serializes features in the order in which protobuf keeps its map, and we in that of their names."""
    theirs = [data for path in sorted(both[0].glob("tf_examples.*")) for data in frames(path)]
    (ours,) = (list(frames(path)) for path in both[1].glob("bert-train.tfrecord*"))
    assert len(ours) == len(theirs)
    rounds = len(theirs) // 2 + len(theirs) % 2
    for number, found in enumerate(ours):
        expected = theirs[number // 2 + rounds * (number % 2)]
        assert len(found) == len(expected)
        in_our_order = tf_example_pb2.Example.FromString(expected).SerializeToString(deterministic=True)
        assert found == in_our_order, f"record {number}"
    assert [path.stat().st_size for path in both[1].glob("bert-train.tfrecord*")] == [
        sum(path.stat().st_size for path in both[0].glob("tf_examples.*"))
    ]


def frames(path):
    reader = TFRecordReader(path)
    return (reader[number] for number in range(len(reader)))


@pytest.mark.slow
def test_tensorflow_reads_our_shards_with_the_originals_specification(both):
    """run_pretraining.py:326-343; TFRecordDataset checks the CRCs."""
    import tensorflow as tf

    source = RecordSource(both[1], "train")
    length, predictions = source.manifest.max_seq_length, source.manifest.max_predictions_per_seq
    specification = {
        "input_ids": tf.io.FixedLenFeature([length], tf.int64),
        "input_mask": tf.io.FixedLenFeature([length], tf.int64),
        "segment_ids": tf.io.FixedLenFeature([length], tf.int64),
        "masked_lm_positions": tf.io.FixedLenFeature([predictions], tf.int64),
        "masked_lm_ids": tf.io.FixedLenFeature([predictions], tf.int64),
        "masked_lm_weights": tf.io.FixedLenFeature([predictions], tf.float32),
        "next_sentence_labels": tf.io.FixedLenFeature([1], tf.int64),
    }
    files = [str(path) for path in sorted(both[1].glob("bert-train.tfrecord*"))]
    examples = tf.data.TFRecordDataset(files).map(lambda data: tf.io.parse_single_example(data, specification))
    number = -1
    for number, example in enumerate(examples.as_numpy_iterator()):
        record = source[number]
        assert example.keys() == record.keys()
        for name, values in record.items():
            np.testing.assert_array_equal(example[name], values)
    assert number == len(source) - 1


def test_tfds_opens_our_directory_with_tensorflow(both):
    source = RecordSource(both[1], "train")
    dataset = tfds.builder_from_directory(both[1]).as_dataset(split="train", shuffle_files=False)
    assert len(dataset) == len(source)
    for number, example in enumerate(dataset.take(50).as_numpy_iterator()):
        for name, values in source[number].items():
            np.testing.assert_array_equal(example[name], values)
