"""Pairs of a text and ids: what is paired, what the label says of it, and how often."""

import numpy as np
import pytest

from bert_jax.data.flat_corpus import flat_corpus, shuffled
from bert_jax.data.instances import A_END, A_START, B_END, B_START, IN_ORDER, RANDOM, make_rules
from bert_jax.data.mersenne_twister import generators_of
from bert_jax.data.options import RecordOptions
from bert_jax.data.sentence_pairs import make_pairs
from bert_jax.text.id_sequences import PairLines, load_joint_tokenizer

LENGTH, TEXTS = 24, 600  # ids below TEXTS are those of texts


@pytest.fixture(scope="module")
def rules():
    options = RecordOptions(max_seq_length=LENGTH, max_predictions_per_seq=6, masked_lm_prob=0.25, pairs="aligned")
    return make_rules(options, load_joint_tokenizer("ids:1200"))


@pytest.fixture(scope="module")
def corpus():
    """Documents of one to six lines; a text has one to nine tokens, its ids one to three, all of its own number."""
    random = np.random.default_rng(0)
    documents, line = [], 5
    for _ in range(150):
        numbers = range(line, line + random.integers(1, 7))
        texts = [[number] * random.integers(1, 10) for number in numbers]
        documents.append([*texts, *([number + TEXTS] * random.integers(1, 4) for number in numbers)])
        line = numbers.stop
    assert line < TEXTS
    return flat_corpus(documents)


def made(corpus, rules, seed):
    """The pairs of one copy, in numbers of lines, and the instances."""
    generators = generators_of(seed)
    corpus = shuffled(corpus, generators.main)
    instances = make_pairs(corpus, rules, generators)
    pairs = [
        (corpus.tokens[segments[A_START] : segments[A_END]], corpus.tokens[segments[B_START] : segments[B_END]] - TEXTS)
        for segments in instances.segments
    ]
    return pairs, instances


def test_a_label_says_whether_the_ids_are_of_the_text(corpus, rules):
    labels = []
    for seed in range(10):
        pairs, instances = made(corpus, rules, seed)
        for (text, ids), relation in zip(pairs, instances.relations, strict=True):
            shared = set(text) & set(ids)
            assert (relation == IN_ORDER) == bool(shared), relation
            assert relation in (IN_ORDER, RANDOM)
            for part in (text, ids):  # lines in a row, no other modality in it
                assert set(np.diff(part)) <= {0, 1}
                assert 5 <= part.min() <= part.max() < TEXTS
            assert len(text) + len(ids) <= LENGTH - 3
        texts = np.concatenate([np.unique(text) for text, _ in pairs])
        assert len(set(texts)) == len(texts) >= 0.95 * len(corpus.sentence_starts) / 2  # some are truncated away
        labels += list(instances.relations)
    assert abs(np.mean(np.array(labels) == RANDOM) - 0.5) < 5 * 0.5 / np.sqrt(len(labels))


def test_masks_are_over_both(corpus, rules):
    pairs, instances = made(corpus, rules, 1)
    starts = instances.predictions_start
    of_ids = [
        position > len(text) + 1
        for (text, _), start, end in zip(pairs, starts[:-1], starts[1:], strict=True)
        for position in instances.positions[start:end]
    ]
    expected = sum(len(ids) for _, ids in pairs) / sum(len(text) + len(ids) for text, ids in pairs)
    assert abs(np.mean(of_ids) - expected) < 0.05


def test_the_same_seed_gives_the_same_and_another_others(corpus, rules):
    _, first = made(corpus, rules, 3)
    for ours, theirs in zip(first, made(corpus, rules, 3)[1], strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert not np.array_equal(first.segments, made(corpus, rules, 4)[1].segments)


def test_the_same_ids_of_another_document_are_aligned(rules):
    corpus = flat_corpus([[[5], [700, 701]], [[6], [700, 701]]])
    for seed in range(20):
        assert (made(corpus, rules, seed)[1].relations == IN_ORDER).all()


def test_lines_without_a_token_of_text_are_left_out(tmp_path):
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nword\nother\n")
    lines = PairLines(load_joint_tokenizer(f"{tmp_path}/vocab.txt+ids:10"))
    assert lines.encode_document(["word\t0 9", "\u200d\t3", "other word\t4"]) == [[5], [6, 5], [7, 16], [11]]
