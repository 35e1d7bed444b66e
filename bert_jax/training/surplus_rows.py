"""Tables with more rows than the vocabulary has tokens, as others pad them for speed: the rest is left out.

No token has those rows, so the logits of all tokens stay as they are. Kept, they would be wrong words that a run may
predict, and an exported vocabulary with ids that its tokenizer does not know.
"""

import dataclasses
from collections.abc import Mapping

import numpy as np
from absl import logging
from etils import epath

from bert_jax.interchange import names
from bert_jax.interchange.foreign import ForeignWeights
from bert_jax.interchange.tensorflow import OriginalState
from bert_jax.text.tokenizer import has_vocabulary, load_tokenizer

TABLES = ("encoder/embeddings/word/embedding", "masked_lm/output_bias")  # [vocab, hidden] and [vocab]
# Without a vocabulary beside the weights, no more is taken for padding: people pad to a multiple of 8 to 128.
_MOST_PADDING = 127
_LEAST_MULTIPLE = 8


def cut_surplus_rows(weights: ForeignWeights, vocab_size: int, path: epath.Path) -> ForeignWeights:
    """The `weights` at `path` with a row for each of `vocab_size` tokens and no more, if theirs is that, padded."""
    rows = weights.config.vocab_size
    if rows <= vocab_size or not _is_padded(rows, vocab_size, path):
        return weights
    logging.warning("%s has %d rows for %d tokens: the last %d are left out", path, rows, vocab_size, rows - vocab_size)
    config = dataclasses.replace(weights.config, vocab_size=vocab_size)
    return dataclasses.replace(weights, arrays=cut_tables(weights.arrays, vocab_size), config=config)


def cut_tables(arrays: Mapping[str, np.ndarray], vocab_size: int) -> dict[str, np.ndarray]:
    """The arrays by our paths, those with a row for each token without the rows from `vocab_size` on."""
    return {name: array[:vocab_size] if name in TABLES else array for name, array in arrays.items()}


def cut_moments(state: OriginalState, vocab_size: int) -> OriginalState:
    """Adam's moments without what belongs to surplus rows."""
    mu, nu = (names.nest(cut_tables(names.flatten(moments), vocab_size)) for moments in (state.mu, state.nu))
    return OriginalState(state.step, mu, nu)


def _is_padded(rows: int, vocab_size: int, path: epath.Path) -> bool:
    for directory in (path / "tokenizer", path):
        if has_vocabulary(directory):
            return load_tokenizer(directory).vocab_size == vocab_size
    return rows % _LEAST_MULTIPLE == 0 and rows - vocab_size <= _MOST_PADDING
