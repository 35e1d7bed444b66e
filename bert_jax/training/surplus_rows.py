"""Tables with more rows than the vocabulary has tokens, as others pad them for speed: the rest is left out.

No token has those rows, so the logits of all tokens stay as they are. Kept, they would be wrong words that a run may
predict, and an exported vocabulary with ids that its tokenizer does not know.
"""

import dataclasses
from collections.abc import Mapping

import numpy as np
from absl import logging
from etils import epath

from bert_jax.config import ModelConfig
from bert_jax.interchange.foreign import AdamState, ForeignWeights
from bert_jax.model.functional import flatten, nest
from bert_jax.model.pretraining import pretraining_model
from bert_jax.text.load_tokenizer import load_tokenizer, vocabulary_beside

# Without a vocabulary beside the weights, no more is taken for padding: people pad to a multiple of 8 to 128.
_MOST_PADDING = 127
_LEAST_MULTIPLE = 8


def drop_surplus_rows(weights: ForeignWeights, model: ModelConfig, path: epath.Path) -> ForeignWeights:
    """The `weights` at `path` with a row for each token of `model` and no more, if theirs are those, padded."""
    rows, tokens = weights.config.vocab_size, model.vocab_size
    if rows <= tokens or not _is_padded(rows, tokens, path):
        return weights
    logging.warning("%s has %d rows for %d tokens: the last %d are left out", path, rows, tokens, rows - tokens)
    config = dataclasses.replace(weights.config, vocab_size=tokens)
    arrays = _first_rows(weights.arrays, vocab_tables(model), tokens)
    return dataclasses.replace(weights, arrays=arrays, config=config)


def drop_surplus_moments(state: AdamState, model: ModelConfig) -> AdamState:
    """Adam's state without the moments of surplus rows."""
    tables = vocab_tables(model)
    mu, nu = (nest(_first_rows(flatten(moments), tables, model.vocab_size)) for moments in (state.mu, state.nu))
    return AdamState(state.step, mu, nu)


def vocab_tables(model: ModelConfig) -> set[str]:
    """Our paths of the parameters with a row for each token: [vocab, hidden] and [vocab].

    `model` is the run's own, whose sizes are checked; a tree of as many layers as a file claims could take minutes.
    """
    return {"/".join(path) for path, axes in pretraining_model(model).axes.items() if axes[0] == "vocab"}


def _first_rows(arrays: Mapping[str, np.ndarray], tables: set[str], rows: int) -> dict[str, np.ndarray]:
    return {path: array[:rows] if path in tables else array for path, array in arrays.items()}


def _is_padded(rows: int, vocab_size: int, path: epath.Path) -> bool:
    if directory := vocabulary_beside(path):
        return load_tokenizer(directory).vocab_size == vocab_size
    return rows % _LEAST_MULTIPLE == 0 and rows - vocab_size <= _MOST_PADDING
