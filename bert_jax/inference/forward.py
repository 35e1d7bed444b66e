"""A model over many rows: batches by length in a few shapes, outputs in the order of the rows."""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Self

import jax
import numpy as np
from jax.sharding import Mesh

from bert_jax.errors import UserError
from bert_jax.inference.progress import Watch
from bert_jax.model.encoder import INPUTS
from bert_jax.model.functional import Model, Params, flatten, nest, param_shardings
from bert_jax.parallel.axes import batch_sharding, replicated
from bert_jax.parallel.global_batch import local_rows, on_devices
from bert_jax.parallel.mesh import batch_shards
from bert_jax.tasks.batching import batches_by_length, choose_lengths
from bert_jax.tasks.rows import Rows

TOKENS = 4096  # of a batch and device: enough to keep a CPU's cores busy, and little memory
MOST_SHAPES = 6
# Lengths to which rows are padded are among these, so that the next file finds its shapes compiled.
LENGTH_BUCKETS = (16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)
Compute = Callable[[Params, dict[str, jax.Array]], Any]


class Forward:
    """Applies a function of parameters and batches to many rows; each shape of a batch is compiled once."""

    def __init__(
        self,
        model: Model,
        longest: int,
        mesh: Mesh,
        shardings: Params,
        compute: Compute | None = None,
        inputs: Sequence[str] = INPUTS,
        per_token: bool = False,
        tokens: int = TOKENS,
        few_rows: bool = False,
    ) -> None:
        """Of parameters of `model` that lie on `mesh` as `shardings` say.

        longest: tokens that the model reads of a row.
        compute: what is computed of them and of a batch's `inputs`, by their names; None: the model's outputs.
        per_token: what that gives is [batch, length, ...], of which padding is taken off.
        tokens: of a batch, for each device.
        few_rows: a batch of few rows is computed as a smaller one, which is compiled for itself: for who asks for a few
            now and then. Else all batches of a length have the same shape.
        """
        self._mesh, self._inputs, self._per_token, self._tokens = mesh, inputs, per_token, tokens
        self._few_rows, self._longest = few_rows, longest

        def apply(params: Params, batch: dict[str, jax.Array]) -> Any:
            return model.apply(params, **batch)

        in_shardings = (shardings, batch_sharding(mesh))
        self._apply = jax.jit(compute or apply, in_shardings=in_shardings, out_shardings=replicated(mesh))

    def outputs(self, params: Params, rows: Rows, take: Watch = iter) -> list[Any]:
        """What is computed for each row: a NumPy array without the batch axis, or a tree of them, in the rows' order.

        With per_token its first axis is the row's own tokens. `take` may end it early; rows that are missing are None.
        """
        found: list[Any] = [None] * len(rows)
        lengths = rows.lengths if self._per_token and not rows.texts_per_row else None
        before: tuple[np.ndarray, Any] | None = None
        for numbers, batch in take(self._batches(rows)):
            dispatched = numbers, self._apply(params, batch)  # not waited for; the batch before is read meanwhile
            _keep(found, before, lengths)
            before = dispatched
        _keep(found, before, lengths)
        return found

    def _batches(self, rows: Rows) -> Iterator[tuple[np.ndarray, dict[str, jax.Array]]]:
        shards, lengths = batch_shards(self._mesh), rows.lengths
        # A few rows are not worth more shapes: to compile one takes as long as some hundred rows.
        shapes = min(MOST_SHAPES, 1 + len(rows) // 256)
        padded = choose_lengths(lengths, shapes, LENGTH_BUCKETS, self._longest)
        tokens = self._tokens * shards // max(1, rows.texts_per_row)
        for numbers, size, length in batches_by_length(lengths, padded, tokens, shards):
            size = smaller(size, len(numbers), shards) if self._few_rows else size
            here = local_rows(self._mesh, size)
            of_process = [int(numbers[row]) for row in here if row < len(numbers)]
            batch = rows.batch(of_process, len(here), length)
            yield numbers, on_devices({name: batch[name] for name in self._inputs}, here, size, self._mesh)


def _keep(found: list[Any], done: tuple[np.ndarray, Any] | None, lengths: np.ndarray | None) -> None:
    """Put a batch's outputs in their places; without padding where `lengths`, of all rows, are given."""
    if done is None:
        return
    numbers, outputs = done[0], jax.device_get(done[1])
    for place, row in enumerate(numbers):
        end = None if lengths is None else lengths[row]
        found[row] = jax.tree.map(
            lambda array, at=place, end=end: array[at] if end is None else array[at, :end], outputs
        )


def smaller(size: int, rows: int, multiple: int) -> int:
    """The least of `size` and 1, 4, 16 ... times `multiple` that holds so many rows."""
    of_few = multiple
    while of_few < rows:
        of_few *= 4
    return min(size, of_few)


def is_complete(outputs: Sequence[Any]) -> bool:
    """Whether no row was left out."""
    return all(each is not None for each in outputs)


class DeviceModel:
    """Parameters on the devices, and what was compiled for them: what predicts, embeds or fills in masks is one."""

    def __init__(
        self,
        model: Model,
        longest: int,
        arrays: Mapping[str, Any],
        mesh: Mesh,
        compute: Compute | None = None,
        **how: Any,
    ) -> None:
        """`arrays` are parameters by our paths, of which those of `model` are taken; the others as for Forward.

        Raises:
          UserError: one of the model's is not among them.
        """
        self._shardings = param_shardings(model, mesh)
        self._forward = Forward(model, longest, mesh, self._shardings, compute, **how)
        self._params = self._placed(arrays)

    def _placed(self, arrays: Mapping[str, Any]) -> Params:
        wanted = flatten(self._shardings)
        if missing := [path for path in wanted if path not in arrays]:
            raise UserError(f"the model lacks {missing[0]}; give one with all weights of its encoder")
        return jax.device_put(nest({path: arrays[path] for path in wanted}), self._shardings)

    def with_arrays(self, arrays: Mapping[str, Any]) -> Self:
        """The same of other parameters; nothing is compiled again."""
        other = copy.copy(self)
        other._params = self._placed(arrays)
        return other
