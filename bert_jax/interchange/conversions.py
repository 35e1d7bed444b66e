"""What a family's files have otherwise than our model, beside names: done to the arrays and to the settings at once.

Each function takes arrays by our paths, of which some may be missing, with the settings that fit them, and gives both
as they are afterwards. What it gives computes the same on whatever the function says.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from bert_jax.config import ModelConfig
from bert_jax.model.embeddings import POSITIONS, TOKEN_TYPES

PAIRS = ("encoder/pooler/", "next_sentence/")
PROJECTION = "encoder/embeddings/projection/"


class Weights(NamedTuple):
    """Arrays by our paths, and the settings of the model that they are of."""

    arrays: Mapping[str, np.ndarray]
    config: ModelConfig


def drop_first_positions(weights: Weights, number: int) -> Weights:
    """Without the first rows of positions, which no token reads there."""
    arrays, config = weights
    kept = {path: array[number:] if path == POSITIONS else array for path, array in arrays.items()}
    positions = config.max_position_embeddings - number
    return Weights(kept, dataclasses.replace(config, max_position_embeddings=positions))


def add_first_positions(weights: Weights, number: int) -> Weights:
    """With as many rows of zeros before the positions."""
    arrays, config = weights
    longer = {path: np.pad(array, ((number, 0), (0, 0))) for path, array in arrays.items() if path == POSITIONS}
    positions = config.max_position_embeddings + number
    return Weights({**arrays, **longer}, dataclasses.replace(config, max_position_embeddings=positions))


def add_type_to_positions(weights: Weights) -> Weights:
    """Without token types, the first of them in every position: the same where all tokens are of that one."""
    arrays, config = weights
    rest = {path: array for path, array in arrays.items() if path != TOKEN_TYPES}
    if TOKEN_TYPES in arrays and arrays[TOKEN_TYPES][0].any():  # a sum with zeros would lose the sign of zeros
        rest[POSITIONS] = arrays[POSITIONS] + arrays[TOKEN_TYPES][:1]
    return Weights(rest, dataclasses.replace(config, type_vocab_size=0))


def add_types(weights: Weights, number: int) -> Weights:
    """With as many token types of zeros: the same whatever the types of the tokens."""
    arrays, config = weights
    zeros = np.zeros((number, config.table_width), np.float32)
    return Weights({**arrays, TOKEN_TYPES: zeros}, dataclasses.replace(config, type_vocab_size=number))


def add_projection(weights: Weights) -> Weights:
    """With a dense layer behind the embeddings that gives what it is given."""
    arrays, config = weights
    width = config.hidden_size
    dense = {f"{PROJECTION}kernel": np.eye(width, dtype=np.float32), f"{PROJECTION}bias": np.zeros(width, np.float32)}
    return Weights({**arrays, **dense}, dataclasses.replace(config, embedding_size=width))


def drop_projection(weights: Weights) -> Weights:
    """Without the dense layer behind the embeddings, where it gives exactly what it is given."""
    arrays, config = weights
    kernel, bias = (arrays.get(f"{PROJECTION}{leaf}") for leaf in ("kernel", "bias"))
    is_square = config.embedding_size == config.hidden_size
    if kernel is None or bias is None or not is_square or bias.any() or not np.array_equal(kernel, np.eye(len(bias))):
        return weights
    rest = {path: array for path, array in arrays.items() if not path.startswith(PROJECTION)}
    return Weights(rest, dataclasses.replace(config, embedding_size=0))


def of_queries_and_keys(weights: Weights, order: Callable[[np.ndarray], np.ndarray]) -> Weights:
    """With the numbers of queries and keys in another `order`, the same for both: their products stay."""
    arrays = {
        path: order(array) if path.split("/")[-2] in ("query", "key") else array
        for path, array in weights.arrays.items()
    }
    return weights._replace(arrays=arrays)


def drop_pairs(weights: Weights) -> Weights:
    """Without the pooler and the next-sentence head."""
    arrays, config = weights
    rest = {path: array for path, array in arrays.items() if not path.startswith(PAIRS)}
    return Weights(rest, dataclasses.replace(config, next_sentence=False))
