"""The one table between our parameters and theirs: Hugging Face's BertForPreTraining and the original's TensorFlow.

Works on NumPy arrays by name; files and settings are the business of huggingface.py. What is said of a shape here is
how the array lies there; our own shapes are declared in bert_jax/model, and a test holds the two together.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import numpy as np

from bert_jax.config import ModelConfig
from bert_jax.errors import UserError

Framework = Literal["huggingface", "tensorflow"]
Params = dict[str, Any]

# The last part of a name: ours -> {framework: theirs}. A trailing ".T" means: it lies transposed there.
DENSE = {
    "kernel": {"huggingface": "weight.T", "tensorflow": "kernel"},
    "bias": {"huggingface": "bias", "tensorflow": "bias"},
}
NORM = {
    "scale": {"huggingface": "weight", "tensorflow": "gamma"},
    "bias": {"huggingface": "bias", "tensorflow": "beta"},
}
TABLE = {"embedding": {"huggingface": "weight", "tensorflow": ""}}
MASKED_LM = {"output_bias": {"huggingface": "bias", "tensorflow": "output_bias"}}
NEXT_SENTENCE = {
    "kernel": {"huggingface": "weight.T", "tensorflow": "output_weights.T"},
    "bias": {"huggingface": "bias", "tensorflow": "output_bias"},
}

# (our module, Hugging Face's, its axes, the table of its leaves). Kernels and embeddings have all axes, others the
# last. The original's variable scopes are Hugging Face's modules, written with "/" and "layer_0".
EMBEDDINGS = [
    ("encoder/embeddings/word", "bert.embeddings.word_embeddings", ("vocab", "hidden"), TABLE),
    ("encoder/embeddings/position", "bert.embeddings.position_embeddings", ("position", "hidden"), TABLE),
    ("encoder/embeddings/token_type", "bert.embeddings.token_type_embeddings", ("token_type", "hidden"), TABLE),
    ("encoder/embeddings/norm", "bert.embeddings.LayerNorm", ("hidden",), NORM),
]
LAYER = [
    ("attention/query", "attention.self.query", ("hidden", "hidden"), DENSE),
    ("attention/key", "attention.self.key", ("hidden", "hidden"), DENSE),
    ("attention/value", "attention.self.value", ("hidden", "hidden"), DENSE),
    ("attention/output", "attention.output.dense", ("hidden", "hidden"), DENSE),
    ("attention_norm", "attention.output.LayerNorm", ("hidden",), NORM),
    ("intermediate", "intermediate.dense", ("hidden", "mlp"), DENSE),
    ("output", "output.dense", ("mlp", "hidden"), DENSE),
    ("output_norm", "output.LayerNorm", ("hidden",), NORM),
]
POOLER_AND_HEADS = [
    ("encoder/pooler", "bert.pooler.dense", ("hidden", "hidden"), DENSE),
    ("masked_lm/transform", "cls.predictions.transform.dense", ("hidden", "hidden"), DENSE),
    ("masked_lm/norm", "cls.predictions.transform.LayerNorm", ("hidden",), NORM),
    ("masked_lm", "cls.predictions", ("vocab",), MASKED_LM),
    ("next_sentence", "cls.seq_relationship", ("hidden", "label"), NEXT_SENTENCE),
]


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


def parameters(config: ModelConfig, framework: Framework) -> list[Parameter]:
    """Every parameter of the pretraining model of `config`, once."""
    sizes = _sizes(config)
    found = []
    for ours, theirs, axes, leaves in _modules(config.num_hidden_layers):
        scope = theirs if framework == "huggingface" else theirs.replace("layer.", "layer_").replace(".", "/")
        for leaf, names in leaves.items():
            leaf_axes = axes if leaf in ("kernel", "embedding") else axes[-1:]
            name = ("." if framework == "huggingface" else "/").join(filter(None, (scope, names[framework])))
            found.append(
                Parameter(
                    path=f"{ours}/{leaf}",
                    name=name.removesuffix(".T"),
                    shape=tuple(sizes[axis] for axis in leaf_axes),
                    transposed=name.endswith(".T"),
                )
            )
    return found


def _modules(num_layers: int) -> Iterator[tuple[str, str, tuple[str, ...], dict[str, dict[str, str]]]]:
    yield from EMBEDDINGS
    for number in range(num_layers):
        for ours, theirs, axes, leaves in LAYER:
            yield f"encoder/layer_{number}/{ours}", f"bert.encoder.layer.{number}.{theirs}", axes, leaves
    yield from POOLER_AND_HEADS


def _sizes(config: ModelConfig) -> dict[str, int]:
    return {
        "vocab": config.vocab_size,
        "position": config.max_position_embeddings,
        "token_type": config.type_vocab_size,
        "hidden": config.hidden_size,
        "mlp": config.intermediate_size,
        "label": 2,
    }


def to_theirs(params: Params, config: ModelConfig, framework: Framework) -> dict[str, np.ndarray]:
    """All of `params` (nested dict of host arrays) by the framework's names and in its shapes; dtypes as they are.

    Raises:
      UserError: a parameter is not the table's, is missing, or has another shape than `config` says.
    """
    table, arrays = parameters(config, framework), flatten(params)
    check_shapes({param.path: param.shape for param in table}, arrays, "the parameters")
    return {param.name: param.to_theirs(np.asarray(arrays[param.path])) for param in table}


def to_ours(arrays: Mapping[str, np.ndarray], config: ModelConfig, framework: Framework, source: str) -> Params:
    """The nested dict of parameters from the framework's arrays by name, each of which is used exactly once.

    Raises:
      UserError: an array is none of ours, is missing, or has another shape than `config` says; names it and `source`.
    """
    table = parameters(config, framework)
    check_shapes({param.name: param.their_shape for param in table}, arrays, source)
    return nest({param.path: param.to_ours(arrays[param.name]) for param in table})


def check_shapes(wanted: Mapping[str, tuple[int, ...]], arrays: Mapping[str, Any], source: str) -> None:
    """Raise UserError naming the first of `arrays`, which have a shape, that is missing, not wanted, or of another."""
    for name in [*wanted, *arrays]:
        if name not in wanted:
            raise UserError(f"{source}: {name} is no part of BERT with its pretraining heads; give weights without it")
        if name not in arrays:
            raise UserError(f"{source}: {name} is missing; give the weights of a whole model")
        if tuple(arrays[name].shape) != wanted[name]:
            raise UserError(
                f"{source}: {name} has shape {tuple(arrays[name].shape)} and the config says {wanted[name]}; "
                "give the config that the weights were made with"
            )


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
