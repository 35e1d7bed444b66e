"""How a model was trained to be used, where it says so: its length and its vectors, which flags may change."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, TypeVar, get_args

from absl import logging
from etils import epath
from msgspec import Meta

from bert_jax.config.finetuning import TextPooling
from bert_jax.storage.json_file import read_json, write_json
from bert_jax.text.tokenizer import has_vocabulary, load_tokenizer
from bert_jax.workdir import fine_tuned

_REMEDY = "fix or remove it"
# Of a sentence-transformers directory; in the last one stands the length since its release 5.
_MODULES, _LENGTH, _POOLING = "modules.json", "sentence_bert_config.json", "1_Pooling/config.json"
_TOKENIZER, _USAGE = "tokenizer_config.json", "config_sentence_transformers.json"
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
_COMPUTED = ("Transformer", "Pooling", "Normalize", "Dropout")  # the last does nothing but in training
Schema = TypeVar("Schema")


@dataclasses.dataclass(frozen=True)
class Usage:
    """config_sentence_transformers.json: what is put before texts, and how vectors are compared."""

    prompts: dict[str, str] = dataclasses.field(default_factory=dict)
    default_prompt_name: str | None = None
    similarity_fn_name: str | None = None


@dataclasses.dataclass(frozen=True)
class OwnSettings:
    """None: the model does not say."""

    max_length: int | None = None  # tokens of a text, special ones included
    pooling: TextPooling | None = None  # of model/tasks.py's POOLINGS
    normalized: bool = False  # its vectors have length 1
    # Not used here, and handed on to what is written of the model.
    usage: Usage = dataclasses.field(default=Usage(), compare=False)
    other_pooling: tuple[str, ...] = dataclasses.field(default=(), compare=False)  # where it is none of TextPooling
    pools_prompt: bool = dataclasses.field(default=True, compare=False)  # and not only the tokens behind it
    left_out: tuple[str, ...] = dataclasses.field(default=(), compare=False)  # of what makes its vectors: not handed on

    @property
    def not_computed(self) -> tuple[str, ...]:
        """Here, of what makes its vectors."""
        pooling = [f"pooling by {' and '.join(self.other_pooling)}"] if self.other_pooling else []
        return (*self.left_out, *pooling)

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
        return _of_fine_tuned(model)
    modules, sentence_bert = _modules(model), _sentence_bert(model)
    pooling_file = _pooling_file(model, modules)
    pooling = _read_if_there(pooling_file, dict[str, Any]) or {}
    modes = _modes(pooling)
    computed = [kind for kind in get_args(TextPooling) if modes == (kind,)]
    own = OwnSettings(
        _own_length(model, sentence_bert, bool(modules)),
        computed[0] if computed else None,
        _normalizes(modules),
        usage=_usage(model),
        other_pooling=() if computed else modes,
        pools_prompt=pooling.get(_POOLS_PROMPT) is not False,
        left_out=_left_out(model, modules, pooling_file, sentence_bert),
    )
    if own != NOTHING_SAID:
        logging.info("%s says of itself: %s", model, own)
    if own.not_computed:
        reason = " and ".join(own.not_computed)
        logging.warning("%s: %s is not computed here: vectors are others than its own", model, reason)
    _tell_prompts(model / _USAGE, own)
    return own


def _of_fine_tuned(workdir: epath.Path) -> OwnSettings:
    """What task.json says, and what was kept beside it (beside_task)."""
    described, modules = fine_tuned.read_description(workdir), _modules(workdir)
    length = _sentence_bert(workdir).max_seq_length or described.text.max_length  # the former where it was set anew
    pooling = _read_if_there(_pooling_file(workdir, modules), dict[str, Any]) or {}
    own = OwnSettings(
        length or None,
        described.settings.get("pooling"),
        _normalizes(modules),
        usage=_usage(workdir),
        pools_prompt=pooling.get(_POOLS_PROMPT) is not False,
    )
    _tell_prompts(workdir / _USAGE, own)
    return own


def beside_task(own: OwnSettings, pooling: TextPooling | None) -> OwnSettings:
    """What lies beside the task.json of a model that was fine-tuned, with this pooling, from one that says `own`.

    That file has pooling and length, and they are said once more only where a file has them beside something else.
    """
    kept = OwnSettings(normalized=own.normalized, usage=own.usage, pools_prompt=own.pools_prompt)
    is_more = kept.normalized or kept.usage != Usage() or not kept.pools_prompt
    return dataclasses.replace(kept, pooling=pooling) if is_more else NOTHING_SAID


def _normalizes(modules: Sequence[_Module]) -> bool:
    return any(module.name == "Normalize" for module in modules)


def _usage(model: epath.Path) -> Usage:
    return _read_if_there(model / _USAGE, Usage) or Usage()


def _left_out(
    model: epath.Path, modules: Sequence[_Module], pooling_file: epath.Path, said: _SentenceBert
) -> tuple[str, ...]:
    names = [module.name for module in modules]
    others = [name for name in names if name not in _COMPUTED]
    if "Pooling" in names and not pooling_file.exists():
        others.append(f"pooling by {pooling_file}, which is missing,")
    if _lowers_more_than_tokenizer(model, said):
        others.append("lower case (do_lower_case)")
    return tuple(others)


def _own_length(model: epath.Path, said: _SentenceBert, has_modules: bool) -> int | None:
    """The tokenizer's own where the directory is of a newer sentence-transformers, which writes no other."""
    length, beside = said.max_seq_length, model / _TOKENIZER
    if length is None and has_modules and beside.exists():
        most = read_json(beside, _TokenizerConfig, _REMEDY).model_max_length
        return int(most) if most is not None and most < 1e9 else None
    return length


def _sentence_bert(model: epath.Path) -> _SentenceBert:
    return _read_if_there(model / _LENGTH, _SentenceBert) or _SentenceBert()


def _read_if_there(path: epath.Path, schema: type[Schema]) -> Schema | None:
    return read_json(path, schema, _REMEDY) if path.exists() else None


def _lowers_more_than_tokenizer(model: epath.Path, said: _SentenceBert) -> bool:
    """Whether texts are to be lower-cased that the tokenizer leaves as they are."""
    return said.do_lower_case and has_vocabulary(model) and not load_tokenizer(model).lowercase


def _pooling_file(model: epath.Path, modules: Sequence[_Module]) -> epath.Path:
    """Where it says how it pools, if it does."""
    folders = [module.path.rstrip("/") for module in modules if module.name == "Pooling"]
    inside = [folder for folder in folders if folder and epath.Path(folder).name == folder]
    return model / inside[0] / "config.json" if inside else model / _POOLING


def _modes(pooling: Mapping[str, Any]) -> tuple[str, ...]:
    """By the names of release 5, where they have one; `pooling` is the file's content."""
    newer = pooling.get(_MODE)
    if isinstance(newer, (str, list)):
        return (newer,) if isinstance(newer, str) else tuple(map(str, newer))
    names = {f"{_MODE}_{older}": name for name, older in _MODES.items()}
    modes = [name for name, value in pooling.items() if name.startswith(f"{_MODE}_") and value is True]
    return tuple(names.get(name, name.removeprefix(f"{_MODE}_")) for name in modes)


def _modules(model: epath.Path) -> list[_Module]:
    """What makes its vectors."""
    return _read_if_there(model / _MODULES, list[_Module]) or []


def _tell_prompts(path: epath.Path, own: OwnSettings) -> None:
    """Log what would stand before texts there, which is for whoever calls us to put there."""
    default = own.usage.default_prompt_name or ""
    pooled = "" if own.pools_prompt else "; its tokens are part of the vector here, and not there"
    if prompt := own.usage.prompts.get(default):
        logging.warning(
            "%s: its prompt %r stands before each text there; here put it into the texts%s", path, prompt, pooled
        )
    if named := [name for name, prompt in own.usage.prompts.items() if prompt and name != default]:
        logging.info("%s has prompts (%s); here put the one you need into the texts%s", path, ", ".join(named), pooled)


def write_own_settings(directory: epath.Path, own: OwnSettings, hidden_size: int) -> None:
    """Put what `own_settings` reads beside the files of a model of this width in `directory`."""
    if own.max_length is not None:
        write_json(directory / _LENGTH, {"max_seq_length": own.max_length})
    if own.usage != Usage():
        write_json(directory / _USAGE, own.usage)
    is_whole = not own.left_out  # modules.json is of all that makes its vectors
    pools = own.pooling is not None or bool(own.other_pooling)
    if is_whole and (pools or own.normalized):  # without it sentence-transformers takes the mean, whatever the pooling
        write_json(directory / _MODULES, modules_of(own.normalized))
    if pools or (is_whole and own.normalized):
        write_pooling(directory, own, hidden_size)


def write_pooling(directory: epath.Path, own: OwnSettings, hidden_size: int) -> None:
    """Write how vectors of this width are made of tokens' states: by their mean where `own` does not say."""
    chosen = own.other_pooling or (own.pooling or "mean",)
    modes = {f"{_MODE}_{_MODES.get(name, name)}": name in chosen for name in [*_MODES, *chosen]}
    content = {"word_embedding_dimension": hidden_size, **modes}
    write_json(directory / _POOLING, content if own.pools_prompt else content | {_POOLS_PROMPT: False})


def write_usage(directory: epath.Path, usage: Usage) -> None:
    """Write what stands before texts there, and how vectors are compared: by cosines where `usage` does not say."""
    said = dataclasses.replace(usage, similarity_fn_name=usage.similarity_fn_name or "cosine")
    write_json(directory / _USAGE, said)


def modules_of(normalized: bool) -> list[dict[str, Any]]:
    """The content of modules.json."""
    names = ["Transformer", "Pooling", *(["Normalize"] if normalized else [])]
    return [
        {"idx": place, "name": str(place), "path": f"{place}_{name}" if place else "", "type": f"{_PACKAGE}.{name}"}
        for place, name in enumerate(names)
    ]
