import random
from typing import NamedTuple

import numpy as np
import pytest

from bert_jax.data.masking import mask, masking_rules
from bert_jax.data.mersenne_twister import state_of

CLS, SEP, MASK = 2, 3, 4
SPECIAL = (CLS, SEP, MASK)
VOCAB = 1000


class Masked(NamedTuple):
    tokens: list
    positions: list
    labels: list


def masker(**options):
    """A function that masks some of a list of tokens."""
    settings = {"masked_lm_prob": 0.15, "max_predictions_per_seq": 20, **options}
    rules = masking_rules(max_seq_length=128, vocab_size=VOCAB, special_ids=SPECIAL, **settings)
    positions, replacements = np.zeros(128, np.int32), np.zeros(128, np.int32)

    def masked(tokens, state):
        num_masked = mask(np.array(tokens, np.int32), rules, state, positions, replacements)
        seen = list(tokens)
        for position, token in zip(positions[:num_masked], replacements[:num_masked], strict=True):
            seen[position] = int(token)
        return Masked(seen, positions[:num_masked].tolist(), [tokens[position] for position in positions[:num_masked]])

    return masked


def pair(first, second):
    """[CLS] A [SEP] B [SEP] of so many ordinary tokens."""
    return [CLS, *range(10, 10 + first), SEP, *range(500, 500 + second), SEP]


@pytest.mark.parametrize(
    ("tokens", "probability", "most", "expected"),
    [
        (125, 0.15, 20, 19),
        (128, 0.15, 20, 19),
        (128, 0.5, 20, 20),
        (5, 0.01, 20, 1),
        (10, 0.25, 20, 2),
        (30, 0.15, 20, 4),
    ],
)
def test_number_of_predictions(tokens, probability, most, expected):
    """The share counts [CLS] and [SEP], is at least one, and .5 rounds to the even number (2.5: 2, 4.5: 4)."""
    sequence = pair(tokens // 2, tokens - tokens // 2 - 3)
    masked = masker(masked_lm_prob=probability, max_predictions_per_seq=most)(sequence, state_of(random.Random(0)))
    assert len(masked.positions) == len(masked.labels) == expected


def test_positions_labels_and_tokens_fit():
    rng = state_of(random.Random(1))
    for length in range(1, 60):
        tokens = pair(length, 60 - length)
        masked = masker()(list(tokens), rng)
        assert masked.positions == sorted(set(masked.positions))
        assert masked.labels == [tokens[position] for position in masked.positions]
        assert not {CLS, SEP} & set(masked.labels)
        for position, token in enumerate(tokens):
            assert position in masked.positions or masked.tokens[position] == token


def test_eighty_ten_ten_and_every_position_alike():
    rng, tokens = state_of(random.Random(2)), pair(50, 47)
    counts, seen, replacements = {"mask": 0, "kept": 0, "other": 0}, [0] * 100, []
    for _ in range(4000):
        masked = masker()(tokens, rng)
        for position, label in zip(masked.positions, masked.labels, strict=True):
            token = masked.tokens[position]
            counts["mask" if token == MASK else "kept" if token == label else "other"] += 1
            seen[position] += 1
            if token not in (MASK, label):
                replacements.append(token)
    total = sum(counts.values())
    assert total == 4000 * 15
    # five standard deviations
    assert abs(counts["mask"] / total - 0.8) < 0.0085
    assert abs(counts["kept"] / total - 0.1) < 0.0065
    assert seen[0] == seen[51] == seen[99] == 0
    assert all(abs(count - 4000 * 15 / 97) < 5 * 25 for count in seen if count)
    assert min(replacements) < 10  # special tokens too
    assert max(replacements) > VOCAB - 10


def test_whole_words_are_masked_whole():
    continues = [False] * VOCAB
    for token in (11, 12, 15, 501, 502, 503):
        continues[token] = True
    words = [{1, 2, 3}, {4}, {5, 6}, {8, 9, 10, 11}, {12}]
    rng = state_of(random.Random(3))
    for _ in range(300):
        masked = masker(masked_lm_prob=0.3, continues_word=continues)(pair(6, 5), rng)
        masked_positions = set(masked.positions)
        assert all(word <= masked_positions or not word & masked_positions for word in words)
        assert 1 <= len(masked_positions) <= 4


def test_piece_cut_from_its_word_belongs_to_the_word_before():
    """Truncation may leave B beginning with a continuation; the original glues that to A's last word."""
    continues = [token == 500 for token in range(VOCAB)]
    rng = state_of(random.Random(3))
    for _ in range(100):
        masked_positions = set(masker(masked_lm_prob=0.3, continues_word=continues)(pair(4, 4), rng).positions)
        assert ({4, 6} <= masked_positions) or not ({4, 6} & masked_positions)
