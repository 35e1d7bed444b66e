"""Where the numbers of a step became non-finite: its batch is computed again, as the step did, every module watched."""

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from bert_jax.errors import UserError
from bert_jax.model.functional import Model, Params
from bert_jax.objectives.objective import Batch, Objective, Sums
from bert_jax.parallel.axes import batch_sharding, replicated
from bert_jax.parallel.mesh import by_sequence
from bert_jax.training.program import Program
from bert_jax.training.step import COMPILER_OPTIONS, batch_gradient, chunk_loss

LOSS = "loss"
_NONFINITE = "nonfinite: "  # before a name among the sums: in how many chunks of the batch it was not finite


@dataclasses.dataclass(frozen=True)
class Search:
    """What a step computes of its batch, and the names of what is not finite, in the order of computation."""

    sums: dict[str, float]
    weights: list[str]
    outputs: list[str]  # modules, then the loss
    gradients: list[str]  # in the order of the backward pass; also where a gradient's norm is more than a float32


def stop_if_nonfinite(program: Program, step: int, params: Params, batch: Batch, sums: Sums) -> None:
    """Name the first non-finite number of `step`, counted from 1, if its `sums` say that it was skipped.

    `params` are those it began with.

    Raises:
      UserError: it was.
    """
    if float(sums["skipped"]):
        found = first_nonfinite(jit_search(program)(step, params, batch))
        raise UserError(
            f"step {step} gave no finite loss or gradient; the first to go bad: {found}. "
            "Its records are in WORKDIR/skipped.jsonl; without --config.train.check_nans the run would skip it"
        )


def first_nonfinite(found: Search) -> str:
    """A weight, else a module's output, the loss, or a gradient of the backward pass."""
    if found.weights:
        return f"{found.weights[0]}: the weights themselves"
    if found.outputs:
        first = found.outputs[0]
        return f"{first}: activations" if first != LOSS else "the loss: labels or their weights"
    if found.gradients:
        return f"{found.gradients[0]}: gradient"
    return "nothing: computed again, the same batch is finite everywhere, so look at the machine"


def jit_search(program: Program) -> Callable[[int, Params, Batch], Search]:
    """The function (step, params, batch) -> Search, which computes a batch as that step, counted from 1, did.

    With the same chunks, dropout and devices. Only the clipping of pieces is left out: it would spread what is not
    finite.
    """
    mesh, shardings, objective = program.mesh, program.shardings["params"], program.objective
    # Without remat, under which what a module computes does not get out.
    model = objective.model(program.model.dtype.name, "none", by_sequence=by_sequence(mesh))
    names: list[str] = []
    loss = functools.partial(_watched_loss, objective, model, names)
    options = dataclasses.replace(program.options, clip=optax.identity())
    gradient = batch_gradient(loss, objective, model, shardings, options, program.frozen)
    layout = shardings, batch_sharding(mesh)

    @functools.partial(
        jax.jit,
        in_shardings=(*layout, replicated(mesh), *(each.shardings for each in program.frozen)),
        out_shardings=replicated(mesh),
        compiler_options=COMPILER_OPTIONS.get(mesh.devices.flat[0].platform),
    )
    def compute(params: Params, batch: Batch, steps_before: jax.Array, *frozen: Params) -> tuple[Sums, Any, Any]:
        key = jax.random.fold_in(program.dropout_key, steps_before)
        gradients, sums = gradient(params, batch, key, *frozen)
        squares = jax.tree.map(lambda leaf: jnp.square(leaf.astype(jnp.float32)).sum(), gradients)
        return sums, jax.tree.map(lambda leaf: jnp.isfinite(leaf).all(), params), jax.tree.map(jnp.isfinite, squares)

    def search(step: int, params: Params, batch: Batch) -> Search:
        with jax.set_mesh(mesh):
            found = compute(*jax.device_put((params, batch), layout), np.int32(step - 1), *program.frozen_params)
        sums, weights, gradients = jax.device_get(found)
        return Search(
            sums={name: float(value) for name, value in sums.items() if not name.startswith(_NONFINITE)},
            weights=_not_finite(weights),
            outputs=[name for name in names if sums[_NONFINITE + name]],
            gradients=_in_backward_order(_not_finite(gradients), names),
        )

    return search


def _watched_loss(
    objective: Objective,
    model: Model,
    names: list[str],
    params: Params,
    batch: Batch,
    weights: Sums,
    keys: jax.Array,
) -> tuple[jax.Array, Sums]:
    """chunk_loss, with what is not finite among its sums, by name; `names` gets the order of computation."""
    outputs: dict[str, jax.Array] = {}

    def watched_module(params: Params) -> Any:
        module: Any = model.module(params)

        def call(*inputs: Any, **named: Any) -> Any:
            with _watched(module, outputs):
                return module(*inputs, **named)

        return call

    value, sums = chunk_loss(objective, dataclasses.replace(model, module=watched_module), params, batch, weights, keys)
    outputs[LOSS] = jnp.isfinite(value)
    names[:] = outputs
    return value, sums | {_NONFINITE + name: 1.0 - finite.astype(jnp.float32) for name, finite in outputs.items()}


@contextlib.contextmanager
def _watched(model: nnx.Module, outputs: dict[str, jax.Array]) -> Iterator[None]:
    """Within it, every call of a module of `model` adds its path and whether its output is finite to `outputs`."""
    paths = {id(module): "/".join(map(str, path)) for path, module in nnx.iter_modules(model)}

    def watch(call: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(call)
        def watched(self: nnx.Module, *args: Any, **kwargs: Any) -> Any:
            output = call(self, *args, **kwargs)
            leaves = [leaf for leaf in jax.tree.leaves(output) if jnp.issubdtype(leaf.dtype, jnp.floating)]
            if leaves:
                finite = jnp.stack([jnp.isfinite(leaf).all() for leaf in leaves]).all()
                outputs[paths.get(id(self)) or "the model"] = finite
            return output

        return watched

    calls: dict[Any, Any] = {kind: kind.__call__ for kind in {type(module) for _, module in nnx.iter_modules(model)}}
    try:
        for kind, call in calls.items():
            kind.__call__ = watch(call)
        yield
    finally:
        for kind, call in calls.items():
            kind.__call__ = call


def _not_finite(tree: Any) -> list[str]:
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return [_path(path) for path, finite in leaves if not finite]


def _in_backward_order(names: list[str], modules: list[str]) -> list[str]:
    """The parameters with a non-finite gradient, that of the module which was called last first."""
    behind = list(reversed(modules))

    def calls_after(name: str) -> int:
        within = [number for number, module in enumerate(behind) if name.startswith(f"{module}/")]
        return min(within, default=len(behind))

    return sorted(names, key=calls_after)


def _path(path: tuple[Any, ...]) -> str:
    return "/".join(str(getattr(entry, "key", entry)) for entry in path)
