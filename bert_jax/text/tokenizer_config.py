"""The tokenizer_config.json of a Hugging Face directory: what in it decides the ids of a text."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from absl import logging
from etils import epath

from bert_jax.storage.json_file import read_json

NAME = "tokenizer_config.json"
# Classes that split Chinese by jieba, and Japanese by MeCab or another program.
_OF_A_LANGUAGE = ("RoFormerTokenizer", "RoFormerTokenizerFast", "BertJapaneseTokenizer")
_OF_ANY_FILE = ("PreTrainedTokenizerFast", "TokenizersBackend")  # these heed tokenizer.json alone
# Types of models whose tokenizers in transformers lower-case unless do_lower_case is false; others have no such key.
_WITH_CASE = (
    *("albert", "bert", "bertjapanese", "convbert", "distilbert", "electra", "funnel", "layoutlm", "lxmert"),
    *("mobilebert", "mpnet", "rembert", "roformer", "splinter", "squeezebert", "xlnet"),
)


@dataclasses.dataclass(frozen=True)
class TokenizerConfig:
    """What decides the ids, under the names there; None: it does not say."""

    do_lower_case: bool | None = None
    strip_accents: bool | None = None
    tokenize_chinese_chars: bool | None = None
    keep_accents: bool | None = None  # not None: text is prepared as ALBERT's and XLNet's
    replaces_quotes: bool = False  # of such a text: `` and '' become ", as in transformers' ALBERT; in our exports
    tokenizer_class: str | None = None
    add_prefix_space: bool | None = None  # of a byte-level BPE
    max_input_chars_per_word: int | None = None  # of WordPiece
    drops_private_use: bool = False  # of WordPiece; not there, but in the code of transformers
    do_basic_tokenize: bool = True
    word_tokenizer_type: str | None = None
    subword_tokenizer_type: str | None = None


@dataclasses.dataclass(frozen=True)
class _Model:
    """config.json."""

    model_type: Any = None


def read_tokenizer_config(directory: epath.Path, do_lower_case: bool | None) -> TokenizerConfig:
    """What the directory's file says, as transformers takes it, unless `do_lower_case` says otherwise.

    Warns of words that are cut otherwise.
    """
    file = directory / NAME
    remedy = "fix it, or give the vocabulary's own file and --do_lower_case"
    config = read_json(file, TokenizerConfig, remedy) if file.exists() else TokenizerConfig()
    _warn_of_other_words(config, directory)
    kind = _kind(config, directory)
    if kind is not None and kind not in _WITH_CASE:
        config = dataclasses.replace(config, do_lower_case=None)
    config = config if do_lower_case is None else dataclasses.replace(config, do_lower_case=do_lower_case)
    if kind == "albert":
        config = dataclasses.replace(config, keep_accents=bool(config.keep_accents), replaces_quotes=True)
    return _with_defaults(config) if kind in _WITH_CASE else config


def goes_by_tokenizer_json(config: TokenizerConfig) -> bool:
    """Whether transformers takes case, accents and ideographs of a WordPiece from tokenizer.json alone."""
    return config.tokenizer_class in _OF_ANY_FILE


def _kind(config: TokenizerConfig, directory: epath.Path) -> str | None:
    """Of which models the tokenizer's class is, by its name or else by the model's type; None: of any, or unknown."""
    if config.tokenizer_class in _OF_ANY_FILE:
        return None
    name = config.tokenizer_class or _model_type(directory)
    return name and name.removesuffix("Fast").removesuffix("Tokenizer").replace("-", "").lower()


def _model_type(directory: epath.Path) -> str | None:
    file = directory / "config.json"
    model_type = read_json(file, _Model, "fetch it again").model_type if file.exists() else None
    return model_type if isinstance(model_type, str) else None


def _with_defaults(config: TokenizerConfig) -> TokenizerConfig:
    """With those of the classes that have do_lower_case."""
    lowercase = config.do_lower_case is not False
    strips = lowercase if config.strip_accents is None else config.strip_accents
    splits = config.tokenize_chinese_chars is not False
    return dataclasses.replace(config, do_lower_case=lowercase, strip_accents=strips, tokenize_chinese_chars=splits)


def _warn_of_other_words(config: TokenizerConfig, directory: epath.Path) -> None:
    """Warn if a BERT's text was split into words by a program of its language (Japanese by MeCab), or not at all."""
    settings = {
        "do_basic_tokenize": (config.do_basic_tokenize, config.do_basic_tokenize),
        "word_tokenizer_type": (config.word_tokenizer_type, config.word_tokenizer_type in (None, "basic")),
        "subword_tokenizer_type": (config.subword_tokenizer_type, config.subword_tokenizer_type in (None, "wordpiece")),
        "tokenizer_class": (config.tokenizer_class, config.tokenizer_class not in _OF_A_LANGUAGE),
    }
    _tell_other_words(
        directory / NAME, [f"{name}={value}" for name, (value, as_ours) in settings.items() if not as_ours]
    )
    if config.tokenizer_class is None and _model_type(directory) == "roformer":
        _tell_other_words(directory / "config.json", ["model_type=roformer"])


def _tell_other_words(file: epath.Path, said: Sequence[str]) -> None:
    if said:
        logging.warning(
            "%s says %s; text is cut here as the original BERT does, so its words and ids may be others",
            *(file, ", ".join(said)),
        )
