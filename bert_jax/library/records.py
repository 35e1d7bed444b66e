"""Records as batches of arrays, for a training loop of one's own."""

from collections.abc import Iterator

import numpy as np
from etils import epath

from bert_jax.config.check import is_whole, require
from bert_jax.data.batches import evaluation_batches, training_batches
from bert_jax.data.source import RecordSource
from bert_jax.library.given import path_of, refusals_on_one_line

_ENDLESS = 2**40  # steps


def read_records(
    records: epath.PathLike,
    split: str = "train",
    *,
    batch_size: int,
    seed: int = 0,
    first_step: int = 0,
    in_order: bool = False,
) -> Iterator[dict[str, np.ndarray]]:
    """Batches of the records in a directory of `python -m bert_jax.build_records`, read ahead by threads.

    split: "train", or "validation" where there are held-out records.
    batch_size: rows of a batch, B.
    seed, first_step: the batches have random records, all of them once in each epoch, without an end. Which are in a
        batch is a function of the seed and the batch's number alone: with first_step=n they resume after n batches.
        `python -m bert_jax.pretrain` reads the same ones in its first phase, with the same seed.
    in_order: all records once, in order, from batch number first_step on; the last batch is filled up with rows of
        zeros, whose weights are 0.

    Gives dicts of NumPy arrays, int32 but for the weights, of sequences of L tokens with P masked tokens at most:
    input_ids, input_mask (1: token), segment_ids [B, L]; masked_lm_positions, masked_lm_ids (what was there before) and
    masked_lm_weights (float32, 1.0: a masked token, 0.0: none) [B, P]; next_sentence_labels [B, 1].

    Raises:
      bert_jax.UserError: there are no such records, they are damaged, or the system or the bucket refuses them, which
        may be found when they are read; or a number is out of its range.
    """
    require(is_whole(batch_size, 1), "batch_size", batch_size, "give a whole number from 1 on")
    require(is_whole(first_step, 0, _ENDLESS), "first_step", first_step, f"give a whole number from 0 to {_ENDLESS}")
    require(is_whole(seed, 0), "seed", seed, "give a whole number from 0 on")
    given, rows = path_of("records", records), np.arange(batch_size)
    with refusals_on_one_line():
        source = RecordSource(given, split)
    if in_order:
        batches = evaluation_batches(source, global_batch_size=batch_size, rows=rows, first_step=first_step)
    else:
        batches = training_batches(
            source, global_batch_size=batch_size, rows=rows, seed=seed, first_step=first_step, last_step=_ENDLESS
        )
    return _each_on_one_line(batches)


def _each_on_one_line(batches: Iterator[dict[str, np.ndarray]]) -> Iterator[dict[str, np.ndarray]]:
    """The same, with what the system refuses while they are read as a UserError."""
    with refusals_on_one_line():
        yield from batches
