import collections
import copy
import hashlib
import itertools
import json
import random
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from bert_jax.data.flat_corpus import flat_corpus, shuffled
from bert_jax.data.instances import B_END, B_START, IN_ORDER, append, lay_out, make_rules, no_instances, truncate
from bert_jax.data.mersenne_twister import generators_of, shuffle, state_of
from bert_jax.data.options import RecordOptions
from bert_jax.data.sentence_pairs import make_pairs
from bert_jax.text.corpus import documents
from bert_jax.text.load_tokenizer import load_tokenizer

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
        second_length = int(segments[B_END] - segments[B_START])
        second_length += second_length > 0
        segment_ids = [0] * (length - second_length) + [1] * second_length
        is_random_next = bool(instances.relations[number] != IN_ORDER)
        found.append(Plain(tokens[:length].tolist(), segment_ids, positions.tolist(), labels, is_random_next))
    return found


def make_all(documents, options, tokenizer):
    """All instances of nested lists of ids, shuffled."""
    generators, rules = generators_of(options.random_seed), make_rules(options, tokenizer)
    corpus, instances = shuffled(flat_corpus(documents), generators.main), no_instances()
    for _ in range(options.dupe_factor):
        append(instances, make_pairs(corpus, rules, generators))
    order = np.arange(len(instances.segments))
    shuffle(generators.main, order)
    found = unpacked(corpus, instances, rules)
    return [found[number] for number in order]


ALBERT = {"max_seq_length": 128, "max_predictions_per_seq": 20, "pairs": "sop", "whole_word_mask": True}


def with_unknown_spelt(corpus, tokenizer):
    """The corpus with ids of their own for the sample text's two unknown tokens, which the original keeps as spelt."""
    own = iter(range(tokenizer.vocab_size, tokenizer.vocab_size + 2))
    corpus = [
        [[next(own) if token == tokenizer.unk_id else token for token in sentence] for sentence in document]
        for document in corpus
    ]
    assert next(own, None) is None
    more = copy.copy(tokenizer)  # of the same vocab_size
    more.tokens = [*tokenizer.tokens, "力加勝北区", "ছজটডণত"]
    more.continues_ngram_word = [*tokenizer.continues_ngram_word, False, False]
    return corpus, more


@needs_shared
@pytest.mark.parametrize(
    ("vocabulary", "ngram", "count", "exchanged", "masked", "digest"),
    [
        ("bert-base-uncased-vocab.txt", 3, 44, 24, 669, "efebe346bcd8c1b7"),
        ("bert-base-uncased-vocab.txt", 1, 44, 24, None, "b3df0fc92f74861f"),
        ("albert/30k-clean.model", 3, 40, 22, 645, "834e488edd2a31b0"),
    ],
)
def test_instances_of_alberts_original(vocabulary, ngram, count, exchanged, masked, digest):
    """Digests of what ALBERT's own program makes of Google's sample text, its second generator seeded too."""
    tokenizer = load_tokenizer(SHARED / "golden" / vocabulary)
    options = RecordOptions(**ALBERT, dupe_factor=5, ngram=ngram)
    text = documents([str(SHARED / "golden" / "sample_text.txt")])
    corpus = [[tokenizer.encode(sentence) for sentence in document] for document in text]
    if tokenizer.kind == "sentencepiece":
        corpus, tokenizer = with_unknown_spelt(corpus, tokenizer)
    instances = make_all(corpus, options, tokenizer)
    assert len(instances) == count
    assert sum(instance.is_random_next for instance in instances) == exchanged
    if masked:
        assert sum(len(instance.masked_lm_ids) for instance in instances) == masked
    assert original_digest(instances, tokenizer) == digest


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
def numbered_vocabulary(tmp_path_factory):
    path = tmp_path_factory.mktemp("numbered") / "vocab.txt"
    words = [f"w{number}" for number in range(DOCUMENTS * SENTENCES * TOKENS)]
    path.write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]))
    return load_tokenizer(path)


def instances_of_numbers(tokenizer, **options):
    """Instances of the numbered corpus, with the masked tokens put back."""
    options = RecordOptions(max_seq_length=64, max_predictions_per_seq=10, short_seq_prob=0.3, **options)
    instances = make_all(numbered_corpus(), options, tokenizer)
    for instance in instances:
        for position, label in zip(instance.masked_lm_positions, instance.masked_lm_ids, strict=True):
            instance.tokens[position] = label
    return instances


@pytest.fixture(scope="module")
def numbered_instances(numbered_vocabulary):
    return instances_of_numbers(numbered_vocabulary)


def is_contiguous(first, second):
    """Whether B follows A: what truncation dropped between the two is less than what a sequence holds."""
    return first[0][0] == second[0][0] and 0 < second[0][2] - first[-1][2] < 64 + TOKENS


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
            assert is_contiguous(first, second)
    share = sum(instance.is_random_next for instance in numbered_instances) / len(numbered_instances)
    assert 0.45 < share < 0.65


def test_pairs_in_order_and_exchanged_are_text_of_one_document(numbered_vocabulary):
    """Half and half, but for chunks of one sentence, whose B is random and whose label is 1 as well."""
    counts = {"in order": 0, "exchanged": 0, "random": 0}
    for instance in instances_of_numbers(numbered_vocabulary, pairs="sop"):
        first, second = segments(instance)
        if not instance.is_random_next:
            assert is_contiguous(first, second)
            counts["in order"] += 1
        else:
            counts["exchanged" if is_contiguous(second, first) else "random"] += 1
    chunks = counts["in order"] + counts["exchanged"]
    assert chunks > 300
    assert abs(counts["exchanged"] - chunks / 2) < 3 * (chunks / 4) ** 0.5
    assert counts["random"] < 0.3 * chunks


def test_without_pairs_each_text_is_there_once_a_copy(numbered_vocabulary):
    tokens = collections.Counter()
    for instance in instances_of_numbers(numbered_vocabulary, pairs="none", dupe_factor=2):
        first, second = segments(instance)
        assert is_run(first)
        assert len({document for document, *_ in first}) == 1
        assert not second
        assert not instance.is_random_next
        assert instance.tokens.count(3) == 1
        tokens.update(place for *_, place in first)
    assert max(tokens.values()) == 2
    assert len(tokens) > 0.9 * DOCUMENTS * SENTENCES * TOKENS  # truncation cuts what is too long


def test_every_sentence_begins_a_pair_or_is_in_one(numbered_instances):
    """Sentences that a random next sentence displaces are put back, so no text is lost."""
    used = {sentence for instance in numbered_instances for segment in segments(instance) for _, sentence, _ in segment}
    assert used == set(range(DOCUMENTS * SENTENCES))


def test_every_copy_is_masked_anew(text, tokenizer):
    corpus = flat_corpus([[tokenizer.encode(line) for line in document] for document in documents([str(text)])][:4])
    rules, generators = make_rules(RecordOptions(), tokenizer), generators_of(1)
    one, other = (unpacked(corpus, make_pairs(corpus, rules, generators), rules) for _ in range(2))
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
    instances = make_pairs(corpus, make_rules(RecordOptions(), tokenizer), generators_of(1))
    assert sum(array.nbytes for array in instances) / len(instances.segments) < 210


SETTINGS = {
    "defaults": {},
    "long": {"max_seq_length": 512, "max_predictions_per_seq": 76, "short_seq_prob": 0.5},
    "short": {"max_seq_length": 5, "max_predictions_per_seq": 1, "short_seq_prob": 1.0},
    "all masked": {"max_seq_length": 33, "max_predictions_per_seq": 33, "masked_lm_prob": 1.0},
    "few masked": {"masked_lm_prob": 0.0, "short_seq_prob": 0.0},
    "whole words": {"whole_word_mask": True, "max_predictions_per_seq": 40, "masked_lm_prob": 0.3},
    "ALBERT": {**ALBERT, "ngram": 3},
    "long n-grams": {"pairs": "sop", "ngram": 7, "masked_lm_prob": 0.5, "max_predictions_per_seq": 64},
    "n-grams of nothing": {"ngram": 2, "masked_lm_prob": 0.0, "pairs": "none", "short_seq_prob": 0.5},
    "no pairs": {"pairs": "none", "max_seq_length": 64, "short_seq_prob": 0.3},
}


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("settings", SETTINGS)
def test_instances_are_those_of_plain_python(plain, tokenizer, settings, seed):
    options = RecordOptions(**SETTINGS[settings], random_seed=seed, dupe_factor=3)
    draw = random.Random(seed)
    num_sentences, num_tokens = (lambda: draw.choice([1, 2, 5, 60])), lambda: draw.choice([1, 3, 30, 300])
    num_documents = 2 + 10 * seed  # with two documents, a random one often is the same
    corpus = plain.random_documents(draw, num_documents, num_sentences, num_tokens, tokenizer.vocab_size)
    lengths_rng = np.random.RandomState(seed)
    expected = plain.make_instances(corpus, options, tokenizer, random.Random(seed), lengths_rng)
    assert make_all(corpus, options, tokenizer) == expected
