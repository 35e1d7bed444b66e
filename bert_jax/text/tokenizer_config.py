"""The tokenizer_config.json of a Hugging Face directory: what in it decides the ids of a text."""

import dataclasses

from absl import logging
from etils import epath

from bert_jax.storage.json_file import read_json

NAME = "tokenizer_config.json"


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


def read_tokenizer_config(directory: epath.Path, do_lower_case: bool | None) -> TokenizerConfig:
    """What the directory's file says, unless `do_lower_case` says otherwise; warn of words that are cut otherwise."""
    file = directory / NAME
    if not file.exists():
        return TokenizerConfig(do_lower_case)
    config = read_json(file, TokenizerConfig, "mend it, or give the vocabulary's own file and --do_lower_case")
    _warn_of_other_words(config, file)
    config = config if do_lower_case is None else dataclasses.replace(config, do_lower_case=do_lower_case)
    if config.tokenizer_class in ("AlbertTokenizer", "AlbertTokenizerFast"):  # whose defaults these are
        config = dataclasses.replace(
            config, keep_accents=bool(config.keep_accents), do_lower_case=config.do_lower_case is not False
        )
    return config


def _warn_of_other_words(config: TokenizerConfig, file: epath.Path) -> None:
    """Warn if a BERT's text was split into words by a program of its language (Japanese by MeCab), or not at all."""
    settings = {
        "do_basic_tokenize": (config.do_basic_tokenize, (True,)),
        "word_tokenizer_type": (config.word_tokenizer_type, (None, "basic")),
        "subword_tokenizer_type": (config.subword_tokenizer_type, (None, "wordpiece")),
    }
    if others := [f"{name}={value}" for name, (value, ours) in settings.items() if value not in ours]:
        logging.warning(
            "%s says %s; text is cut here as the original BERT does, so its words and ids may be others",
            *(file, ", ".join(others)),
        )
