import hashlib
import itertools
import json
import random
from pathlib import Path

import pytest

from bert_jax.data.instances import Instance, InstanceMaker, truncated_pair
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


DOCUMENTS, SENTENCES, TOKENS = 12, 30, 8  # every token of the text has an id of its own
FIRST_ID = 5


def numbered_corpus():
    ids = itertools.count(FIRST_ID)
    return [[[next(ids) for _ in range(TOKENS)] for _ in range(SENTENCES)] for _ in range(DOCUMENTS)]


def place(token):
    """The document and sentence of a token of the numbered corpus, and its place in the whole."""
    number = token - FIRST_ID
    return number // (SENTENCES * TOKENS), number // TOKENS, number


def is_run(places):
    return [number for *_, number in places] == list(range(places[0][2], places[0][2] + len(places)))


@pytest.fixture(scope="module")
def numbered_instances(tmp_path_factory):
    """Instances of the numbered corpus, with the masked tokens put back."""
    path = tmp_path_factory.mktemp("numbered") / "vocab.txt"
    words = [f"w{number}" for number in range(DOCUMENTS * SENTENCES * TOKENS)]
    path.write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]))
    options = RecordOptions(max_seq_length=64, max_predictions_per_seq=10, short_seq_prob=0.3)
    instances = make_all(numbered_corpus(), options, load_tokenizer(path))
    for instance in instances:
        for position, label in zip(instance.masked_lm_positions, instance.masked_lm_ids, strict=True):
            instance.tokens[position] = label
    return instances


def segments(instance):
    first_length = instance.segment_ids.count(0) - 2
    tokens = [place(token) for token in instance.tokens if token >= FIRST_ID]
    return tokens[:first_length], tokens[first_length:]


def test_layout(numbered_instances):
    for instance in numbered_instances:
        first, second = segments(instance)
        assert len(instance.tokens) == len(instance.segment_ids) <= 64
        assert instance.tokens[0] == 2
        assert instance.tokens[len(first) + 1] == instance.tokens[-1] == 3
        assert instance.segment_ids == [0] * (len(first) + 2) + [1] * (len(second) + 1)
        assert first
        assert second


def test_segments_are_runs_of_one_document(numbered_instances):
    for instance in numbered_instances:
        for segment in segments(instance):
            assert is_run(segment)
            assert len({document for document, *_ in segment}) == 1


def test_next_sentence_flag_tells_where_the_second_segment_is_from(numbered_instances):
    for instance in numbered_instances:
        first, second = segments(instance)
        if instance.is_random_next:
            assert first[0][0] != second[0][0]
        else:
            # what truncation dropped between the two is less than what a sequence holds
            assert first[0][0] == second[0][0]
            assert 0 < second[0][2] - first[-1][2] < 64 + TOKENS
    share = sum(instance.is_random_next for instance in numbered_instances) / len(numbered_instances)
    assert 0.45 < share < 0.65


def test_every_sentence_begins_a_pair_or_is_in_one(numbered_instances):
    """Sentences that a random next sentence displaces are put back, so no text is lost."""
    used = {sentence for instance in numbered_instances for segment in segments(instance) for _, sentence, _ in segment}
    assert used == set(range(DOCUMENTS * SENTENCES))


def test_every_pass_masks_anew(text, tokenizer):
    corpus = [[tokenizer.encode(line) for line in document] for document in documents([str(text)])][:4]
    rng = random.Random(1)
    passes = list(InstanceMaker(RecordOptions(dupe_factor=2), tokenizer).make(corpus, rng))
    assert len(passes) == 8
    assert passes[:4] != passes[4:]


def test_seed_decides(text, tokenizer):
    corpus = [[tokenizer.encode(line) for line in document] for document in documents([str(text)])][:4]
    one, same, other = (make_all(corpus, RecordOptions(random_seed=seed), tokenizer) for seed in (1, 1, 2))
    assert one == same
    assert one != other


def test_truncation_cuts_the_longer_segment_at_both_ends():
    rng = random.Random(4)
    first, second = truncated_pair(list(range(50)), list(range(100, 110)), 30, rng)
    assert len(first) == 20
    assert second == list(range(100, 110))
    assert first == list(range(first[0], first[0] + 20))
    assert 5 < first[0] < 25


def test_record_is_padded():
    instance = Instance([2, 9, 4, 3, 8, 3], [0, 0, 0, 0, 1, 1], [2], [7], True)
    assert instance.record(8, 3) == {
        "input_ids": [2, 9, 4, 3, 8, 3, 0, 0],
        "input_mask": [1, 1, 1, 1, 1, 1, 0, 0],
        "segment_ids": [0, 0, 0, 0, 1, 1, 0, 0],
        "masked_lm_positions": [2, 0, 0],
        "masked_lm_ids": [7, 0, 0],
        "masked_lm_weights": [1.0, 0, 0],
        "next_sentence_labels": [1],
    }
