"""The other replicas' rows, for a loss that compares rows with each other."""

import jax
import jax.numpy as jnp

from bert_jax.parallel.mesh import COPY_AXES


def all_rows(array: jax.Array) -> jax.Array:
    """The rows of all replicas, [rows, ...], in the global batch's order, where called with a replica's (step.py).

    Elsewhere the array itself, which has all rows. A gradient goes back to the replica that has the row.
    """
    return jax.lax.all_gather(array, COPY_AXES, tiled=True) if _is_a_replicas() else array


def row_numbers(rows: int) -> jax.Array:
    """Which of all_rows are this replica's `rows`: int32 [rows]."""
    return jnp.arange(rows) + (jax.lax.axis_index(COPY_AXES) * rows if _is_a_replicas() else 0)


def _is_a_replicas() -> bool:
    """Whether this is traced inside of shard_map over the replicas."""
    return set(COPY_AXES) <= set(jax.sharding.get_abstract_mesh().manual_axes)
