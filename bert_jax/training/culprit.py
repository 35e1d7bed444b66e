"""Which layer's numbers went bad: its batch is computed again, as the step did it, and every module looked at."""

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

from bert_jax.config import Config
from bert_jax.errors import UserError
from bert_jax.model.heads import PretrainingLogits
from bert_jax.parallel.axes import batch_sharding, replicated
from bert_jax.training.objective import Batch
from bert_jax.training.state import Model, Params, build_model
from bert_jax.training.step import COMPILER_OPTIONS, Sums, batch_gradient, dropout_key, piece_loss

LOSS = "loss"
_BAD = "bad: "  # before a name among the sums: in how many pieces of the batch it was not finite


@dataclasses.dataclass(frozen=True)
class Look:
    """What a step computes of its batch, and the names of what is not finite, in the order of computation."""

    sums: dict[str, float]
    weights: list[str]
    outputs: list[str]  # modules, then the loss
    gradients: list[str]  # in the order of the way back; also where a gradient's length is more than a float32


def stop_at_bad_numbers(config: Config, shardings: Params, step: int, params: Params, batch: Batch, sums: Sums) -> None:
    """Say where the numbers of `step`, counted from 1, went bad if its `sums` say that it was skipped.

    `params`, which lie as `shardings` say, are those it began with.

    Raises:
      UserError: it was.
    """
    if float(sums["skipped"]):
        found = culprit(search(config, shardings)(step, params, batch))
        raise UserError(
            f"step {step} gave no finite loss or gradient; the first to go bad: {found}. "
            "Its records are in WORKDIR/skipped.jsonl; without --config.train.check_nans the run would skip it"
        )


def culprit(found: Look) -> str:
    """The first that went bad: a weight, else a module's output, the loss, or a gradient on the way back."""
    if found.weights:
        return f"{found.weights[0]}: the weights themselves"
    if found.outputs:
        first = found.outputs[0]
        return f"{first}: activations" if first != LOSS else "the loss: labels or their weights"
    if found.gradients:
        return f"{found.gradients[0]}: gradient"
    return "nothing: computed again, the same batch is finite everywhere, so look at the machine"


def search(config: Config, shardings: Params) -> Callable[[int, Params, Batch], Look]:
    """The function (step, params, batch) -> Look, which computes a batch as that step, counted from 1, did.

    With the same pieces, dropout and devices; `shardings` are the parameters'. Only the clipping of pieces is left
    out: it would spread what is not finite.
    """
    mesh = jax.tree.leaves(shardings)[0].mesh
    platform = mesh.devices.flat[0].platform
    # Without remat, under which what a module computes does not get out.
    model = build_model(config.model, config.train.dtype, by_sequence=platform == "tpu")
    names: list[str] = []
    loss = functools.partial(_watched_loss, model, names)
    cuts, pieces = config.train.accumulation_steps, config.optimizer.clip_pieces
    gradient = batch_gradient(loss, model, shardings, cuts, pieces, optax.identity())
    key = dropout_key(config.train.seed, config.train.dropout_bits, platform)
    layout = shardings, batch_sharding(mesh)

    @functools.partial(
        jax.jit,
        in_shardings=(*layout, replicated(mesh)),
        out_shardings=replicated(mesh),
        compiler_options=COMPILER_OPTIONS.get(platform),
    )
    def compute(params: Params, batch: Batch, steps_before: jax.Array) -> tuple[Sums, Any, Any]:
        gradients, sums = gradient(params, batch, jax.random.fold_in(key, steps_before))
        squares = jax.tree.map(lambda leaf: jnp.square(leaf.astype(jnp.float32)).sum(), gradients)
        return sums, jax.tree.map(lambda leaf: jnp.isfinite(leaf).all(), params), jax.tree.map(jnp.isfinite, squares)

    def look(step: int, params: Params, batch: Batch) -> Look:
        with jax.set_mesh(mesh):
            found = compute(*jax.device_put((params, batch), layout), np.int32(step - 1))
        sums, weights, gradients = jax.device_get(found)
        return Look(
            sums={name: float(value) for name, value in sums.items() if not name.startswith(_BAD)},
            weights=_not_finite(weights),
            outputs=[name for name in names if sums[_BAD + name]],
            gradients=_on_the_way_back(_not_finite(gradients), names),
        )

    return look


def _watched_loss(
    model: Model, names: list[str], params: Params, batch: Batch, weights: Sums, keys: jax.Array
) -> tuple[jax.Array, Sums]:
    """piece_loss, with what is not finite among its sums, by name; `names` gets the order of computation."""
    outputs: dict[str, jax.Array] = {}

    def apply(params: Params, *inputs: Any) -> PretrainingLogits:
        network = model.network(params)
        with _watched(network, outputs):
            return network(*inputs)

    value, sums = piece_loss(apply, params, batch, weights, keys)
    outputs[LOSS] = jnp.isfinite(value)
    names[:] = outputs
    return value, sums | {_BAD + name: 1.0 - finite.astype(jnp.float32) for name, finite in outputs.items()}


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


def _on_the_way_back(spoilt: list[str], modules: list[str]) -> list[str]:
    """The parameters with a bad gradient, that of the module which was called last first."""
    behind = list(reversed(modules))

    def calls_after(name: str) -> int:
        within = [number for number, module in enumerate(behind) if name.startswith(f"{module}/")]
        return min(within, default=len(behind))

    return sorted(spoilt, key=calls_after)


def _path(path: tuple[Any, ...]) -> str:
    return "/".join(str(getattr(entry, "key", entry)) for entry in path)
