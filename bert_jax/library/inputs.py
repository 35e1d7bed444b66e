"""What the model's functions are asked for, checked before anything is traced."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bert_jax.config import ModelConfig
from bert_jax.config.check import is_whole, require
from bert_jax.errors import UserError
from bert_jax.inference.pooling import COMBINED, OF_TEXTS, Pooling
from bert_jax.model.encoder import INPUTS
from bert_jax.model.functional import Model, Params, flatten
from bert_jax.model.pretraining import MASKED_POSITIONS

ARRAY = jax.Array | np.ndarray
OF_RECORDS = {"input_mask": "attention_mask"}  # as records call it (data/schema.py)


def inputs_of(batch: Mapping[str, Any], config: ModelConfig, of_task: bool) -> dict[str, Any]:
    """The arrays that the model reads, by its names; UserError where one is missing, or is none that it can read.

    of_task: the model's head is a task's, which has no masked tokens, and may read several texts a row.
    """
    if not isinstance(batch, Mapping):
        raise UserError(f"batch is {batch!r:.80}; give a dict of arrays, as encode does")
    named = {OF_RECORDS.get(name, name): array for name, array in batch.items()}
    if missing := [name for name in INPUTS if name not in named]:
        there = ", ".join(map(str, batch)) or "nothing"
        raise UserError(f"the batch has no {missing[0]}, but {there}; give {', '.join(INPUTS)}, as encode does")
    inputs = {name: named[name] for name in (INPUTS if of_task else (*INPUTS, MASKED_POSITIONS)) if name in named}
    for name, array in inputs.items():
        if not isinstance(array, ARRAY):
            raise UserError(f"the batch's {name} is a {type(array).__name__}; give an array, as encode does")
    _check_shapes(inputs, config.max_position_embeddings, (2, 3) if of_task else (2,))
    _check_numbers(inputs, config)
    return inputs


def _check_shapes(inputs: dict[str, Any], longest: int, ranks: tuple[int, ...]) -> None:
    shapes = {name: jnp.shape(inputs[name]) for name in INPUTS}
    shape = shapes[INPUTS[0]]
    if len(shape) not in ranks or set(shapes.values()) != {shape}:
        raise UserError(f"the batch has arrays of shapes {shapes}; give the same [rows, length] for all")
    if 0 in shape:
        raise UserError(f"the batch has arrays of shape {shape}; give a row and a token at least")
    if shape[-1] > longest:
        raise UserError(f"the batch has rows of {shape[-1]} tokens; give at most {longest}, which the model reads")
    masked = jnp.shape(inputs[MASKED_POSITIONS]) if MASKED_POSITIONS in inputs else shape
    if len(masked) != len(shape) or masked[0] != shape[0]:
        raise UserError(f"the batch's {MASKED_POSITIONS} have shape {masked}; give [rows, n] of its {shape[0]} rows")


def _check_numbers(inputs: dict[str, Any], config: ModelConfig) -> None:
    """Whole ones and, of NumPy's arrays, those that lead to a row of a table, and not to NaN.

    JAX's are not looked into: their numbers may not be known yet, and to wait for them is to wait for the device.
    """
    types = config.type_vocab_size if config.type_vocab_size > 1 else None  # of one type, or none, they are not read
    length = jnp.shape(inputs[INPUTS[0]])[-1]
    ends = {"input_ids": config.vocab_size, "segment_ids": types, MASKED_POSITIONS: length}
    for name, array in inputs.items():
        if name != "attention_mask" and not jnp.issubdtype(array.dtype, jnp.integer):
            raise UserError(f"the batch's {name} are of {array.dtype}; give whole numbers, as encode does")
        end = ends.get(name)
        if end is not None and (outside := _outside(array, end)) is not None:
            raise UserError(f"the batch's {name} have {outside}; give 0 to {end - 1}, which the model reads")


def _outside(array: Any, end: int) -> int | None:
    """A number of NumPy's array that is not from 0 to below `end`; None if there is none."""
    outside = array[(array < 0) | (array >= end)] if isinstance(array, np.ndarray) else np.array([])
    return int(outside[0]) if outside.size else None


def pooling_of(kind: Any, layers: Any, combine: Any, num_hidden_layers: int) -> Pooling:
    """What `embed` was asked for; UserError where it is none, or a layer is not there."""
    remedy = f"give {', '.join(OF_TEXTS)}; states of tokens are apply(params, batch).hidden_states"
    require(kind in OF_TEXTS, "pooling", kind, remedy)
    remedy = "give a tuple of whole numbers, as in (-1, -2)"
    chosen = tuple(layers) if isinstance(layers, Sequence) else ()
    require(bool(chosen) and all(is_whole(layer, -math.inf) for layer in chosen), "layers", layers, remedy)
    require(combine in COMBINED, "combine", combine, f"give one of {', '.join(COMBINED)}")
    found = Pooling(kind, chosen, combine)
    found.check(num_hidden_layers, "layers")
    return found


def dropout_key(training: bool, rng: jax.Array | None) -> jax.Array | None:
    """The key of dropout, also of one of JAX's older, raw ones; None without training."""
    if not training:
        return None
    if rng is None:
        raise UserError("training=True needs rng, a key for dropout; give rng=jax.random.key(step), another each step")
    dtype = getattr(rng, "dtype", None)
    if dtype is not None and jnp.issubdtype(dtype, jax.dtypes.prng_key):
        return rng
    if dtype != jnp.uint32:
        raise UserError(f"rng is {rng!r:.80}, and no key; give rng=jax.random.key(step), another each step")
    return jax.random.wrap_key_data(rng)


def check_params(params: Params, model: Model, name: str) -> None:
    """Raise UserError where these are not parameters of the `model`, which messages call `name`."""
    if not isinstance(params, dict):
        raise UserError(f"params is {params!r:.80}; give a nested dict of arrays, like the params of {name}")
    wanted, given = flatten(model.abstract_params), flatten(params)
    for path in [*wanted, *given]:
        needed = wanted[path].shape if path in wanted else "not there"
        there = _shape(given[path]) if path in given else "not there"
        if there != needed:
            raise UserError(f"params: {path} is {there}, and {needed} in {name}; give a dict like its params")
        if not jnp.issubdtype(given[path].dtype, jnp.floating):
            raise UserError(f"params: {path} is of {given[path].dtype}; give floating-point numbers")


def _shape(array: Any) -> tuple[int, ...] | str:
    return tuple(array.shape) if isinstance(array, ARRAY) else "no array"
