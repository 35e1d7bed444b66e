"""The training state {step, params, opt_state}: made sharded from the start, never whole on one device."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax.sharding import Mesh, NamedSharding

from bert_jax.config import ModelConfig
from bert_jax.model.heads import PretrainingLogits, PretrainingModel
from bert_jax.parallel.axes import constrain, over_data_too, parameter_sharding, replicated, without_data

Params = dict[str, Any]
State = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Model:
    """A model's shape without its weights: `apply(params, ...)` runs it, `init(key)` makes weights for it."""

    init: Callable[[jax.Array], Params]
    network: Callable[[Params], PretrainingModel]  # the module with these weights in it
    abstract_params: Params  # ShapeDtypeStructs
    axes: dict[tuple[str, ...], tuple[str, ...]]  # parameter path -> logical axes
    dtype: jnp.dtype  # of activations and matrix products

    def apply(self, params: Params, *inputs: Any) -> PretrainingLogits:
        """Logits of a batch's inputs (see PretrainingModel)."""
        return self.network(params)(*inputs)

    def multiplied(self, params: Params) -> Params:
        """The parameters in the dtype in which they are used: kernels and embeddings in `dtype`, vectors as they are.

        Cast once for the step: the layers find nothing left to cast, and a gradient has the dtype that it comes in.
        """

        def used(path: tuple[Any, ...], leaf: jax.Array) -> jax.Array:
            return leaf.astype(self.dtype) if path[-1].key in ("kernel", "embedding") else leaf

        return jax.tree_util.tree_map_with_path(used, params)


def build_model(config: ModelConfig, dtype: str = "float32", remat: str = "none", by_sequence: bool = False) -> Model:
    """The pretraining model as two pure functions over a plain nested dict of parameters.

    `by_sequence` changes no more than the shape of the layers' activations (model/encoder.py).
    """

    def build(key: jax.Array) -> PretrainingModel:
        return PretrainingModel(config, jnp.dtype(dtype), nnx.Rngs(key), remat, by_sequence)

    graph, variables = nnx.split(jax.eval_shape(build, jax.random.key(0)))
    axes = {tuple(map(str, path)): variable.get_metadata()["axes"] for path, variable in nnx.to_flat_state(variables)}

    def network(params: Params) -> PretrainingModel:
        # Shares of a weight that is cut over data, too, come together here: else the compiler may move activations.
        whole = jax.tree_util.tree_map_with_path(lambda path, leaf: constrain(leaf, *axes[_names(path)]), params)
        return nnx.merge(graph, whole)

    return Model(
        init=lambda key: nnx.to_pure_dict(nnx.state(build(key))),
        network=network,
        abstract_params=nnx.to_pure_dict(variables),
        axes=axes,
        dtype=jnp.dtype(dtype),
    )


def _names(path: tuple[Any, ...]) -> tuple[str, ...]:
    return tuple(entry.key for entry in path)


def param_shardings(model: Model, mesh: Mesh, shard_over_data: bool = False) -> Params:
    """A tree like the parameters, of shardings; UserError where a dimension does not divide over the mesh."""

    def sharding(path: tuple[Any, ...], leaf: jax.ShapeDtypeStruct) -> NamedSharding:
        names = _names(path)
        whole = parameter_sharding(mesh, names, leaf.shape, model.axes[names])
        return over_data_too(mesh, whole, leaf.shape) if shard_over_data else whole

    return jax.tree_util.tree_map_with_path(sharding, model.abstract_params)


def state_shardings(model: Model, optimizer: optax.GradientTransformation, mesh: Mesh, shard_over_data: bool) -> State:
    """A tree like the state, of shardings. What the optimizer keeps for each parameter lies as the parameter does.

    With `shard_over_data` both are cut over the data axis too: each replica keeps and updates its share only.
    """
    params = param_shardings(model, mesh, shard_over_data)
    opt_state = optax.tree.map_params(
        optimizer,
        lambda _, sharding: sharding,
        jax.eval_shape(optimizer.init, model.abstract_params),
        params,
        transform_non_params=lambda _: replicated(mesh),
    )
    return {"step": replicated(mesh), "params": params, "opt_state": opt_state}


def abstract_state(model: Model, optimizer: optax.GradientTransformation, shardings: State) -> State:
    """The state's shapes, dtypes and shardings: what a checkpoint is restored into."""
    shapes = jax.eval_shape(lambda: _new_state(model, optimizer, jax.random.key(0)))
    return jax.tree.map(_with_sharding, shapes, shardings)


def abstract_params(model: Model, shardings: Params) -> Params:
    """The same of the parameters alone."""
    return jax.tree.map(_with_sharding, model.abstract_params, shardings)


def _with_sharding(leaf: jax.ShapeDtypeStruct, sharding: NamedSharding) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)


def init_state(model: Model, optimizer: optax.GradientTransformation, shardings: State, seed: int) -> State:
    """Fresh weights from `seed`, the same bits on any mesh; zeroed moments; step 0."""
    # Drawn as they lie without the data axis, then cut: where a compiler vectorises a narrow share otherwise than a
    # whole row, the last bit differs.
    uncut = jax.tree.map(without_data, shardings["params"])
    make = jax.jit(model.init, out_shardings=uncut)
    params = jax.device_put(make(jax.random.key(seed, impl="threefry2x32")), shardings["params"])
    return {
        "step": jax.device_put(np.int32(0), shardings["step"]),
        "params": params,
        "opt_state": jax.jit(optimizer.init, out_shardings=shardings["opt_state"])(params),
    }


def _new_state(model: Model, optimizer: optax.GradientTransformation, key: jax.Array) -> State:
    params = model.init(key)
    return {"step": jnp.zeros([], jnp.int32), "params": params, "opt_state": optimizer.init(params)}


def param_count(model: Model) -> int:
    """How many numbers the parameters are."""
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(model.abstract_params))


def memory_line(state: State) -> str:
    """For the log: how much of the parameters and of the optimizer state each device holds.

    `state` has shapes, dtypes and shardings: arrays, or what `abstract_state` gives.
    """
    told = []
    for name, tree in (("parameters", state["params"]), ("optimizer state", state["opt_state"])):
        leaves = jax.tree.leaves(tree)
        whole = sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in leaves)
        held = sum(math.prod(leaf.sharding.shard_shape(leaf.shape)) * leaf.dtype.itemsize for leaf in leaves)
        told.append(f"{held / 1e6:,.1f} of {whole / 1e6:,.1f} MB of {name} ({held / whole:.0%})")
    return f"each device holds {' and '.join(told)}"
