"""Which layer's numbers went bad: a batch is computed again, forward and backward, and every module is looked at."""

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from bert_jax.config import Config
from bert_jax.errors import UserError
from bert_jax.model.heads import PretrainingModel
from bert_jax.training.objective import Batch, batch_sums, batch_weights, loss_from_sums
from bert_jax.training.state import Params
from bert_jax.training.step import INPUTS, PACKED_INPUTS, dropout_key

Finite = dict[str, jax.Array]  # name -> whether all of it is finite, in the order of computation


def stop_at_bad_numbers(config: Config, step: int, params: Params, batch: Batch, skipped: float) -> None:
    """Say where the numbers of `step`, counted from 1, went bad if it was `skipped`; `params` are those it began with.

    Raises:
      UserError: it was.
    """
    if skipped:
        key = dropout_key(config.train.seed, config.train.dropout_bits, jax.local_devices()[0].platform)
        found = culprit(config, params, batch, jax.random.fold_in(key, step - 1))
        raise UserError(
            f"step {step} gave no finite loss or gradient; the first to go bad: {found}. "
            "Its records are in WORKDIR/skipped.jsonl; without --config.train.check_nans the run would skip it"
        )


def culprit(config: Config, params: Params, batch: Batch, key: jax.Array) -> str:
    """The first place, in the order of computation, where numbers are not finite; `key` is the step's dropout key.

    A weight, else a module's output on the way forward, else the loss, else a gradient on the way back.
    """
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        if not jnp.isfinite(leaf).all():
            return f"{_path(path)}: the weights themselves"
    cuts = config.train.accumulation_steps
    weights = batch_weights(batch)
    for number in range(cuts):  # the pieces of _accumulated in step.py, with their dropout
        piece = {name: array[number::cuts] for name, array in batch.items()}
        piece_key = jax.random.fold_in(key, number) if cuts > 1 else key
        forward, gradients = _look(config, params, piece, weights, piece_key)
        bad = next((name for name, finite in forward.items() if not finite), None)
        if bad:
            return f"{bad}: activations" if bad != "loss" else "the loss: labels or their weights"
        behind = [name for name, finite in reversed(forward.items()) if name != "loss"]
        spoilt = [name for name, finite in gradients.items() if not finite]
        if spoilt:
            return f"{_first_on_the_way_back(spoilt, behind)}: gradient"
    return "nothing: computed again, the same batch is finite everywhere, so look at the machine"


def _look(
    config: Config, params: Params, batch: Batch, weights: dict[str, jax.Array], key: jax.Array
) -> tuple[Finite, Finite]:
    """Of each module's output in the order in which they are ready, and then the loss; and of each gradient."""
    names: list[str] = []

    def loss(params: Params) -> tuple[jax.Array, list[jax.Array]]:
        model = nnx.merge(_graph(config), params)
        with _watched(model) as outputs:
            packed = (batch[name] for name in PACKED_INPUTS if name in batch)
            logits = model(*(batch[name] for name in INPUTS), key, *packed)
        value = loss_from_sums(batch_sums(logits, batch), weights)
        names[:] = [*(name for name, _ in outputs), "loss"]
        return value, [*(finite for _, finite in outputs), jnp.isfinite(value)]

    def step(params: Params) -> tuple[list[jax.Array], Any]:
        gradients, outputs = jax.grad(loss, has_aux=True)(params)
        return outputs, jax.tree.map(lambda leaf: jnp.isfinite(leaf).all(), gradients)

    outputs, gradients = jax.jit(step)(params)
    leaves = jax.tree_util.tree_leaves_with_path(gradients)
    return dict(zip(names, outputs, strict=True)), {_path(path): finite for path, finite in leaves}


def _graph(config: Config) -> Any:
    # Without remat, under which what a module computes does not get out.
    build = functools.partial(PretrainingModel, config.model, jnp.dtype(config.train.dtype))
    return nnx.split(nnx.eval_shape(lambda: build(nnx.Rngs(0))))[0]


@contextlib.contextmanager
def _watched(model: nnx.Module) -> Iterator[list[tuple[str, jax.Array]]]:
    """Within it, every call of a module of `model` adds its path and whether its output is finite to the list."""
    paths = {id(module): "/".join(map(str, path)) for path, module in nnx.iter_modules(model)}
    outputs: list[tuple[str, jax.Array]] = []

    def watch(call: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(call)
        def watched(self: nnx.Module, *args: Any, **kwargs: Any) -> Any:
            output = call(self, *args, **kwargs)
            leaves = [leaf for leaf in jax.tree.leaves(output) if jnp.issubdtype(leaf.dtype, jnp.floating)]
            if leaves:
                finite = jnp.stack([jnp.isfinite(leaf).all() for leaf in leaves]).all()
                outputs.append((paths.get(id(self)) or "the model", finite))
            return output

        return watched

    calls: dict[Any, Any] = {kind: kind.__call__ for kind in {type(module) for _, module in nnx.iter_modules(model)}}
    try:
        for kind, call in calls.items():
            kind.__call__ = watch(call)
        yield outputs
    finally:
        for kind, call in calls.items():
            kind.__call__ = call


def _first_on_the_way_back(spoilt: list[str], behind: list[str]) -> str:
    """Of the parameters with a bad gradient, that of the module which was called last."""

    def calls_after(name: str) -> int:
        within = [number for number, module in enumerate(behind) if name.startswith(f"{module}/")]
        return min(within, default=len(behind))

    return min(spoilt, key=calls_after)


def _path(path: tuple[Any, ...]) -> str:
    return "/".join(str(getattr(entry, "key", entry)) for entry in path)
