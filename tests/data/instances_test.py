import hashlib
import itertools
import json
import random
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from bert_jax.data.flat_corpus import flat_corpus, shuffled
from bert_jax.data.instances import B_END, B_START, append, lay_out, make_instances, make_rules, no_instances, truncate
from bert_jax.data.mersenne_twister import shuffle, state_of
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


class Plain(NamedTuple):
    """An instance as lists."""

    tokens: list
    segment_ids: list
    masked_lm_positions: list
    masked_lm_ids: list
    is_random_next: bool


def unpacked(corpus, instances, rules):
    """Instances as lists, in their order."""
    found = []
    for number, segments in enumerate(instances.segments):
        tokens = np.zeros(rules.max_seq_length, np.int32)
        length = lay_out(corpus.tokens, segments, rules.masking, tokens)
        start, end = instances.predictions_start[number : number + 2]
        positions = instances.positions[start:end]
        labels = tokens[positions].tolist()
        tokens[positions] = instances.replacements[start:end]
        second_length = int(segments[B_END] - segments[B_START]) + 1
        segment_ids = [0] * (length - second_length) + [1] * second_length
        is_random_next = bool(instances.is_random_next[number])
        found.append(Plain(tokens[:length].tolist(), segment_ids, positions.tolist(), labels, is_random_next))
    return found


def make_all(documents, options, tokenizer):
    """All instances of nested lists of ids, shuffled."""
    state, rules = state_of(random.Random(options.random_seed)), make_rules(options, tokenizer)
    corpus, instances = shuffled(flat_corpus(documents), state), no_instances()
    for _ in range(options.dupe_factor):
        append(instances, make_instances(corpus, rules, state))
    order = np.arange(len(instances.segments))
    shuffle(state, order)
    found = unpacked(corpus, instances, rules)
    return [found[number] for number in order]


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


def test_every_copy_is_masked_anew(text, tokenizer):
    corpus = flat_corpus([[tokenizer.encode(line) for line in document] for document in documents([str(text)])][:4])
    rules, state = make_rules(RecordOptions(), tokenizer), state_of(random.Random(1))
    one, other = (unpacked(corpus, make_instances(corpus, rules, state), rules) for _ in range(2))
    assert len(one) > 4
    assert one != other


def test_seed_decides(text, tokenizer):
    corpus = [[tokenizer.encode(line) for line in document] for document in documents([str(text)])][:4]
    one, same, other = (make_all(corpus, RecordOptions(random_seed=seed), tokenizer) for seed in (1, 1, 2))
    assert one == same
    assert one != other


def test_truncation_cuts_the_longer_segment_at_both_ends():
    segments = np.array([1000, 1050, 2000, 2010])
    truncate(segments, 30, state_of(random.Random(4)))
    assert segments[2:].tolist() == [2000, 2010]
    assert segments[1] - segments[0] == 20
    assert 1005 < segments[0] < 1025


def test_memory_is_a_small_part_of_the_records(text, tokenizer):
    corpus = flat_corpus([[tokenizer.encode(line) for line in document] for document in documents([str(text)])])
    instances = make_instances(corpus, make_rules(RecordOptions(), tokenizer), state_of(random.Random(1)))
    assert sum(array.nbytes for array in instances) / len(instances.segments) < 210


SETTINGS = {
    "defaults": {},
    "long": {"max_seq_length": 512, "max_predictions_per_seq": 76, "short_seq_prob": 0.5},
    "short": {"max_seq_length": 5, "max_predictions_per_seq": 1, "short_seq_prob": 1.0},
    "all masked": {"max_seq_length": 33, "max_predictions_per_seq": 33, "masked_lm_prob": 1.0},
    "few masked": {"masked_lm_prob": 0.0, "short_seq_prob": 0.0},
    "whole words": {"whole_word_mask": True, "max_predictions_per_seq": 40, "masked_lm_prob": 0.3},
}


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("settings", SETTINGS)
def test_instances_are_those_of_plain_python(plain, tokenizer, settings, seed):
    options = RecordOptions(**SETTINGS[settings], random_seed=seed, dupe_factor=3)
    draw = random.Random(seed)
    num_sentences, num_tokens = (lambda: draw.choice([1, 2, 5, 60])), lambda: draw.choice([1, 3, 30, 300])
    num_documents = 2 + 10 * seed  # with two documents, a random one often is the same
    corpus = plain.random_documents(draw, num_documents, num_sentences, num_tokens, tokenizer.vocab_size)
    expected = plain.make_instances(corpus, options, tokenizer, random.Random(seed))
    assert make_all(corpus, options, tokenizer) == expected
