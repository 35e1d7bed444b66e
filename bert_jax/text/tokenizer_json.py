"""WordPiece out of a tokenizer.json, the file in which transformers 5 keeps a BERT's vocabulary, and its settings.

Settings of such a file that we do not have are refused, in one line. Only another word limit is logged: Hugging Face's
is 100 characters unless it is set, the original's 200, and both are the same vocabulary's.
"""

import dataclasses
from typing import Annotated, Any

import msgspec
from absl import logging
from etils import epath

from bert_jax.errors import UserError
from bert_jax.storage.json_file import check_schema, read_json
from bert_jax.text.wordpiece import LONGEST_WORD, WordPiece

_REMEDY = "give a tokenizer.json of the tokenizers library, or the vocab.txt or .model file that belongs to it"
_OURS = "give the vocab.txt that belongs to it, whose text is cut as the original BERT does"


@dataclasses.dataclass(frozen=True)
class _Model:
    vocab: dict[str, Annotated[int, msgspec.Meta(ge=0)]]
    unk_token: str = "[UNK]"
    continuing_subword_prefix: str = "##"
    max_input_chars_per_word: int = LONGEST_WORD


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


def read_wordpiece(
    file: epath.Path, do_lower_case: bool | None, strip_accents: bool | None, tokenize_chinese_chars: bool | None
) -> WordPiece:
    """The WordPiece of a tokenizer.json, with the settings of its normalizer where an argument is None.

    Raises:
        UserError: it is damaged, or is WordPiece of another kind than BERT's; names the setting that we do not have.
    """
    content = read_json(file, _File, _REMEDY)
    model = check_schema(content.model, _Model, f"{file}, model", _REMEDY)
    normalizer = _normalizer(content, str(file))
    tokens = _tokens(model.vocab, str(file))
    wordpiece = WordPiece(
        tokens,
        normalizer.lowercase if do_lower_case is None else do_lower_case,
        normalizer.strip_accents if strip_accents is None else strip_accents,
        normalizer.handle_chinese_chars if tokenize_chinese_chars is None else tokenize_chinese_chars,
        str(file),
    )
    unknown = wordpiece.tokens[wordpiece.special_ids.unk]
    if (model.continuing_subword_prefix, model.unk_token) != ("##", unknown):
        raise UserError(
            f"{file} continues words with {model.continuing_subword_prefix!r} and calls unknown ones "
            f"{model.unk_token!r}; only WordPiece with '##' and {unknown!r} can be read"
        )
    if model.max_input_chars_per_word != LONGEST_WORD:
        logging.info(
            "%s calls words over %d characters unknown; here that is so over %d, as in the original",
            *(file, model.max_input_chars_per_word, LONGEST_WORD),
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
