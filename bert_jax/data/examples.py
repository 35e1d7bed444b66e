"""Records in readable form. Looking at a few of them catches most mistakes in data."""

from collections.abc import Mapping

import numpy as np

from bert_jax.config.data import Pairs
from bert_jax.config.pair_kinds import PAIR_KINDS
from bert_jax.text.tokenizer import Tokenizer


def readable(record: Mapping[str, np.ndarray], tokenizer: Tokenizer, pairs: Pairs) -> str:
    """A record's tokens, segments, masks and labels as lines of text, without the padding."""
    length = int(record["input_mask"].sum())
    predictions = int(record["masked_lm_weights"].sum())
    tokens = [tokenizer.tokens[token] for token in record["input_ids"][:length]]
    labels = [tokenizer.tokens[token] for token in record["masked_lm_ids"][:predictions]]
    lines = {
        "tokens": " ".join(tokens),
        "segment_ids": _listed(record["segment_ids"][:length]),
        "masked_lm_positions": _listed(record["masked_lm_positions"][:predictions]),
        "masked_lm_labels": " ".join(labels),
    }
    if kind := PAIR_KINDS.get(pairs):
        lines[kind.title.lower()] = kind.meanings[record["next_sentence_labels"][0]]
    return "\n".join(f"  {name}: {value}" for name, value in lines.items())


def _listed(values: np.ndarray) -> str:
    return " ".join(map(str, values))
