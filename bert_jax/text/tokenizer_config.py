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


@dataclasses.dataclass(frozen=True)
class TokenizerConfig:
    """What decides the ids, under the names there; None: it does not say."""

    do_lower_case: bool | None = None
    strip_accents: bool | None = None
    tokenize_chinese_chars: bool | None = None
    keep_accents: bool | None = None  # not None: text is prepared as ALBERT's and XLNet's
    tokenizer_class: str | None = None
    add_prefix_space: bool | None = None  # of a byte-level BPE
    max_input_chars_per_word: int | None = None  # of WordPiece
    do_basic_tokenize: bool = True
    word_tokenizer_type: str | None = None
    subword_tokenizer_type: str | None = None


@dataclasses.dataclass(frozen=True)
class _Model:
    """config.json."""

    model_type: Any = None


def read_tokenizer_config(directory: epath.Path, do_lower_case: bool | None) -> TokenizerConfig:
    """What the directory's file says, unless `do_lower_case` says otherwise; warn of words that are cut otherwise."""
    file = directory / NAME
    remedy = "mend it, or give the vocabulary's own file and --do_lower_case"
    config = read_json(file, TokenizerConfig, remedy) if file.exists() else TokenizerConfig()
    _warn_of_other_words(config, directory)
    config = config if do_lower_case is None else dataclasses.replace(config, do_lower_case=do_lower_case)
    if config.tokenizer_class in ("AlbertTokenizer", "AlbertTokenizerFast"):  # whose defaults these are
        config = dataclasses.replace(
            config, keep_accents=bool(config.keep_accents), do_lower_case=config.do_lower_case is not False
        )
    return config


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
    model = directory / "config.json"
    if config.tokenizer_class is None and model.exists():  # then transformers takes the class of the model's type
        is_roformer = read_json(model, _Model, "fetch it again").model_type == "roformer"
        _tell_other_words(model, ["model_type=roformer"] if is_roformer else [])


def _tell_other_words(file: epath.Path, said: Sequence[str]) -> None:
    if said:
        logging.warning(
            "%s says %s; text is cut here as the original BERT does, so its words and ids may be others",
            *(file, ", ".join(said)),
        )
