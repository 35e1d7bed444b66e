"""Our parameters under another framework's names, and back: the engine for every family of models.

A family's file (bert_names.py) has its names and nothing else; shapes are those of the model's own parameters. Works on
arrays by name: files and settings are the business of those who read and write them.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from bert_jax.config import ModelConfig
from bert_jax.errors import UserError
from bert_jax.model.functional import Model, Params, flatten
from bert_jax.model.pretraining import pretraining_model


class Module(NamedTuple):
    """One module here and there; "{}" in both is the number of a layer."""

    ours: str  # its path, say "encoder/layer_{}/output"
    theirs: str
    leaves: Mapping[str, str]  # the last part of a path -> theirs; ".T" at its end: the array lies transposed there


@dataclasses.dataclass(frozen=True)
class Names:
    """What one framework calls the parameters of a family, and in which ways its files depart from that."""

    family: str  # as messages call it
    modules: Sequence[Module]  # those that a model of the family lacks, such as a head, are left out
    separator: str  # between the parts of a name
    encoder: str  # every name of the encoder begins with this
    layer: str  # every name of a layer begins with this, {} being its number
    optional: tuple[str, ...]  # beginnings of our paths: what a file may lack, each as a whole
    older: Mapping[str, str] = dataclasses.field(default_factory=dict)  # part of an older release's name -> today's
    top_modules: tuple[str, ...] = ()  # the encoder's modules, as a file of the encoder alone has them at the top
    heads: str = "its pretraining heads"  # as messages call them
    buffers: tuple[str, ...] = ()  # arrays of older releases that are no parameters
    tied: Mapping[str, str] = dataclasses.field(default_factory=dict)  # a second name of a parameter -> the first


@dataclasses.dataclass(frozen=True)
class Parameter:
    """One parameter here and there."""

    path: str  # ours, say "encoder/layer_0/attention/query/kernel"
    name: str  # theirs
    shape: tuple[int, ...]  # ours
    transposed: bool  # whether it lies there the other way round

    @property
    def their_shape(self) -> tuple[int, ...]:
        """The shape under which the other framework knows it."""
        return self.shape[::-1] if self.transposed else self.shape

    def to_theirs(self, array: np.ndarray) -> np.ndarray:
        """Our array as it lies there."""
        return np.ascontiguousarray(array.T) if self.transposed else array

    def to_ours(self, array: np.ndarray) -> np.ndarray:
        """Their array as it lies here."""
        return np.ascontiguousarray(array.T if self.transposed else array)


EVERYTHING = ("",)  # every path begins so
ModelOf = Callable[[ModelConfig], Model]


def parameters(
    names: Names, config: ModelConfig, parts: tuple[str, ...] = EVERYTHING, model_of: ModelOf = pretraining_model
) -> list[Parameter]:
    """Every parameter of the model that `model_of` makes of `config`, once; takes time for its layers, not its sizes.

    Of `parts` only, beginnings of our paths. `config` may be from somebody's file, its number of layers checked against
    the arrays that are there.
    """
    # One layer has the shapes of all. To trace the initializers of each takes a minute for the thousand layers that a
    # small file can claim.
    groups = min(config.num_hidden_groups, 1)
    one_layer = model_of(dataclasses.replace(config, num_hidden_layers=1, num_hidden_groups=groups)).abstract_params
    shapes = {path: tuple(leaf.shape) for path, leaf in flatten(one_layer).items()}
    return [
        Parameter(path.format(number), name.format(number), shapes[path.format(0)], transposed)
        for path, name, transposed in _templates(names)
        if path.format(0) in shapes and path.startswith(parts)
        for number in range(config.distinct_layers if "{}" in path else 1)
    ]


def has_module(names: Names, ours: str) -> bool:
    """Whether models of the family may have this module of ours."""
    return any(module.ours == ours for module in names.modules)


def first_names(names: Names) -> dict[str, str]:
    """Our path -> their name; of the layers, those of the first."""
    return {path.format(0): name.format(0) for path, name, _ in _templates(names)}


def _templates(names: Names) -> Iterator[tuple[str, str, bool]]:
    """Path here and name there, with {} for a layer's number, and whether the array lies transposed there."""
    for ours, theirs, leaves in names.modules:
        for leaf, their_leaf in leaves.items():
            name = names.separator.join(filter(None, (theirs, their_leaf.removesuffix(".T"))))
            yield f"{ours}/{leaf}", name, their_leaf.endswith(".T")


def to_theirs(
    params: Params, names: Names, config: ModelConfig, model_of: ModelOf = pretraining_model
) -> dict[str, np.ndarray]:
    """All of `params` (nested dict of host arrays) by their names and in their shapes; dtypes as they are.

    Raises:
      UserError: a parameter is not the family's, is missing, or has another shape than `config` says.
    """
    table, arrays = parameters(names, config, model_of=model_of), flatten(params)
    check({param.path: param.shape for param in table}, arrays, names, "the parameters")
    return {param.name: param.to_theirs(np.asarray(arrays[param.path])) for param in table}


def check(wanted: Mapping[str, tuple[int, ...]], arrays: Mapping[str, Any], names: Names, source: str) -> None:
    """Raise UserError naming the first of `arrays`, which have a shape, that is missing, not wanted, or of another."""
    for name in [*wanted, *arrays]:
        if name not in wanted:
            raise UserError(
                f"{source}: {name} is no part of {names.family} with {names.heads}; give weights without it"
            )
        if name not in arrays:
            raise UserError(f"{source}: {name} is missing; give the weights of a whole model")
        if tuple(arrays[name].shape) != wanted[name]:
            raise UserError(
                f"{source}: {name} has shape {tuple(arrays[name].shape)} and the config says {wanted[name]}; "
                "give the config that the weights were made with"
            )
