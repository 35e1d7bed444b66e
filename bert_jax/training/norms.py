"""Lengths of gradients and updates, by room of the model: a handful of numbers that say where training is unwell."""

import re
from typing import Any

import jax
import jax.numpy as jnp


def norms_by_room(name: str, tree: Any) -> dict[str, jax.Array]:
    """{"name": global norm, "name/embeddings": norm of that room's leaves, ...}, float32 scalars.

    `tree` is like the parameters. Each leaf is read once, in the pass that makes or uses it.
    """
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    paths = [tuple(str(getattr(entry, "key", entry)) for entry in path) for path, _ in leaves]
    layers = 1 + max((number for path in paths if (number := _layer(path)) is not None), default=0)
    squares: dict[str, jax.Array] = {}
    for path, (_, leaf) in zip(paths, leaves, strict=True):
        room = f"{name}/{room_of(path, layers)}"
        squares[room] = squares.get(room, jnp.float32(0.0)) + jnp.square(leaf.astype(jnp.float32)).sum()
    return {room: jnp.sqrt(square) for room, square in ({name: sum(squares.values())} | squares).items()}


def room_of(path: tuple[str, ...], layers: int) -> str:
    """embeddings, lower_layers or upper_layers (half of the `layers` each), or heads, which the pooler belongs to."""
    layer = _layer(path)
    if layer is not None:
        return "lower_layers" if layer < (layers + 1) // 2 else "upper_layers"
    return "embeddings" if "embeddings" in path else "heads"


def _layer(path: tuple[str, ...]) -> int | None:
    return next((int(match[1]) for part in path if (match := re.fullmatch(r"layer_(\d+)", part))), None)
