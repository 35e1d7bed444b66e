"""A training step for batches of several shapes, all compiled before the first step: none is compiled in the middle."""

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
from absl import logging

Shapes = tuple[tuple[str, tuple[int, ...]], ...]


class CompiledShapes:
    """Called like the jitted function (state, batch, *frozen models' weights) that it is made of."""

    def __init__(self, jitted: Any, batches: Sequence[Mapping[str, Any]]) -> None:
        """`batches`: ShapeDtypeStructs with shardings, one batch of each shape."""
        self._jitted, self._batches = jitted, batches
        self._compiled: dict[Shapes, Callable[..., Any]] = {}

    def __call__(self, state: Any, batch: Mapping[str, jax.Array], *frozen: Any) -> Any:
        """Run the step; the first call compiles all shapes, as many at a time as there are cores."""
        if not self._compiled:
            self._compile(state, *frozen)
        return self._compiled[_shapes(batch)](state, batch, *frozen)

    def _compile(self, state: Any, *frozen: Any) -> None:
        logging.info("compiling the step for %d shapes of a batch", len(self._batches))
        abstract, *weights = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding), (state, *frozen)
        )
        lowered = [self._jitted.lower(abstract, dict(batch), *weights) for batch in self._batches]
        with ThreadPoolExecutor(min(len(lowered), os.cpu_count() or 1)) as pool:  # each takes its memory
            compiled = pool.map(lambda one: one.compile(), lowered)
            self._compiled = {_shapes(batch): each for batch, each in zip(self._batches, compiled, strict=True)}


def _shapes(batch: Mapping[str, Any]) -> Shapes:
    return tuple(sorted((name, tuple(array.shape)) for name, array in batch.items()))
