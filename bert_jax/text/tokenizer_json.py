"""WordPiece out of a tokenizer.json, the file in which transformers 5 keeps a BERT's vocabulary, and its settings.

Settings of such a file that we do not have are refused, in one line; beside a vocab.txt, which is cut as the original
BERT does then, they are a warning.
"""

import dataclasses
from typing import Annotated, Any

import msgspec
from absl import logging
from etils import epath

from bert_jax.errors import UserError
from bert_jax.storage.json_file import check_schema, read_json
from bert_jax.text.tokenizer_config import TokenizerConfig
from bert_jax.text.wordpiece import WordPiece

_REMEDY = "give a tokenizer.json of the tokenizers library, or the vocab.txt or .model file that belongs to it"
TRANSFORMERS_LONGEST_WORD = 100  # characters, unless a file says otherwise
_OURS = "give the vocab.txt that belongs to it, whose text is cut as the original BERT does"


@dataclasses.dataclass(frozen=True)
class _Model:
    vocab: dict[str, Annotated[int, msgspec.Meta(ge=0)]]
    unk_token: str = "[UNK]"
    continuing_subword_prefix: str = "##"
    max_input_chars_per_word: int = TRANSFORMERS_LONGEST_WORD


@dataclasses.dataclass(frozen=True)
class _Normalizer:
    """Hugging Face's BertNormalizer."""

    clean_text: bool = True
    handle_chinese_chars: bool = True
    strip_accents: bool | None = None
    lowercase: bool = True


@dataclasses.dataclass(frozen=True)
class _Sequence:
    normalizers: list[dict[str, Any]]


@dataclasses.dataclass(frozen=True)
class _File:
    model: dict[str, Any]
    normalizer: dict[str, Any] | None = None
    pre_tokenizer: dict[str, Any] | None = None


def holds_wordpiece(file: epath.Path) -> bool:
    """Whether a tokenizer.json is of a WordPiece model; early ones have no "type"."""
    model = read_json(file, _File, _REMEDY).model
    return model.get("type", "WordPiece") == "WordPiece" and "continuing_subword_prefix" in model


def with_settings_of(file: epath.Path, config: TokenizerConfig) -> TokenizerConfig:
    """What `config` says, and else the tokenizer.json beside a vocab.txt, which warns of what we do not have."""
    try:
        content = read_json(file, _File, _REMEDY)
        model = check_schema(content.model, _Model, f"{file}, model", _REMEDY)
        steps = [step for step in _steps(content.normalizer, str(file)) if step.get("type") == "BertNormalizer"]
        normalizer = check_schema(steps[0], _Normalizer, f"{file}, normalizer", _REMEDY) if steps else None
        config = _filled(config, model, normalizer)
        _normalizer(content, str(file))
    except UserError as error:
        logging.warning("the vocab.txt beside it is read as the original BERT does: %s", error)
    return config


def _filled(config: TokenizerConfig, model: _Model, normalizer: _Normalizer | None) -> TokenizerConfig:
    """With the file's settings where `config` says nothing."""
    said: dict[str, Any] = {"max_input_chars_per_word": model.max_input_chars_per_word}
    if normalizer:
        said |= {"do_lower_case": normalizer.lowercase, "strip_accents": normalizer.strip_accents}
        said |= {"tokenize_chinese_chars": normalizer.handle_chinese_chars}
    unsaid = {name: value for name, value in said.items() if getattr(config, name) is None}
    return dataclasses.replace(config, drops_private_use=True, **unsaid)


def read_wordpiece(file: epath.Path, config: TokenizerConfig) -> WordPiece:
    """The WordPiece of a tokenizer.json, with its settings where `config` says nothing.

    Raises:
        UserError: it is damaged, or is WordPiece of another kind than BERT's; names the setting that we do not have.
    """
    content = read_json(file, _File, _REMEDY)
    model = check_schema(content.model, _Model, f"{file}, model", _REMEDY)
    config = _filled(config, model, _normalizer(content, str(file)))
    wordpiece = WordPiece(
        _tokens(model.vocab, str(file)),
        config.do_lower_case is not False,
        config.strip_accents,
        config.tokenize_chinese_chars is not False,
        str(file),
        config.max_input_chars_per_word or TRANSFORMERS_LONGEST_WORD,
        config.drops_private_use,
    )
    unknown = wordpiece.tokens[wordpiece.special_ids.unk]
    if (model.continuing_subword_prefix, model.unk_token) != ("##", unknown):
        raise UserError(
            f"{file} continues words with {model.continuing_subword_prefix!r} and calls unknown ones "
            f"{model.unk_token!r}; only WordPiece with '##' and {unknown!r} can be read"
        )
    return wordpiece


def _normalizer(content: _File, source: str) -> _Normalizer:
    steps = [step for step in _steps(content.normalizer, source) if not _is_final_sigma(step)]
    kinds = [step.get("type") for step in (*steps, content.pre_tokenizer or {})]
    if kinds != ["BertNormalizer", "BertPreTokenizer"]:
        raise UserError(
            f"{source} prepares text by {', '.join(map(str, kinds))}; "
            f"only BertNormalizer and BertPreTokenizer can be read: {_OURS}"
        )
    normalizer = check_schema(steps[0], _Normalizer, f"{source}, normalizer", _REMEDY)
    if not normalizer.clean_text:
        raise UserError(f"{source} says clean_text=false, and control characters are always dropped here: {_OURS}")
    return normalizer


def _steps(normalizer: dict[str, Any] | None, source: str) -> list[dict[str, Any]]:
    if normalizer is None or normalizer.get("type") != "Sequence":
        return [normalizer or {}]
    return check_schema(normalizer, _Sequence, f"{source}, normalizer", _REMEDY).normalizers


def _is_final_sigma(step: dict[str, Any]) -> bool:
    """Whether it is what our exports put before BertNormalizer so that it lower-cases Σ as we do."""
    return step.get("type") == "Replace" and step.get("content") == "ς" and "Σ" in str(step.get("pattern"))


def _tokens(vocab: dict[str, int], source: str) -> list[str]:
    """The token of each id as a vocab.txt would hold it, with an empty line where an id has none.

    That is so where a vocab.txt had a token twice, of which the library keeps the last.
    """
    size = 1 + max(vocab.values(), default=-1)
    if len(set(vocab.values())) < len(vocab) or size > 2 * len(vocab):
        raise UserError(f"{source} gives two tokens one id, or leaves out most; give every id a token")
    tokens = [""] * size
    for token, token_id in vocab.items():
        tokens[token_id] = token.strip()
    if broken := [token for token in tokens if "\n" in token]:
        raise UserError(f"{source} has the token {broken[0]!r}, with an end of line in it, which no vocab.txt can hold")
    return tokens
