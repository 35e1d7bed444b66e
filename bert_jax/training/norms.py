"""Norms of gradients and updates, by group of parameters: a handful of numbers that show where training is unwell."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from bert_jax.model.functional import Path, path_of


def norms_by_group(name: str, tree: Any, groups: Mapping[Path, str]) -> dict[str, jax.Array]:
    """{"name": global norm, "name/embeddings": norm of that group's leaves, ...}, float32 scalars.

    `tree` is like the parameters. Each leaf is read once, in the pass that makes or uses it.
    """
    squares: dict[str, jax.Array] = {}
    for entries, leaf in jax.tree_util.tree_leaves_with_path(tree):
        group = f"{name}/{groups[path_of(entries)]}"
        squares[group] = squares.get(group, jnp.float32(0.0)) + jnp.square(leaf.astype(jnp.float32)).sum()
    return {group: jnp.sqrt(square) for group, square in ({name: sum(squares.values())} | squares).items()}
