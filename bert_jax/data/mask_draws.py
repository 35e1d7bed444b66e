"""Which tokens of a batch's rows are masked and what becomes of them, by each rule of dynamic_masks.py."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bert_jax.data.compiled import compiled
from bert_jax.data.masking import MaskingRules, mask
from bert_jax.data.mersenne_twister import seeded
from bert_jax.data.split_mix import below, uniform

KEPT, RANDOM, MASKED = np.arange(3)  # what becomes of a chosen token


class Rule(NamedTuple):
    """RoBERTa's rule and DistilBERT's."""

    share: float
    random_share: float  # of the chosen tokens
    kept_share: float
    mask_id: int
    vocab_size: int
    never_random: NDArray[np.int64]  # ids, ascending


class MaskedRows(NamedTuple):
    """What rows' masks are written to, or, each array without its first axis, those of one row."""

    ids: NDArray[np.int32]  # [rows, tokens]
    positions: NDArray[np.int32]  # [rows, predictions]
    labels: NDArray[np.int32]
    weights: NDArray[np.float32]


@compiled
def undo(
    ids: NDArray[np.int32], positions: NDArray[np.int32], labels: NDArray[np.int32], weights: NDArray[np.float32]
) -> None:
    """Put back into each row what is masked in it."""
    for row in range(len(ids)):
        for number in range(len(positions[row])):
            if weights[row, number] > 0:
                ids[row, positions[row, number]] = labels[row, number]


@compiled
def number_of_masks(tokens: int, share: float, chance: float) -> int:
    """int(share * tokens + chance), which is share * tokens on average; `chance` is uniform in [0, 1)."""
    return min(int(share * tokens + chance), tokens)


@compiled
def draw_roberta(rows: MaskedRows, lengths: NDArray[np.int64], keys: NDArray[np.uint64], rule: Rule) -> None:
    """Of any tokens of a row, all as likely."""
    order = np.arange(rows.ids.shape[1])
    fates = np.empty(rows.ids.shape[1], np.int8)
    others = np.empty(rows.positions.shape[1], np.int32)
    state = np.empty(1, np.uint64)
    for number, length in enumerate(lengths):
        state[0] = keys[number]
        fates[:] = -1
        random = 0
        for chosen in range(number_of_masks(length, rule.share, uniform(state))):
            other = chosen + below(state, length - chosen)  # of any order of the row, its first places
            order[chosen], order[other] = order[other], order[chosen]
            random = _decide(state, order[chosen], fates, others, random, rule)
        for place in range(length):
            order[place] = place
        put_masks(_row(rows, number), fates[:length], others, rule.mask_id)


@compiled
def draw_distilbert(
    rows: MaskedRows, lengths: NDArray[np.int64], keys: NDArray[np.uint64], chances: NDArray[np.float64], rule: Rule
) -> None:
    """One token of a row after the other, of those that are left each in proportion to its id's `chances` [vocab].

    So are the first of exponential waiting times with these rates (Efraimidis and Spirakis, 2006).
    """
    fates = np.empty(rows.ids.shape[1], np.int8)
    times = np.empty(rows.ids.shape[1], np.float64)
    others = np.empty(rows.positions.shape[1], np.int32)
    state = np.empty(1, np.uint64)
    for number, length in enumerate(lengths):
        state[0] = keys[number]
        fates[:] = -1
        random = candidates = 0
        for place in range(length):
            chance = chances[rows.ids[number, place]]
            times[place] = -np.log(1.0 - uniform(state)) / chance if chance > 0 else np.inf
            candidates += chance > 0
        most = min(int(np.ceil(rule.share * length)), candidates)
        for place in np.argsort(times[:length])[:most]:
            random = _decide(state, place, fates, others, random, rule)
        put_masks(_row(rows, number), fates[:length], others, rule.mask_id)


@compiled
def draw_bert(rows: MaskedRows, lengths: NDArray[np.int64], keys: NDArray[np.uint64], rules: MaskingRules) -> None:
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
def _row(rows: MaskedRows, number: int) -> MaskedRows:
    return MaskedRows(rows.ids[number], rows.positions[number], rows.labels[number], rows.weights[number])


@compiled
def _decide(
    state: NDArray[np.uint64],
    place: int,
    fates: NDArray[np.int8],
    others: NDArray[np.int32],
    random: int,
    rule: Rule,
) -> int:
    """Draw what becomes of the token at `place`; of `others`, `random` are filled, and so many afterwards."""
    become = fate(uniform(state), uniform(state), rule.random_share, rule.kept_share)
    fates[place] = become
    if become == RANDOM:
        others[random] = _random_id(state, rule)
        random += 1
    return random


@compiled
def fate(first: float, second: float, random_share: float, kept_share: float) -> int:
    """What becomes of a chosen token: MASKED, KEPT or RANDOM, by two numbers uniform in [0, 1)."""
    if first >= random_share + kept_share:
        return int(MASKED)
    return int(KEPT if second < kept_share / (random_share + kept_share) else RANDOM)


@compiled
def _random_id(state: NDArray[np.uint64], rule: Rule) -> int:
    """Any id but the few that are never drawn."""
    found = below(state, rule.vocab_size - len(rule.never_random))
    for one in rule.never_random:
        if found >= one:
            found += 1
    return found


@compiled
def put_masks(row: MaskedRows, fates: NDArray[np.int8], others: NDArray[np.int32], mask_id: int) -> None:
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
