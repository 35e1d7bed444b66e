import random

import numpy as np
import pytest
from tensorflow_datasets.proto import tf_example_pb2

from bert_jax.data.encoding import encoded
from bert_jax.data.flat_corpus import flat_corpus, shuffled
from bert_jax.data.instances import append, make_rules, no_instances
from bert_jax.data.mersenne_twister import generators_of, shuffle
from bert_jax.data.options import RecordOptions
from bert_jax.data.schema import record_features
from bert_jax.data.sentence_pairs import make_pairs
from bert_jax.text.load_tokenizer import load_tokenizer

# Ids of one, two and three bytes; lengths of the fields on both sides of where a byte more is needed.
SIZES = [
    (5, 1, 20, "nsp"),
    (16, 3, 200, "sop"),
    (61, 7, 20_000, "nsp"),
    (128, 20, 30_522, "nsp"),
    (512, 76, 120_000, "none"),
    (5000, 900, 30_522, "nsp"),
]


@pytest.fixture(params=SIZES, ids=str)
def both(request, plain, tmp_path):
    """Records of one corpus: ours, and TFDS's of the plain generator's."""
    max_seq_length, max_predictions, vocab_size, pairs = request.param
    options = RecordOptions(max_seq_length, max_predictions, dupe_factor=2, short_seq_prob=0.3, pairs=pairs)
    words = [f"w{number}" for number in range(vocab_size - 5)]
    (tmp_path / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]))
    tokenizer = load_tokenizer(tmp_path / "vocab.txt")
    draw = random.Random(max_seq_length)
    num_sentences, num_tokens = (lambda: draw.randint(1, 20)), lambda: draw.randint(1, max_seq_length // 2)
    documents = plain.random_documents(draw, 12, num_sentences, num_tokens, vocab_size)
    features = record_features(max_seq_length, max_predictions)
    theirs = [
        features.serialize_example(instance.record(max_seq_length, max_predictions))
        for instance in plain.make_instances(documents, options, tokenizer, random.Random(1))
    ]
    return our_records(documents, options, tokenizer), theirs


def our_records(documents, options, tokenizer):
    generators, rules = generators_of(1), make_rules(options, tokenizer)
    corpus, instances = shuffled(flat_corpus(documents), generators.main), no_instances()
    for _ in range(options.dupe_factor):
        append(instances, make_pairs(corpus, rules, generators))
    order = np.arange(len(instances.segments))
    shuffle(generators.main, order)
    return list(encoded(corpus, instances, order, rules, options.max_predictions_per_seq))


def in_order(record):
    """TFDS's record with its features in the order of their names, which it leaves to chance."""
    return tf_example_pb2.Example.FromString(record).SerializeToString(deterministic=True)


def test_protobuf_writes_the_same_bytes_of_what_tfds_makes(both):
    ours, theirs = both
    assert len(ours) > 20
    assert ours == [in_order(record) for record in theirs]


def test_more_records_than_fit_into_a_batch(plain, tokenizer):
    documents = [[[5 + number % 50] * (1 + number % 7)] * 40 for number in range(20)]
    options = RecordOptions(max_seq_length=16, max_predictions_per_seq=3, dupe_factor=5)
    expected = plain.make_instances(documents, options, tokenizer, random.Random(1))
    assert len(expected) > 700
    features = record_features(16, 3)
    ours = our_records(documents, options, tokenizer)
    assert ours == [in_order(features.serialize_example(instance.record(16, 3))) for instance in expected]
