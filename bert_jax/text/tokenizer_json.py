"""WordPiece out of a tokenizer.json, the file in which transformers 5 keeps a BERT's vocabulary, and its settings.

What we cannot do of what such a file may say is refused, in one line. Its word limit alone is passed over: Hugging
Face's is 100 characters unless told otherwise, the original's 200, and both are the same vocabulary's.
"""

import dataclasses
from typing import Annotated, Any

import msgspec
from etils import epath

from bert_jax.errors import UserError
from bert_jax.storage.json_file import check_schema, read_json
from bert_jax.text.wordpiece import WordPiece

_REMEDY = "give a tokenizer.json of the tokenizers library, or the vocab.txt or .model file that belongs to it"
_OURS = "give the vocab.txt that belongs to it, whose text is cut as the original BERT does"


@dataclasses.dataclass(frozen=True)
class _Model:
    vocab: dict[str, Annotated[int, msgspec.Meta(ge=0)]]
    unk_token: str = "[UNK]"
    continuing_subword_prefix: str = "##"


@dataclasses.dataclass(frozen=True)
class _Normalizer:
    """Hugging Face's BertNormalizer."""

    clean_text: bool = True
    handle_chinese_chars: bool = True
    strip_accents: bool | None = None
    lowercase: bool = True


@dataclasses.dataclass(frozen=True)
class _File:
    model: dict[str, Any]
    normalizer: dict[str, Any] | None = None
    pre_tokenizer: dict[str, Any] | None = None


def holds_wordpiece(file: epath.Path) -> bool:
    """Whether a tokenizer.json is of a WordPiece model; early ones do not say what they are of."""
    model = read_json(file, _File, _REMEDY).model
    return model.get("type", "WordPiece") == "WordPiece" and "continuing_subword_prefix" in model


def read_wordpiece(
    file: epath.Path, do_lower_case: bool | None, strip_accents: bool | None, tokenize_chinese_chars: bool | None
) -> WordPiece:
    """The WordPiece of a tokenizer.json, with the settings of its normalizer where an argument is None.

    Raises:
        UserError: it is damaged, or is WordPiece of another kind than BERT's; names what we cannot do.
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
    return wordpiece


def _normalizer(content: _File, source: str) -> _Normalizer:
    kinds = [(part or {}).get("type") for part in (content.normalizer, content.pre_tokenizer)]
    if content.normalizer is None or kinds != ["BertNormalizer", "BertPreTokenizer"]:
        raise UserError(
            f"{source} has the normalizer {kinds[0]} and the pre-tokenizer {kinds[1]}; "
            f"only BertNormalizer and BertPreTokenizer can be read: {_OURS}"
        )
    normalizer = check_schema(content.normalizer, _Normalizer, f"{source}, normalizer", _REMEDY)
    if not normalizer.clean_text:
        raise UserError(f"{source} says clean_text=false, and control characters are always dropped here: {_OURS}")
    return normalizer


def _tokens(vocab: dict[str, int], source: str) -> list[str]:
    """The token of each id, as a vocab.txt would hold it."""
    tokens = sorted(vocab, key=vocab.__getitem__)
    if sorted(vocab.values()) != list(range(len(tokens))):
        raise UserError(f"{source} leaves out ids between 0 and its largest, or has one twice; give every id a token")
    if broken := [token for token in tokens if "\n" in token.strip()]:
        raise UserError(f"{source} has the token {broken[0]!r}, with an end of line in it, which no vocab.txt can hold")
    return [token.strip() for token in tokens]
