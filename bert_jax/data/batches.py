"""Global batches of records. Which records are in the batch of a step is a pure function of the seed and the step.

There is no iterator state to save: a run that stops at step s resumes at step s, on any number of processes,
and reads nothing twice. Training data are shuffled over the whole set, anew in every epoch.
"""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol

import grain
import numpy as np
from grain.experimental import index_shuffle
from numpy.typing import NDArray

# index_shuffle walks along a permutation of at least 2**16 numbers until it meets one below num_records,
# which takes milliseconds a record in a small set. There, a whole permutation in memory is cheap.
_SMALL = 2**16


class Records(Protocol):
    """Anything that gives the features of records by number, as RecordSource does."""

    def __len__(self) -> int: ...

    def fetch(self, records: Sequence[int], /) -> Mapping[str, np.ndarray]:
        """The features of `records`, each [records, length]."""
        ...


# Of features [records, length], which records they are of, and in which epochs of theirs, what is to be read of them.
Transform = Callable[[Mapping[str, np.ndarray], NDArray[np.int64], NDArray[np.int64]], dict[str, np.ndarray]]


def record_ids(
    step: int,
    rows: np.ndarray | Sequence[int],
    global_batch_size: int,
    num_records: int,
    seed: int,
    first_position: int = 0,
) -> np.ndarray:
    """The numbers (int64) of the records in `rows` of the global batch at `step`.

    Row r at step s is position p = first_position + s * global_batch_size + r of an endless sequence of epochs, each a
    permutation of all records of its own. A batch may run over the end of an epoch, or hold several.
    """
    positions = first_position + step * global_batch_size + np.asarray(rows, np.int64)
    epochs, places = np.divmod(positions, num_records)
    if num_records <= _SMALL:
        return np.array([_permutation(num_records, seed, int(e))[p] for e, p in zip(epochs, places, strict=True)])
    return np.array(
        [
            index_shuffle(int(p), max_index=num_records - 1, seed=_epoch_seed(seed, int(e)), rounds=4)
            for e, p in zip(epochs, places, strict=True)
        ]
    )


def epochs_of(
    step: int, rows: np.ndarray | Sequence[int], global_batch_size: int, num_records: int, first_position: int = 0
) -> NDArray[np.int64]:
    """The epoch of each of the records that `record_ids` gives for these rows."""
    return (first_position + step * global_batch_size + np.asarray(rows, np.int64)) // num_records


def training_batches(
    source: Records,
    *,
    global_batch_size: int,
    rows: np.ndarray | Sequence[int],
    seed: int,
    first_step: int,
    last_step: int,
    num_threads: int = 4,
    prefetch: int = 8,
    transform: Transform | None = None,
    first_position: int = 0,
) -> Iterator[dict[str, np.ndarray]]:
    """Yield, for every step from `first_step` up to but not including `last_step`, this process' rows.

    Each feature is [len(rows), length]. Step 0 begins at `first_position` of the records' order. `num_threads` threads
    read up to `prefetch` batches ahead, and apply `transform` to them. An error of a record (UserError) is raised here,
    at its step.
    """

    def batch_at(step: int) -> dict[str, np.ndarray]:
        ids = record_ids(step, rows, global_batch_size, len(source), seed, first_position)
        batch = dict(source.fetch(ids.tolist()))
        epochs = epochs_of(step, rows, global_batch_size, len(source), first_position)
        return transform(batch, ids, epochs) if transform else batch

    return read_ahead(batch_at, first_step, last_step, num_threads, prefetch)


def evaluation_batches(
    source: Records,
    *,
    global_batch_size: int,
    rows: np.ndarray | Sequence[int],
    first_step: int = 0,
    max_batches: int | None = None,
    num_threads: int = 2,
    prefetch: int = 4,
    transform: Transform | None = None,
) -> Iterator[dict[str, np.ndarray]]:
    """Yield this process' rows of every record once, in order, from `first_step` on, in at most `max_batches` batches.

    Rows from `global_batch_size` on, and those of the last batch that no record is left for, are zeros: no attention,
    no weight on any prediction. `transform` is applied to the records as in the first epoch.
    """
    num_batches, rows = -(-len(source) // global_batch_size), np.asarray(rows, np.int64)

    def batch_at(step: int) -> dict[str, np.ndarray]:
        ids = step * global_batch_size + rows
        there = ids[(rows < global_batch_size) & (ids < len(source))]  # the others come after them
        padding = [(0, len(ids) - len(there)), (0, 0)]
        batch = source.fetch(there.tolist())
        batch = transform(batch, there, np.zeros_like(there)) if transform else batch
        return {name: np.pad(values, padding) for name, values in batch.items()}

    last_step = num_batches if max_batches is None else min(num_batches, first_step + max_batches)
    return read_ahead(batch_at, first_step, last_step, num_threads, prefetch)


def read_ahead(
    batch_at: Callable[[int], dict[str, np.ndarray]],
    first_step: int,
    last_step: int,
    num_threads: int,
    prefetch: int,
) -> Iterator[dict[str, np.ndarray]]:
    """Yield `batch_at` of every step from `first_step` up to but not including `last_step`, made ahead by threads."""
    if first_step >= last_step:
        return iter(())
    options = grain.ReadOptions(num_threads=num_threads, prefetch_buffer_size=prefetch)
    return iter(grain.MapDataset.range(first_step, last_step).map(batch_at).to_iter_dataset(options))


@functools.lru_cache(maxsize=1024)
def _epoch_seed(seed: int, epoch: int) -> int:
    return int(np.random.SeedSequence([seed, epoch]).generate_state(1)[0])


@functools.lru_cache(maxsize=16)
def _permutation(num_records: int, seed: int, epoch: int) -> np.ndarray:
    # RandomState, because NumPy promises that its streams never change; those of default_rng may.
    return np.random.RandomState(_epoch_seed(seed, epoch)).permutation(num_records)
