"""Which tokens are masked, and the input ids that replace them.

The same draws from the same generators as create_masked_lm_predictions of the original create_pretraining_data.py,
BERT's (`mask`) and ALBERT's (`mask_ngrams`), on ids instead of strings: equal seeds give equal masks. Nearly all draws
of a build are made here.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bert_jax.data.compiled import compiled
from bert_jax.data.mersenne_twister import Generators, State, random_below, random_float, shuffle


class MaskingRules(NamedTuple):
    """What decides the masks of a sequence."""

    num_predictions: NDArray[np.int32]  # most masked tokens, by the length of a sequence with [CLS] and [SEP]
    continues_word: NDArray[np.bool_]  # by id: whether the token is masked only together with the one before it
    cls_id: int
    sep_id: int  # neither of the two is ever masked
    mask_id: int
    vocab_size: int  # replacements are drawn from all ids, special tokens included, as in the original
    ngram_shares: NDArray[np.float64]  # of n-grams of up to n + 1 words; empty: words are masked one by one
    mask_share: float = 0.8  # of the chosen tokens, those that become [MASK]
    kept_share: float = 0.5  # of the others, those that stay


def masking_rules(
    *,
    max_seq_length: int,
    vocab_size: int,
    special_ids: tuple[int, int, int],
    masked_lm_prob: float,
    max_predictions_per_seq: int,
    continues_word: Sequence[bool] | None = None,
    ngram: int = 0,
    random_share: float = 0.1,
    kept_share: float = 0.1,
) -> MaskingRules:
    """Rules for sequences of up to `max_seq_length` tokens.

    Args:
        max_seq_length: tokens.
        vocab_size: how many ids there are.
        special_ids: [CLS], [SEP] and [MASK].
        masked_lm_prob: the fraction of a sequence's tokens, [CLS] and [SEP] counted, that are masked.
        max_predictions_per_seq: never more than this.
        continues_word: per id, whether it continues the word before it; given for whole-word masking.
        ngram: the most words of an n-gram; 0: no n-grams.
        random_share: the fraction of the chosen tokens that any token replaces.
        kept_share: the fraction of them that stay.
    """
    # round() to the even neighbour at .5, as the original does under Python 3
    lengths = range(max_seq_length + 1)
    least = 0 if ngram and masked_lm_prob == 0 else 1  # ALBERT's masks nothing then, BERT's one token
    num_predictions = [min(max_predictions_per_seq, max(least, round(length * masked_lm_prob))) for length in lengths]
    continues = np.zeros(vocab_size, np.bool_) if continues_word is None else np.array(continues_word, np.bool_)
    counts, ngrams = np.array(num_predictions, np.int32), _ngram_shares(ngram)
    shares = 1.0 - random_share - kept_share, kept_share / max(random_share + kept_share, 1e-30)
    return MaskingRules(counts, continues, *special_ids, vocab_size, ngrams, *shares)


def _ngram_shares(most: int) -> NDArray[np.float64]:
    """Cumulative shares of n-grams of 1 to `most` words, in proportion to 1 / n: as the original and NumPy's choice()
    compute them, so that a draw at a border falls on the same side.
    """
    if not most:
        return np.empty(0)
    shares = 1.0 / np.arange(1, most + 1)
    shares /= shares.sum()
    shares = (shares / shares.sum()).cumsum()
    return shares / shares[-1]


@compiled
def mask(
    tokens: NDArray[np.int32],
    rules: MaskingRules,
    state: State,
    positions: NDArray[np.int32],
    replacements: NDArray[np.int32],
) -> int:
    """Choose tokens to mask of `tokens`, a whole [CLS] A [SEP] B [SEP]; return their number.

    Their `positions`, ascending, and their `replacements` are written to the front of these two arrays. One shuffle of
    the words is drawn, and then each masked token's replacement in turn.
    """
    candidates, word_starts = _words(tokens, rules)
    order = np.arange(len(word_starts) - 1)
    shuffle(state, order)
    limit = rules.num_predictions[len(tokens)]
    by_position = np.full(len(tokens), -1, np.int32)  # replacements; -1: not masked
    num_masked = 0
    for word in order:
        if num_masked >= limit:
            break
        start, end = word_starts[word], word_starts[word + 1]
        if num_masked + end - start > limit:
            continue  # a shorter word may still fit
        for position in candidates[start:end]:
            by_position[position] = _replacement(tokens[position], rules, state)
        num_masked += end - start
    _gather(by_position, positions, replacements)
    return num_masked


@compiled
def mask_ngrams(
    tokens: NDArray[np.int32],
    rules: MaskingRules,
    generators: Generators,
    positions: NDArray[np.int32],
    replacements: NDArray[np.int32],
) -> int:
    """`mask` with runs of words, each of up to so many as `rules` has shares of lengths for.

    The order of the runs' first words is drawn, for each run that is looked at its length (before anything is checked),
    the replacements, and at the end another order, which is not used: so the original.
    """
    limit = rules.num_predictions[len(tokens)]
    if limit == 0:
        return 0
    candidates, word_starts = _words(tokens, rules)
    num_words = len(word_starts) - 1
    order = np.arange(num_words)
    shuffle(generators.main, order)
    by_position = np.full(len(tokens), -1, np.int32)  # replacements; -1: not masked
    num_masked = 0
    for first in order:
        if num_masked >= limit:
            break
        length = _ngram_length(rules, generators.ngrams)
        start = word_starts[first]
        end = word_starts[min(first + length, num_words)]
        while length > 1 and num_masked + end - start > limit:
            length -= 1
            end = word_starts[min(first + length, num_words)]
        if num_masked + end - start > limit or _num_masked(by_position, candidates[start:end]):
            continue
        for position in candidates[start:end]:
            by_position[position] = _replacement(tokens[position], rules, generators.main)
        num_masked += end - start
    shuffle(generators.main, order)
    _gather(by_position, positions, replacements)
    return num_masked


@compiled
def _ngram_length(rules: MaskingRules, state: State) -> int:
    """numpy.random.choice(): 1 and up, by their shares."""
    drawn, length = random_float(state), 1
    while drawn >= rules.ngram_shares[length - 1]:
        length += 1
    return length


@compiled
def _num_masked(by_position: NDArray[np.int32], positions: NDArray[np.int32]) -> int:
    masked = 0
    for position in positions:
        masked += by_position[position] >= 0
    return masked


@compiled
def _words(tokens: NDArray[np.int32], rules: MaskingRules) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Positions that may be masked, and where in them each word starts and the last one ends."""
    candidates = np.empty(len(tokens), np.int32)
    word_starts = np.empty(len(tokens) + 1, np.int32)
    num_candidates = num_words = 0
    for position, token in enumerate(tokens):
        if token in (rules.cls_id, rules.sep_id):
            continue
        # A word that truncation cut at its front continues the last one of the other segment: so the original.
        if num_words == 0 or not rules.continues_word[token]:
            word_starts[num_words] = num_candidates
            num_words += 1
        candidates[num_candidates] = position
        num_candidates += 1
    word_starts[num_words] = num_candidates
    return candidates[:num_candidates], word_starts[: num_words + 1]


@compiled
def _replacement(token: int, rules: MaskingRules, state: State) -> int:
    """The input id in place of `token`: [MASK] (80 %), itself (10 %) or any token (10 %), unless given."""
    if random_float(state) < rules.mask_share:
        return rules.mask_id
    if random_float(state) < rules.kept_share:
        return token
    return random_below(state, rules.vocab_size)


@compiled
def _gather(by_position: NDArray[np.int32], positions: NDArray[np.int32], replacements: NDArray[np.int32]) -> None:
    """Write the positions that have a replacement, and the replacements, to the front of the two arrays."""
    found = 0
    for position, replacement in enumerate(by_position):
        if replacement >= 0:
            positions[found], replacements[found] = position, replacement
            found += 1
