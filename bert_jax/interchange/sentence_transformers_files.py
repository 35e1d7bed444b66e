"""The files of a sentence-transformers directory that say how its vectors are made and used, beside those of the model.

Releases before and since 5 differ in them; both are read, and those before are written.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, TypeVar

from etils import epath
from msgspec import Meta

from bert_jax.storage.json_file import read_json, write_json

_REMEDY = "fix or remove it"
# In tokenizer_config.json stands the length since release 5.
_MODULES, _LENGTH, _POOLING = "modules.json", "sentence_bert_config.json", "1_Pooling/config.json"
_TOKENIZER, USAGE = "tokenizer_config.json", "config_sentence_transformers.json"
_MODE = "pooling_mode"  # since release 5 one or several of these names, before a yes or no for each
_MODES = {  # since release 5 -> before
    "cls": "cls_token",
    "max": "max_tokens",
    "mean": "mean_tokens",
    "mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "weightedmean": "weightedmean_tokens",
    "lasttoken": "lasttoken",
}
_PACKAGE = "sentence_transformers.models"
_POOLS_PROMPT = "include_prompt"
Schema = TypeVar("Schema")


@dataclasses.dataclass(frozen=True)
class Usage:
    """config_sentence_transformers.json: what is put before texts, and how vectors are compared."""

    prompts: dict[str, str] = dataclasses.field(default_factory=dict)
    default_prompt_name: str | None = None
    similarity_fn_name: str | None = None


@dataclasses.dataclass(frozen=True)
class SentenceBert:
    """sentence_bert_config.json of a sentence-transformers directory."""

    max_seq_length: Annotated[int, Meta(ge=1)] | None = None
    do_lower_case: bool = False  # before the tokenizer


@dataclasses.dataclass(frozen=True)
class _TokenizerConfig:
    """tokenizer_config.json."""

    model_max_length: Annotated[float, Meta(ge=1)] | None = None  # 1e30 where there is none


@dataclasses.dataclass(frozen=True)
class Module:
    """One of modules.json."""

    type: str
    path: str = ""  # where its settings are

    @property
    def name(self) -> str:
        """Of its class."""
        return self.type.rpartition(".")[2]


@dataclasses.dataclass(frozen=True)
class SentenceTransformersFiles:
    """What the files of a model say, each read once; defaults for those that are missing."""

    modules: Sequence[Module]  # what makes its vectors
    sentence_bert: SentenceBert  # the length of a text
    usage: Usage
    pooling_file: epath.Path  # where it says how it pools, if it does
    pooling: tuple[str, ...]  # how, by the names of release 5 where they have one
    pools_prompt: bool  # whether a prompt's tokens are pooled, too

    @property
    def normalizes(self) -> bool:
        """Whether its vectors have length 1."""
        return any(module.name == "Normalize" for module in self.modules)


def read_files(model: epath.Path) -> SentenceTransformersFiles:
    """UserError if one is damaged."""
    modules = _read_if_there(model / _MODULES, list[Module]) or []
    file = _pooling_file(model, modules)
    pooling = _read_if_there(file, dict[str, Any]) or {}
    return SentenceTransformersFiles(
        modules,
        _read_if_there(model / _LENGTH, SentenceBert) or SentenceBert(),
        _read_if_there(model / USAGE, Usage) or Usage(),
        file,
        _modes_of(pooling),
        pooling.get(_POOLS_PROMPT) is not False,
    )


def read_tokenizer_length(model: epath.Path) -> int | None:
    """Tokens of a text at most by tokenizer_config.json, if it says so."""
    said = _read_if_there(model / _TOKENIZER, _TokenizerConfig)
    most = said.model_max_length if said else None
    return int(most) if most is not None and most < 1e9 else None


def _pooling_file(model: epath.Path, modules: Sequence[Module]) -> epath.Path:
    folders = [module.path.rstrip("/") for module in modules if module.name == "Pooling"]
    inside = [folder for folder in folders if folder and epath.Path(folder).name == folder]
    return model / inside[0] / "config.json" if inside else model / _POOLING


def _modes_of(pooling: Mapping[str, Any]) -> tuple[str, ...]:
    newer = pooling.get(_MODE)
    if isinstance(newer, (str, list)):
        return (newer,) if isinstance(newer, str) else tuple(map(str, newer))
    names = {f"{_MODE}_{older}": name for name, older in _MODES.items()}
    modes = [name for name, value in pooling.items() if name.startswith(f"{_MODE}_") and value is True]
    return tuple(names.get(name, name.removeprefix(f"{_MODE}_")) for name in modes)


def _read_if_there(path: epath.Path, schema: type[Schema]) -> Schema | None:
    return read_json(path, schema, _REMEDY) if path.exists() else None


def write_length(directory: epath.Path, max_length: int, **others: Any) -> None:
    """Write how many tokens of a text are read at most, and what else is to be in that file."""
    write_json(directory / _LENGTH, {"max_seq_length": max_length, **others})


def write_modules(directory: epath.Path, normalized: bool) -> None:
    """Write what makes vectors: the model, pooling and, where they have length 1, that."""
    names = ["Transformer", "Pooling", *(["Normalize"] if normalized else [])]
    modules = [
        {"idx": place, "name": str(place), "path": f"{place}_{name}" if place else "", "type": f"{_PACKAGE}.{name}"}
        for place, name in enumerate(names)
    ]
    write_json(directory / _MODULES, modules)


def write_pooling(directory: epath.Path, chosen: Sequence[str], pools_prompt: bool, hidden_size: int) -> None:
    """Write how vectors of this width are made of tokens' states, by the names of release 5."""
    modes = {f"{_MODE}_{_MODES.get(name, name)}": name in chosen for name in [*_MODES, *chosen]}
    content = {"word_embedding_dimension": hidden_size, **modes}
    write_json(directory / _POOLING, content if pools_prompt else content | {_POOLS_PROMPT: False})


def write_usage(directory: epath.Path, usage: Usage) -> None:
    """Write what stands before texts there, and how vectors are compared."""
    write_json(directory / USAGE, usage)
