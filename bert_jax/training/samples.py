"""A few held-out sentences with their masked tokens and the model's best guesses, for people to look at."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from bert_jax.config.data import Pairs
from bert_jax.config.pair_kinds import PAIR_KINDS
from bert_jax.data.batches import Transform
from bert_jax.data.source import RecordSource
from bert_jax.model.functional import Params
from bert_jax.parallel.axes import replicated
from bert_jax.parallel.mesh import batch_shards
from bert_jax.training.program import Program

GUESSES = 5
Features = Mapping[str, Any]  # arrays by name


def sample_predictions(
    program: Program,
    params: Params,
    source: RecordSource,
    tokens: Sequence[str],
    pairs: Pairs,
    number: int,
    masks: Transform | None = None,
) -> list[dict[str, Any]]:
    """The first `number` records of `source` as dicts of tokens, predictions and the pair, ready for JSON.

    `program` is that of pretraining; `tokens` are the vocabulary's, `pairs` what the records have, and `masks` as in
    phase_input.held_out_batches.

    predictions: position in tokens, label (the word that was there) and the five likeliest guesses with their
    probabilities, best first. None at all where a probability is not finite, as of a run that diverged.
    """
    if not number:
        return []
    shards = batch_shards(program.mesh)
    rows = -(-number // shards) * shards
    records = np.arange(min(number, len(source)))
    shown: Features = source.fetch(records.tolist())
    shown = masks(shown, records, np.zeros_like(records)) if masks else shown
    # A batch divides over the mesh: the rows that it has too many are copies, and not shown.
    batch: Features = {name: values[np.arange(rows) % len(records)] for name, values in shown.items()}

    def likeliest(params: Params, batch: Features) -> tuple[jax.Array, jax.Array, jax.Array | None]:
        logits = program.model.apply(params, **program.objective.inputs(batch))
        probabilities, ids = jax.lax.top_k(jax.nn.softmax(logits.masked_lm), GUESSES)
        pair_logits = logits.pair_logits
        return probabilities, ids, None if pair_logits is None else jax.nn.softmax(pair_logits)[:, 0]

    guesses = jax.device_get(jax.jit(likeliest, out_shardings=replicated(program.mesh))(params, batch))
    if not all(np.isfinite(values).all() for values in guesses if values is not None):
        return []  # JSON has no NaN, and there is nothing to see
    return describe(tokens, pairs, batch, *guesses)[: len(records)]


def describe(
    tokens: Sequence[str],
    pairs: Pairs,
    batch: Features,
    probabilities: np.ndarray,
    ids: np.ndarray,
    probability_true: np.ndarray | None,
) -> list[dict[str, Any]]:
    """Rows of ids as words; probabilities, ids [rows, predictions, guesses]; [rows] or None: of label 0."""
    described = []
    for number, row in enumerate(_rows(batch)):
        sample: dict[str, Any] = {
            "tokens": [tokens[token] for token in row["input_ids"][: int(row["input_mask"].sum())]],
            "predictions": _predictions(tokens, row, probabilities[number], ids[number]),
        }
        if probability_true is not None:
            sample |= _pair(pairs, int(row["next_sentence_labels"][0]), round(float(probability_true[number]), 4))
        described.append(sample)
    return described


def _pair(pairs: Pairs, label: int, probability: float) -> dict[str, Any]:
    kind = PAIR_KINDS[pairs]
    return {kind.name: {"label": kind.labels[label], kind.probability: probability}}


def _rows(batch: Features) -> list[dict[str, Any]]:
    return [{name: array[number] for name, array in batch.items()} for number in range(len(batch["input_ids"]))]


def _predictions(
    tokens: Sequence[str], row: dict[str, Any], probabilities: np.ndarray, ids: np.ndarray
) -> list[dict[str, Any]]:
    return [
        {
            "position": int(position),
            "label": tokens[int(label)],
            "guesses": [[tokens[int(i)], round(float(p), 4)] for i, p in zip(ids[k], probabilities[k], strict=True)],
        }
        for k, (position, label) in enumerate(zip(row["masked_lm_positions"], row["masked_lm_ids"], strict=True))
        if row["masked_lm_weights"][k] > 0
    ]
