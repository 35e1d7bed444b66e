"""How a model was trained to be used, where it says so: its length and its vectors, which flags may change."""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from absl import logging
from etils import epath

from bert_jax.config.finetuning import TextPooling
from bert_jax.storage.json_file import read_json
from bert_jax.storage.whole_file import replace_text
from bert_jax.workdir import fine_tuned

_REMEDY = "mend or remove it"
# Of a sentence-transformers directory; in the last one stands the length since its release 5.
_MODULES, _LENGTH, _POOLING = "modules.json", "sentence_bert_config.json", "1_Pooling/config.json"
_TOKENIZER, _PROMPTS = "tokenizer_config.json", "config_sentence_transformers.json"
_MODE = "pooling_mode"  # since release 5 one or several of the names of TextPooling, before a yes or no for each
MODES: Mapping[TextPooling, str] = {"mean": "mean_tokens", "cls": "cls_token", "max": "max_tokens"}  # their names there
_COMPUTED = ("Transformer", "Pooling", "Normalize")


@dataclasses.dataclass(frozen=True)
class OwnSettings:
    """None: the model does not say."""

    max_length: int | None = None  # tokens of a text, special ones included
    pooling: TextPooling | None = None  # of model/tasks.py's POOLINGS
    normalized: bool = False  # its vectors have length 1

    def length(self, most: int) -> int:
        """Tokens of a text where nothing else is asked for, by a model that reads at most so many."""
        return min(self.max_length or most, most)


NOTHING_SAID = OwnSettings()


@dataclasses.dataclass(frozen=True)
class _SentenceBert:
    """sentence_bert_config.json of a sentence-transformers directory."""

    max_seq_length: int | None = None


@dataclasses.dataclass(frozen=True)
class _TokenizerConfig:
    """tokenizer_config.json."""

    model_max_length: float | None = None  # 1e30 where there is none


@dataclasses.dataclass(frozen=True)
class _Prompts:
    """config_sentence_transformers.json."""

    default_prompt_name: str | None = None


@dataclasses.dataclass(frozen=True)
class _Module:
    """One of modules.json."""

    type: str


def own_settings(model: epath.PathLike) -> OwnSettings:
    """Those of a fine-tuned workdir or a sentence-transformers directory; UserError if its files are damaged."""
    model = epath.Path(model)
    if fine_tuned.is_fine_tuned(model):
        described = fine_tuned.read_description(model)
        return OwnSettings(described.text.max_length or None, described.settings.get("pooling"))
    modules = _modules(model)
    _tell_prompt(model)
    own = OwnSettings(_own_length(model, bool(modules)), _own_pooling(model), "Normalize" in modules)
    if own != NOTHING_SAID:
        logging.info("%s says: pooling %s, at most %s tokens a text", model, own.pooling, own.max_length)
    return own


def _own_length(model: epath.Path, has_modules: bool) -> int | None:
    """The tokenizer's own where the directory is of a newer sentence-transformers, which writes no other."""
    path, beside = model / _LENGTH, model / _TOKENIZER
    length = read_json(path, _SentenceBert, _REMEDY).max_seq_length if path.exists() else None
    if length is None and has_modules and beside.exists():
        most = read_json(beside, _TokenizerConfig, _REMEDY).model_max_length
        return int(most) if most is not None and most < 1e9 else None
    return length


def _own_pooling(model: epath.Path) -> TextPooling | None:
    """None, with a warning, where it is none that is known here."""
    path = model / _POOLING
    if not path.exists():
        return None
    content = read_json(path, dict[str, Any], _REMEDY)
    modes = [name.removeprefix(f"{_MODE}_") for name, value in content.items() if value is True and _MODE in name]
    modes = [{mode: kind for kind, mode in MODES.items()}.get(mode, mode) for mode in modes]
    if isinstance(newer := content.get(_MODE), (str, list)):
        modes = [newer] if isinstance(newer, str) else newer
    found = [kind for kind in MODES if modes == [kind]]
    if modes and not found:
        logging.warning(
            "%s: pooling by %s is not known here: the mean is taken, unless another is asked for",
            path,
            " and ".join(map(str, modes)),
        )
    return found[0] if found else None


def _modules(model: epath.Path) -> list[str]:
    """What its vectors are made by; a warning names what is not computed here."""
    path = model / _MODULES
    names = [one.type.rpartition(".")[2] for one in read_json(path, list[_Module], _REMEDY)] if path.exists() else []
    for name in names:
        if name not in _COMPUTED:
            logging.warning("%s: its %s is not computed here: vectors are others than its own", path, name)
    return names


def _tell_prompt(model: epath.Path) -> None:
    path = model / _PROMPTS
    prompt = read_json(path, _Prompts, _REMEDY).default_prompt_name if path.exists() else None
    if prompt:
        logging.warning("%s: its prompt %r stands before each text there; here put it into the texts", path, prompt)


def write_own_settings(directory: epath.Path, own: OwnSettings) -> None:
    """Put what `own_settings` reads beside a model's files in `directory`."""
    if own.max_length is not None:
        replace_text(directory / _LENGTH, json.dumps({"max_seq_length": own.max_length}) + "\n")
    if own.pooling is not None:
        modes = {f"{_MODE}_{name}": kind == own.pooling for kind, name in MODES.items()}
        (directory / _POOLING).parent.mkdir()
        replace_text(directory / _POOLING, json.dumps(modes) + "\n")
