"""Which rows are in a batch, and its length: rows of similar length together, in a few shapes, each compiled once."""

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np

from bert_jax.data.batches import epochs_of, record_ids

_MULTIPLE = 8  # lengths are multiples of it
_WINDOW = 64  # batches, at most, of the random order that are sorted by length together


def choose_lengths(
    lengths: np.ndarray, most: int, among: Sequence[int] = (), limit: int | None = None, least_saving: float = 0.0
) -> list[int]:
    """At most `most` lengths, ascending, to which rows of these `lengths` are padded with the least padding.

    They are of `among`, ascending, as far as those go, else multiples of 8, and never above `limit`, what the model
    reads, as no row is. The last holds the longest row. One length more saves at least `least_saving` tokens of padding
    of all rows together. A dynamic programme over the sorted lengths.
    """
    rounded = -(-np.maximum(lengths, 1) // _MULTIPLE) * _MULTIPLE
    if among:
        places = np.searchsorted(among, rounded)
        rounded = np.where(places < len(among), np.asarray(among)[np.minimum(places, len(among) - 1)], rounded)
    if limit is not None:
        rounded = np.minimum(rounded, limit)
    sizes, counts = np.unique(rounded, return_counts=True)
    rows = np.concatenate([[0], np.cumsum(counts)])
    # cost[k][j]: tokens of the rows up to size j, in k + 1 lengths of which the last is that size.
    cost, choices = [sizes * rows[1:]], []
    for _ in range(1, min(most, len(sizes))):
        with_one_more = cost[-1][:, None] + sizes[None, :] * (rows[1:][None, :] - rows[1:][:, None])
        with_one_more = np.where(np.arange(len(sizes))[:, None] < np.arange(len(sizes))[None, :], with_one_more, 2**62)
        choices.append(with_one_more.argmin(axis=0))
        cost.append(with_one_more.min(axis=0))
    number = int(np.argmin([each[-1] + least_saving * more for more, each in enumerate(cost)]))
    found = [len(sizes) - 1]
    for choice in reversed(choices[:number]):
        found.append(int(choice[found[-1]]))
    return [int(sizes[place]) for place in reversed(found)]


def padded_length(length: int, lengths: Sequence[int]) -> int:
    """The least of `lengths`, ascending, that is not below `length`."""
    return lengths[int(np.searchsorted(lengths, length))]


@dataclasses.dataclass(frozen=True)
class TrainingOrder:
    """The rows of each step, a pure function of (seed, step).

    Epochs are permutations, as in pretraining (data/batches.py). So many batches' worth of that order, but no more than
    an epoch's, are sorted by length and split into batches, whose own order is drawn. Where an epoch ends among them,
    the rows of each are sorted apart: else both copies of a row, of one length, would lie in one batch.
    """

    lengths: np.ndarray  # of the rows
    batch_size: int
    seed: int

    def rows(self, step: int) -> np.ndarray:
        """The numbers of the rows of `step`, counted from 0; batch_size of them."""
        batches = max(1, min(_WINDOW, len(self.lengths) // self.batch_size))
        window, place = divmod(step, batches)
        size = batches * self.batch_size
        numbers = record_ids(window, np.arange(size), size, len(self.lengths), self.seed)
        epochs = epochs_of(window, np.arange(size), size, len(self.lengths))
        by_length = numbers[np.lexsort((self.lengths[numbers], epochs))].reshape(batches, -1)
        random = np.random.RandomState(np.random.SeedSequence([self.seed, window]).generate_state(1))
        return by_length[random.permutation(batches)[place]]


def batches_by_length(
    lengths: np.ndarray, padded: Sequence[int], tokens: int, multiple: int
) -> Iterator[tuple[np.ndarray, int, int]]:
    """All rows once, as (their numbers, rows of the batch, its length), the longest first; few shapes.

    A batch of length n has about `tokens` / n rows, a `multiple` of something; it may have fewer rows than that.
    """
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        length = padded_length(int(lengths[order[start]]), padded)
        size = max(1, tokens // length // multiple) * multiple
        shorter = lengths[order[start:]] <= max([0, *(each for each in padded if each < length)])
        of_length = int(np.argmax(shorter)) if shorter.any() else len(shorter)
        yield order[start : start + min(size, of_length)], size, length
        start += min(size, of_length)
