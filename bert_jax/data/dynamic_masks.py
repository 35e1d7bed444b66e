"""Masks that are drawn when a record is read, anew in each epoch, and not when it is written.

The draws are a pure function of (seed, epoch, record): the same on any number of hosts, for any batch, packed or not,
after any restart. What a record itself has for masks is undone first. There are two rules:

  roberta   int(share * n + u) of the n tokens of a row, u uniform in [0, 1), drawn without replacement, [CLS] and [SEP]
            among them; random ids are any but padding's, [UNK]'s, [CLS]' and [SEP]'s (facebookresearch/fairseq
            fairseq/data/mask_tokens_dataset.py)
  bert      max(1, round(share * n)) of a row's tokens, never [CLS] or [SEP]; random ids are any (masking.py)
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bert_jax.config import DataConfig
from bert_jax.data.compiled import compiled
from bert_jax.data.masking import MaskingRules, mask, masking_rules
from bert_jax.data.mersenne_twister import seeded
from bert_jax.text.tokenizer import Tokenizer

KEPT, RANDOM, MASKED = np.arange(3)  # what becomes of a chosen token

HELD_OUT_SEED = 0  # the same masks in all runs, so that their losses can be compared
# SplitMix64 (Steele, Lea and Flood, 2014): a 64-bit counter, of which each value is mixed well.
_STEP, _FIRST, _SECOND = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_30, _27, _31, _11 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(11)
_FLOATS = 2.0**-53
_LARGEST = 1.0 - _FLOATS  # of numbers in [0, 1)


class _Rule(NamedTuple):
    """RoBERTa's rule."""

    share: float
    random_share: float  # of the chosen tokens
    kept_share: float
    mask_id: int
    vocab_size: int
    never_random: NDArray[np.int64]  # ids, ascending


class _Row(NamedTuple):
    """What a row's masks are written to."""

    ids: NDArray[np.int32]  # [tokens]
    positions: NDArray[np.int32]  # [predictions]
    labels: NDArray[np.int32]
    weights: NDArray[np.float32]


class DynamicMasks:
    """Draws the masks of batches of records. Safe to use from several threads.

    Attributes:
        max_predictions: of a row, at most.
    """

    def __init__(self, data: DataConfig, tokenizer: Tokenizer, max_seq_length: int, seed: int = HELD_OUT_SEED) -> None:
        """Masks by the rule of `data` for records of `max_seq_length` tokens; without `seed`, those of evaluations."""
        self._is_roberta, self._seed = data.masking == "roberta", np.uint64(seed)
        special = sorted((tokenizer.pad_id, tokenizer.unk_id, tokenizer.cls_id, tokenizer.sep_id))
        shares = data.masked_lm_prob, data.random_share, data.kept_share
        self._rule = _Rule(*shares, tokenizer.mask_id, tokenizer.vocab_size, np.array(special))
        self._of_bert = masking_rules(
            max_seq_length=max_seq_length,
            vocab_size=tokenizer.vocab_size,
            special_ids=(tokenizer.cls_id, tokenizer.sep_id, tokenizer.mask_id),
            masked_lm_prob=data.masked_lm_prob,
            max_predictions_per_seq=max_seq_length,
            continues_word=tokenizer.continues_word if data.whole_word_mask else None,
            random_share=data.random_share,
            kept_share=data.kept_share,
        )
        self._predictions = np.array([most_predictions(data, tokens) for tokens in range(max_seq_length + 1)], np.int32)
        self.max_predictions = int(self._predictions[-1])

    def sizes(self, sizes: NDArray[np.int32]) -> NDArray[np.int32]:
        """Tokens and most predictions of records, [records, 2], of which `sizes` are those with their own masks."""
        return np.stack([sizes[:, 0], self._predictions[sizes[:, 0]]], axis=1)

    def __call__(
        self, batch: Mapping[str, np.ndarray], records: NDArray[np.integer], epochs: NDArray[np.integer]
    ) -> dict[str, np.ndarray]:
        """The batch, whose rows are `records` in these `epochs`, with masks drawn for it."""
        rows = len(batch["input_ids"])
        ids = batch["input_ids"].copy()
        _undo(ids, batch["masked_lm_positions"], batch["masked_lm_ids"], batch["masked_lm_weights"])
        positions = np.zeros((rows, self.max_predictions), np.int32)
        drawn = _Row(ids, positions, np.zeros_like(positions), np.zeros(positions.shape, np.float32))
        lengths = batch["input_mask"].sum(1)
        keys = _keys(self._seed, np.asarray(epochs, np.uint64), np.asarray(records, np.uint64))
        if self._is_roberta:
            _draw_roberta(drawn, lengths, keys, self._rule)
        else:
            _draw_bert(drawn, lengths, keys, self._of_bert)
        return dict(batch) | {
            "input_ids": drawn.ids,
            "masked_lm_positions": drawn.positions,
            "masked_lm_ids": drawn.labels,
            "masked_lm_weights": drawn.weights,
        }


def most_predictions(data: DataConfig, tokens: int) -> int:
    """The most predictions of a record of so many tokens, by the rule of `data`."""
    if data.masking == "roberta":
        return number_of_masks(tokens, data.masked_lm_prob, _LARGEST)
    return max(1, round(tokens * data.masked_lm_prob))


def _keys(seed: np.uint64, epochs: NDArray[np.uint64], records: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """A hash of each (seed, epoch, record): of one seed and epoch, no two are equal."""
    return _mixed_all(_mixed_all(_mixed_all(np.array([seed])) + epochs) + records)


def _mixed_all(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    return _mixed(values + _STEP)  # arrays of uint64 wrap around without a warning


@compiled
def number_of_masks(tokens: int, share: float, chance: float) -> int:
    """int(share * tokens + chance), which is share * tokens on average; `chance` is uniform in [0, 1)."""
    return min(int(share * tokens + chance), tokens)


@compiled
def fate(first: float, second: float, random_share: float, kept_share: float) -> int:
    """What becomes of a chosen token: MASKED, KEPT or RANDOM, by two numbers uniform in [0, 1)."""
    if first >= random_share + kept_share:
        return int(MASKED)
    return int(KEPT if second < kept_share / (random_share + kept_share) else RANDOM)


@compiled
def put_masks(row: _Row, fates: NDArray[np.int8], others: NDArray[np.int32], mask_id: int) -> None:
    """Write a row's masks: `fates` [tokens] are -1 where none is, and `others` the ids of those that are RANDOM."""
    found = random = 0
    for position, become in enumerate(fates):
        if become < 0:
            continue
        row.positions[found], row.labels[found], row.weights[found] = position, row.ids[position], 1.0
        found += 1
        if become == MASKED:
            row.ids[position] = mask_id
        elif become == RANDOM:
            row.ids[position] = others[random]
            random += 1


@compiled
def _undo(
    ids: NDArray[np.int32], positions: NDArray[np.int32], labels: NDArray[np.int32], weights: NDArray[np.float32]
) -> None:
    """Put back into each row what is masked in it."""
    for row in range(len(ids)):
        for number in range(len(positions[row])):
            if weights[row, number] > 0:
                ids[row, positions[row, number]] = labels[row, number]


@compiled
def _draw_roberta(rows: _Row, lengths: NDArray[np.int64], keys: NDArray[np.uint64], rule: _Rule) -> None:
    order = np.arange(rows.ids.shape[1])
    fates = np.empty(rows.ids.shape[1], np.int8)
    others = np.empty(rows.positions.shape[1], np.int32)
    state = np.empty(1, np.uint64)
    for number, length in enumerate(lengths):
        state[0] = keys[number]
        fates[:] = -1
        random = 0
        for chosen in range(number_of_masks(length, rule.share, _uniform(state))):
            other = chosen + _below(state, length - chosen)  # of any order of the row, its first places
            order[chosen], order[other] = order[other], order[chosen]
            become = fate(_uniform(state), _uniform(state), rule.random_share, rule.kept_share)
            fates[order[chosen]] = become
            if become == RANDOM:
                others[random] = _random_id(state, rule)
                random += 1
        for place in range(length):
            order[place] = place
        put_masks(_row(rows, number), fates[:length], others, rule.mask_id)


@compiled
def _random_id(state: NDArray[np.uint64], rule: _Rule) -> int:
    """Any id but the few that are never drawn."""
    found = _below(state, rule.vocab_size - len(rule.never_random))
    for one in rule.never_random:
        if found >= one:
            found += 1
    return found


@compiled
def _draw_bert(rows: _Row, lengths: NDArray[np.int64], keys: NDArray[np.uint64], rules: MaskingRules) -> None:
    """The draws of masking.py from random.Random(key), a generator for each row."""
    positions = np.empty(rows.positions.shape[1], np.int32)
    replacements = np.empty(rows.positions.shape[1], np.int32)
    for number, length in enumerate(lengths):
        row = _row(rows, number)
        for at in range(mask(row.ids[:length], rules, seeded(keys[number]), positions, replacements)):
            position = positions[at]
            row.positions[at], row.labels[at], row.weights[at] = position, row.ids[position], 1.0
            row.ids[position] = replacements[at]


@compiled
def _row(rows: _Row, number: int) -> _Row:
    return _Row(rows.ids[number], rows.positions[number], rows.labels[number], rows.weights[number])


@compiled
def _uniform(state: NDArray[np.uint64]) -> float:
    """The next number, uniform in [0, 1): 53 random bits."""
    return (_next(state) >> _11) * _FLOATS


@compiled
def _below(state: NDArray[np.uint64], limit: int) -> int:
    """The next number from 0 to limit - 1; the larger ones are rarer by limit / 2^53."""
    return int(_uniform(state) * limit)


@compiled
def _next(state: NDArray[np.uint64]) -> np.uint64:
    state[0] += _STEP
    return _mixed(state[0])


@compiled
def _mixed(value: np.uint64) -> np.uint64:
    value = (value ^ (value >> _30)) * _FIRST
    value = (value ^ (value >> _27)) * _SECOND
    return value ^ (value >> _31)
