import hashlib
import itertools
import json
import random
from pathlib import Path

import pytest

from bert_jax.data.instances import InstanceMaker
from bert_jax.data.options import RecordOptions
from bert_jax.text.corpus import documents
from bert_jax.text.tokenizer import load_tokenizer

SHARED = Path(__file__).parents[3] / "shared"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="no sample text and vocabulary beside the project")


def original_digest(instances, tokenizer):
    """The digest by which the original generator's output is known."""
    tokens = tokenizer.tokens
    plain = [
        [
            [tokens[i] for i in instance.tokens],
            instance.segment_ids,
            instance.masked_lm_positions,
            [tokens[i] for i in instance.masked_lm_ids],
            instance.is_random_next,
        ]
        for instance in instances
    ]
    return hashlib.sha256(json.dumps(plain).encode()).hexdigest()[:16]


def make_all(corpus, options, tokenizer):
    rng = random.Random(options.random_seed)
    instances = list(itertools.chain.from_iterable(InstanceMaker(options, tokenizer).make(corpus, rng)))
    rng.shuffle(instances)
    return instances


@needs_shared
@pytest.mark.parametrize(
    ("whole_word_mask", "max_seq_length", "max_predictions", "count", "digest"),
    [(False, 128, 20, 60, "0584ef7e369edfe3"), (True, 512, 76, 33, "ca68d648acdcf3fe")],
)
def test_instances_of_the_original(whole_word_mask, max_seq_length, max_predictions, count, digest):
    """Digests of what Google's own program makes of its sample text, with and without whole-word masking."""
    tokenizer = load_tokenizer(SHARED / "golden" / "bert-base-uncased-vocab.txt")
    options = RecordOptions(max_seq_length, max_predictions, dupe_factor=5, whole_word_mask=whole_word_mask)
    text = documents([str(SHARED / "golden" / "sample_text.txt")])
    corpus = [[tokenizer.encode(sentence) for sentence in document] for document in text]
    instances = make_all(corpus, options, tokenizer)
    assert len(instances) == count
    assert original_digest(instances, tokenizer) == digest
