"""A model as pure functions over a plain nested dict of parameters: what training, prediction and export work with.

Modules are Flax NNX; what crosses a jit boundary or reaches a disk is the dict alone. Nothing here knows an optimizer.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.sharding import Mesh, NamedSharding, Sharding

from bert_jax.parallel.axes import constrain, over_data_too, parameter_sharding

Params = dict[str, Any]
Path = tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Model:
    """A model's shape without its weights: `apply(params, **inputs)` runs it, `init(key)` makes weights for it."""

    init: Callable[[jax.Array], Params]
    module: Callable[[Params], nnx.Module]  # the module with these weights in it
    abstract_params: Params  # ShapeDtypeStructs
    axes: dict[Path, tuple[str, ...]]  # path of a parameter -> its logical axes (parallel/axes.py)
    groups: dict[Path, str]  # path of a parameter -> the group under which norms are logged
    dtype: jnp.dtype  # of activations and matrix products

    def apply(self, params: Params, *inputs: Any, **named: Any) -> Any:
        """What the module's call gives for these inputs."""
        return self.module(params)(*inputs, **named)

    def compute_params(self, params: Params) -> Params:
        """The parameters in the dtype in which they are used: matrices and tables in `dtype`, vectors as they are.

        Cast once for the step: the layers find nothing left to cast, and a gradient has the dtype that it comes in.
        """

        def cast(path: tuple[Any, ...], leaf: jax.Array) -> jax.Array:
            return leaf.astype(self.dtype) if len(self.axes[path_of(path)]) > 1 else leaf

        return jax.tree_util.tree_map_with_path(cast, params)


def functional(build: Callable[[nnx.Rngs], nnx.Module], dtype: jnp.dtype, group: Callable[[Path], str]) -> Model:
    """The module that `build` makes, as pure functions. `dtype` is that of its activations; `group` gives groups."""

    def make(key: jax.Array) -> nnx.Module:
        rngs: Any = nnx.Rngs(key)
        rngs.default = _KeyStream(key, tag="default")
        return build(rngs)

    graph, variables = nnx.split(jax.eval_shape(make, jax.random.key(0)))
    axes = {tuple(map(str, path)): variable.get_metadata()["axes"] for path, variable in nnx.to_flat_state(variables)}

    def module(params: Params) -> nnx.Module:
        # Shards of a weight that is sharded over data, too, come together here: else the compiler may move activations.
        whole = jax.tree_util.tree_map_with_path(lambda path, leaf: constrain(leaf, *axes[path_of(path)]), params)
        return nnx.merge(graph, whole)

    return Model(
        init=lambda key: nnx.to_pure_dict(nnx.state(make(key))),
        module=module,
        abstract_params=nnx.to_pure_dict(variables),
        axes=axes,
        groups={path: group(path) for path in axes},
        dtype=dtype,
    )


class _KeyStream(nnx.RngStream):
    """Flax's own keys, one after the other, but counted in Python.

    Flax counts in a traced array, and compares its sharding at each key: building 50 layers takes ten times as long.
    """

    def __init__(self, key: jax.Array, *, tag: str) -> None:
        super().__init__(key, tag=tag)
        self.given = 0

    def __call__(self) -> jax.Array:
        self.given += 1
        return jax.random.fold_in(self.key[...], self.given - 1)


def without_gradient(model: Model, is_frozen: Callable[[Path], bool]) -> Model:
    """The model whose parameters at such paths get no gradient, which is not computed then."""

    def module(params: Params) -> nnx.Module:
        return model.module(jax.tree_util.tree_map_with_path(stopped, params))

    def stopped(entries: tuple[Any, ...], leaf: jax.Array) -> jax.Array:
        return jax.lax.stop_gradient(leaf) if is_frozen(path_of(entries)) else leaf

    return dataclasses.replace(model, module=module)


def path_of(entries: tuple[Any, ...]) -> Path:
    """The names of a tree path that JAX gives."""
    return tuple(entry.key for entry in entries)


def param_shardings(model: Model, mesh: Mesh, shard_over_data: bool = False) -> Params:
    """A tree like the parameters, of shardings; UserError where a dimension does not divide over the mesh."""

    def sharding(entries: tuple[Any, ...], leaf: jax.ShapeDtypeStruct) -> NamedSharding:
        path = path_of(entries)
        whole = parameter_sharding(mesh, path, leaf.shape, model.axes[path])
        return over_data_too(mesh, whole, leaf.shape) if shard_over_data else whole

    return jax.tree_util.tree_map_with_path(sharding, model.abstract_params)


def with_shardings(abstract: Any, shardings: Any) -> Any:
    """A tree of ShapeDtypeStructs with their shardings: what a checkpoint is restored into.

    `shardings` is a tree like `abstract`, or one sharding for all.
    """
    if isinstance(shardings, Sharding):
        return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=shardings), abstract)
    return jax.tree.map(
        lambda leaf, sharding: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding), abstract, shardings
    )


def param_count(model: Model) -> int:
    """How many numbers the parameters are."""
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(model.abstract_params))


def flatten(params: Params, prefix: str = "") -> dict[str, Any]:
    """{"a/b": array} of nested dicts."""
    flat = {}
    for key, value in params.items():
        path = f"{prefix}{key}"
        flat.update(flatten(value, f"{path}/") if isinstance(value, dict) else {path: value})
    return flat


def nest(arrays: Mapping[str, Any]) -> Params:
    """The nested dicts of {"a/b": array}."""
    params: Params = {}
    for path, array in arrays.items():
        *modules, leaf = path.split("/")
        inner = params
        for module in modules:
            inner = inner.setdefault(module, {})
        inner[leaf] = array
    return params
