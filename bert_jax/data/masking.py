"""Which tokens are masked, and the input ids that replace them.

The same draws from the same generator as create_masked_lm_predictions of the original create_pretraining_data.py,
on ids instead of strings: equal seeds give equal masks. Nearly all draws of a build are made here.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bert_jax.data.compiled import compiled
from bert_jax.data.mersenne_twister import State, random_below, random_float, shuffle


class MaskingRules(NamedTuple):
    """What decides the masks of a sequence."""

    num_predictions: NDArray[np.int32]  # most masked tokens, by the length of a sequence with [CLS] and [SEP]
    continues_word: NDArray[np.bool_]  # by id: whether the token is masked only together with the one before it
    cls_id: int
    sep_id: int  # neither of the two is ever masked
    mask_id: int
    vocab_size: int  # replacements are drawn from all ids, special tokens included, as in the original
    mask_share: float = 0.8  # of the chosen tokens
    kept_share: float = 0.5  # of the others


def masking_rules(
    *,
    max_seq_length: int,
    vocab_size: int,
    special_ids: tuple[int, int, int],
    masked_lm_prob: float,
    max_predictions_per_seq: int,
    continues_word: Sequence[bool] | None = None,
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
        random_share: the fraction of the chosen tokens that any token replaces.
        kept_share: the fraction of them that stay.
    """
    # round() to the even neighbour at .5, as the original does under Python 3
    lengths = range(max_seq_length + 1)
    num_predictions = [min(max_predictions_per_seq, max(1, round(length * masked_lm_prob))) for length in lengths]
    continues = np.zeros(vocab_size, np.bool_) if continues_word is None else np.array(continues_word, np.bool_)
    mask_share, of_others = 1.0 - random_share - kept_share, kept_share / max(random_share + kept_share, 1e-30)
    counts = np.array(num_predictions, np.int32)
    return MaskingRules(counts, continues, *special_ids, vocab_size, mask_share, of_others)


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
    """The input id in place of `token`: [MASK] (80 %), itself (10 %) or any token (10 %), if not told otherwise."""
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
