"""How a model was trained to be used, where it says so: its length and its vectors, which flags may change."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from absl import logging
from etils import epath
from msgspec import Meta

from bert_jax.config.finetuning import TextPooling
from bert_jax.storage.json_file import read_json
from bert_jax.storage.whole_file import replace_text
from bert_jax.text.tokenizer import has_vocabulary, load_tokenizer
from bert_jax.workdir import fine_tuned

_REMEDY = "mend or remove it"
# Of a sentence-transformers directory; in the last one stands the length since its release 5.
_MODULES, _LENGTH, _POOLING = "modules.json", "sentence_bert_config.json", "1_Pooling/config.json"
_TOKENIZER, _PROMPTS = "tokenizer_config.json", "config_sentence_transformers.json"
_MODE = "pooling_mode"  # since release 5 one or several of the names of TextPooling, before a yes or no for each
MODES: Mapping[TextPooling, str] = {"mean": "mean_tokens", "cls": "cls_token", "max": "max_tokens"}  # their names there
_PACKAGE = "sentence_transformers.models"
_COMPUTED = ("Transformer", "Pooling", "Normalize", "Dropout")  # the last does nothing but in training


@dataclasses.dataclass(frozen=True)
class OwnSettings:
    """None: the model does not say."""

    max_length: int | None = None  # tokens of a text, special ones included
    pooling: TextPooling | None = None  # of model/tasks.py's POOLINGS
    normalized: bool = False  # its vectors have length 1
    not_computed: tuple[str, ...] = dataclasses.field(default=(), compare=False)  # here, of what makes its vectors

    def __str__(self) -> str:
        """For people."""
        said = (self.pooling, f"pooling {self.pooling}"), (self.max_length, f"at most {self.max_length} tokens a text")
        return ", ".join(text for value, text in (*said, (self.normalized, "vectors of length 1")) if value)

    def length(self, most: int) -> int:
        """Tokens of a text where nothing else is asked for, by a model that reads at most so many."""
        return min(self.max_length or most, most)


NOTHING_SAID = OwnSettings()


@dataclasses.dataclass(frozen=True)
class _SentenceBert:
    """sentence_bert_config.json of a sentence-transformers directory."""

    max_seq_length: Annotated[int, Meta(ge=1)] | None = None
    do_lower_case: bool = False  # before the tokenizer


@dataclasses.dataclass(frozen=True)
class _TokenizerConfig:
    """tokenizer_config.json."""

    model_max_length: Annotated[float, Meta(ge=1)] | None = None  # 1e30 where there is none


@dataclasses.dataclass(frozen=True)
class _Prompts:
    """config_sentence_transformers.json."""

    prompts: dict[str, str] = dataclasses.field(default_factory=dict)
    default_prompt_name: str | None = None

    @property
    def default(self) -> str:
        """What stands before each text."""
        return self.prompts.get(self.default_prompt_name or "", "")


@dataclasses.dataclass(frozen=True)
class _Module:
    """One of modules.json."""

    type: str
    path: str = ""  # where its settings are

    @property
    def name(self) -> str:
        """Of its class."""
        return self.type.rpartition(".")[2]


def own_settings(model: epath.PathLike) -> OwnSettings:
    """Those of a fine-tuned workdir or a sentence-transformers directory; UserError if its files are damaged."""
    model = epath.Path(model)
    if fine_tuned.is_fine_tuned(model):
        described = fine_tuned.read_description(model)
        return OwnSettings(described.text.max_length or None, described.settings.get("pooling"))
    modules = _modules(model)
    names, pooling_file = [module.name for module in modules], _pooling_file(model, modules)
    modes = _pooling_modes(pooling_file)
    kinds = [kind for kind in MODES if modes == [kind]]
    pooling = kinds[0] if kinds else None
    others = [name for name in names if name not in _COMPUTED]
    others += (
        [f"pooling by {pooling_file}, which is missing,"] if "Pooling" in names and not pooling_file.exists() else []
    )
    sentence_bert = _sentence_bert(model)
    others += ["lower case (do_lower_case)"] if _lowers_more_than_tokenizer(model, sentence_bert) else []
    others += [] if pooling or not modes else [f"pooling by {' and '.join(modes)}"]
    own = OwnSettings(_own_length(model, sentence_bert, bool(modules)), pooling, "Normalize" in names, tuple(others))
    if own != NOTHING_SAID:
        logging.info("%s says of itself: %s", model, own)
    if others:
        logging.warning("%s: %s is not computed here: vectors are others than its own", model, " and ".join(others))
    _tell_prompt(model)
    return own


def _own_length(model: epath.Path, said: _SentenceBert, has_modules: bool) -> int | None:
    """The tokenizer's own where the directory is of a newer sentence-transformers, which writes no other."""
    length, beside = said.max_seq_length, model / _TOKENIZER
    if length is None and has_modules and beside.exists():
        most = read_json(beside, _TokenizerConfig, _REMEDY).model_max_length
        return int(most) if most is not None and most < 1e9 else None
    return length


def _sentence_bert(model: epath.Path) -> _SentenceBert:
    path = model / _LENGTH
    return read_json(path, _SentenceBert, _REMEDY) if path.exists() else _SentenceBert()


def _lowers_more_than_tokenizer(model: epath.Path, said: _SentenceBert) -> bool:
    """Whether texts are to be lower-cased that the tokenizer leaves as they are."""
    return said.do_lower_case and has_vocabulary(model) and not load_tokenizer(model).lowercase


def _pooling_file(model: epath.Path, modules: Sequence[_Module]) -> epath.Path:
    """Where it says how it pools, if it does."""
    folders = [module.path.rstrip("/") for module in modules if module.name == "Pooling"]
    inside = [folder for folder in folders if folder and epath.Path(folder).name == folder]
    return model / inside[0] / "config.json" if inside else model / _POOLING


def _pooling_modes(path: epath.Path) -> list[str]:
    """By the names of TextPooling, where they have one."""
    content = read_json(path, dict[str, Any], _REMEDY) if path.exists() else {}
    newer = content.get(_MODE)
    if isinstance(newer, (str, list)):
        return [newer] if isinstance(newer, str) else list(map(str, newer))
    names = {f"{_MODE}_{mode}": kind for kind, mode in MODES.items()}
    modes = [name for name, value in content.items() if name.startswith(f"{_MODE}_") and value is True]
    return [names.get(name, name.removeprefix(f"{_MODE}_")) for name in modes]


def _modules(model: epath.Path) -> list[_Module]:
    """What makes its vectors."""
    path = model / _MODULES
    return read_json(path, list[_Module], _REMEDY) if path.exists() else []


def _tell_prompt(model: epath.Path) -> None:
    path = model / _PROMPTS
    if path.exists() and (prompt := read_json(path, _Prompts, _REMEDY).default):
        logging.warning("%s: its prompt %r stands before each text there; here put it into the texts", path, prompt)


def write_own_settings(directory: epath.Path, own: OwnSettings, hidden_size: int) -> None:
    """Put what `own_settings` reads beside the files of a model of this width in `directory`."""
    if own.max_length is not None:
        replace_text(directory / _LENGTH, json.dumps({"max_seq_length": own.max_length}) + "\n")
    normalizes = own.normalized and not own.not_computed  # modules.json would be of all that makes its vectors
    if normalizes:
        replace_text(directory / _MODULES, json.dumps(modules_of(normalized=True), indent=2) + "\n")
    if own.pooling is not None or normalizes:
        modes = {f"{_MODE}_{name}": kind == (own.pooling or "mean") for kind, name in MODES.items()}
        (directory / _POOLING).parent.mkdir()
        replace_text(directory / _POOLING, json.dumps({"word_embedding_dimension": hidden_size, **modes}) + "\n")


def modules_of(normalized: bool) -> list[dict[str, Any]]:
    """The content of modules.json."""
    names = ["Transformer", "Pooling", *(["Normalize"] if normalized else [])]
    return [
        {"idx": place, "name": str(place), "path": f"{place}_{name}" if place else "", "type": f"{_PACKAGE}.{name}"}
        for place, name in enumerate(names)
    ]
