"""The rows of the other data-parallel devices, for a loss that compares rows with each other."""

import jax
import jax.numpy as jnp

from bert_jax.parallel.mesh import DATA_PARALLEL_AXES


def all_rows(array: jax.Array) -> jax.Array:
    """The rows of all data-parallel devices, [rows, ...], in the order of the global batch.

    That is where it is called with those of one device (step.py); elsewhere the array has all rows, and is returned. A
    gradient goes back to the device that has the row.
    """
    return jax.lax.all_gather(array, DATA_PARALLEL_AXES, tiled=True) if _is_on_data_parallel_device() else array


def row_numbers(rows: int) -> jax.Array:
    """Which of all_rows are this device's `rows`: int32 [rows]."""
    return jnp.arange(rows) + (jax.lax.axis_index(DATA_PARALLEL_AXES) * rows if _is_on_data_parallel_device() else 0)


def _is_on_data_parallel_device() -> bool:
    """Whether this is traced inside of shard_map over the data-parallel devices."""
    return set(DATA_PARALLEL_AXES) <= set(jax.sharding.get_abstract_mesh().manual_axes)
