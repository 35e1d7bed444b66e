"""The rows of packed batches, as arrays: the sequences of each, one after the other (packing.py says which)."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from bert_jax.data.batches import Transform, read_ahead
from bert_jax.data.packing import PackedOrder, Packing, SizedRecords
from bert_jax.data.schema import stack


def packed_batches(
    source: SizedRecords,
    packing: Packing,
    *,
    rows: np.ndarray | Sequence[int],
    seed: int,
    first_step: int,
    last_step: int,
    num_threads: int = 4,
    prefetch: int = 8,
    transform: Transform | None = None,
    sizes: np.ndarray | None = None,
    first_position: int = 0,
) -> Iterator[dict[str, np.ndarray]]:
    """Yield this process' rows of every step's packed batch, as `batches.training_batches` does of others.

    `sizes` are those of the records after the `transform`, if there is one.
    """
    order = PackedOrder(source.sizes() if sizes is None else sizes, packing, seed, first_position)

    def batch_at(step: int) -> dict[str, np.ndarray]:
        ids = order.rows(step)
        numbers = [record for row in rows for record in ids[row]]
        batch = source.fetch(numbers)
        if transform:
            epochs = order.epochs(step)
            batch = transform(batch, np.array(numbers), np.array([epoch for row in rows for epoch in epochs[row]]))
        records = (dict(zip(batch, values, strict=True)) for values in zip(*batch.values(), strict=True))
        return stack([pack_records([next(records) for _ in ids[row]], packing) for row in rows])

    return read_ahead(batch_at, first_step, last_step, num_threads, prefetch)


def pack_records(records: Sequence[Mapping[str, np.ndarray]], packing: Packing) -> dict[str, np.ndarray]:
    """One row of the records' features, one sequence after the other; what is not filled is 0.

    input_ids, input_mask, segment_ids and position_ids are int32 [max_seq_length]: input_mask numbers the sequences,
    from 1, and position_ids begin at 0 with each. masked_lm_positions and masked_lm_ids are int32, masked_lm_weights
    float32 [predictions_per_row]. For each sequence next_sentence_positions, that of its first token, and
    next_sentence_labels are int32, next_sentence_weights float32 [sequences_per_row].
    """
    tokens, predictions, sequences = packing.max_seq_length, packing.predictions_per_row, packing.sequences_per_row
    row = {name: np.zeros(tokens, np.int32) for name in ("input_ids", "input_mask", "segment_ids", "position_ids")}
    row |= {name: np.zeros(predictions, np.int32) for name in ("masked_lm_positions", "masked_lm_ids")}
    row |= {name: np.zeros(sequences, np.int32) for name in ("next_sentence_positions", "next_sentence_labels")}
    row["masked_lm_weights"] = np.zeros(predictions, np.float32)
    row["next_sentence_weights"] = np.zeros(sequences, np.float32)
    start = predicted = 0
    for number, record in enumerate(records):
        length, count = int(record["input_mask"].sum()), int(record["masked_lm_weights"].sum())
        tokens_here, predictions_here = slice(start, start + length), slice(predicted, predicted + count)
        row["input_ids"][tokens_here] = record["input_ids"][:length]
        row["input_mask"][tokens_here] = number + 1
        row["segment_ids"][tokens_here] = record["segment_ids"][:length]
        row["position_ids"][tokens_here] = np.arange(length)
        row["masked_lm_positions"][predictions_here] = record["masked_lm_positions"][:count] + start
        row["masked_lm_ids"][predictions_here] = record["masked_lm_ids"][:count]
        row["masked_lm_weights"][predictions_here] = 1.0
        row["next_sentence_positions"][number] = start
        row["next_sentence_labels"][number] = record["next_sentence_labels"][0]
        row["next_sentence_weights"][number] = float(length > 0)  # a damaged record that is skipped has no token
        start, predicted = start + length, predicted + count
    return row
