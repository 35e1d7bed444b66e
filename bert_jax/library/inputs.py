"""What the model's function reads of a batch, checked before it is traced."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bert_jax.errors import UserError
from bert_jax.interchange.renames import flatten
from bert_jax.model.encoder import INPUTS
from bert_jax.model.functional import Model, Params
from bert_jax.model.pretraining import MASKED_POSITIONS

ARRAY = jax.Array | np.ndarray
OF_RECORDS = {"input_mask": "attention_mask"}  # as records call it (data/schema.py)


def inputs_of(batch: Mapping[str, Any], longest: int, of_task: bool) -> dict[str, Any]:
    """The arrays that the model reads, by its names; UserError where one is missing, or rows are too long.

    of_task: the model's head is a task's, which has no masked words, and may read several texts a row.
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
    shapes = {name: jnp.shape(inputs[name]) for name in INPUTS}
    shape = shapes[INPUTS[0]]
    if len(shape) not in ((2, 3) if of_task else (2,)) or set(shapes.values()) != {shape}:
        raise UserError(f"the batch has arrays of shapes {shapes}; give the same [rows, length] for all")
    if shape[-1] > longest:
        raise UserError(f"the batch has rows of {shape[-1]} tokens; give at most {longest}, which the model reads")
    return inputs


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
