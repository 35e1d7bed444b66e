"""Tokens added to a finished vocabulary, as by Hugging Face's add_tokens: found before other text is tokenized.

Its directories list them in up to three files, which are read here. The five special tokens are among them there;
in a text, their spelling is ordinary text for us.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import msgspec
import tokenizers
from etils import epath

from bert_jax.errors import UserError
from bert_jax.storage.json_file import check_schema, read_json
from bert_jax.text.offsets import AlignedText, Encoding, joined, trimmed

_REMEDY = "save the tokenizer with transformers again, or give the vocabulary's own file and not its directory"
_OTHER_TEXT = ""  # stands for what lies between the added tokens


@dataclasses.dataclass(frozen=True)
class AddedToken:
    """A token that is found as it is spelt, the longest first; the names are those of tokenizer.json."""

    id: Annotated[int, msgspec.Meta(ge=0)]
    content: Annotated[str, msgspec.Meta(min_length=1)]
    single_word: bool = False  # not as a part of a word
    lstrip: bool = False  # with the white space before it
    rstrip: bool = False  # with the white space after it
    normalized: bool = True  # spelt, and looked for, as text is after lower-casing and the like
    special: bool = False  # for others to leave out of decoded text

    def identity(self) -> tuple[int, str, bool, bool]:
        """What decides the ids of a text; white space about a token does not."""
        return self.id, self.content, self.single_word, self.normalized


class AddedTokens:
    """Tells added tokens from other text by means of the `tokenizers` library."""

    def __init__(self, tokens: Sequence[AddedToken], normalize: Callable[[str], str]) -> None:
        """Look for `tokens`; `normalize` makes text what the vocabulary's pieces are spelt in."""
        tokens = sorted(tokens, key=lambda token: (not token.special, token.id))  # of two alike, the library's first
        self._normalize = normalize
        self._as_written = _Finder({token.content: token for token in reversed(tokens) if not token.normalized})
        self._normalized = _Finder({normalize(token.content): token for token in reversed(tokens) if token.normalized})

    def encode(self, text: str, encode: Callable[[str], list[int]]) -> list[int]:
        """The ids of `text`, of which `encode` gets what is no added token."""
        ids = []
        for token_id, written in self._as_written.split(text):
            if token_id is not None:
                ids.append(token_id)
                continue
            normal = self._normalize(written) if self._normalized else written
            for other_id, substring in self._normalized.split(normal):
                ids.extend(encode(substring) if other_id is None else [other_id])
        return ids

    def encode_with_offsets(
        self, text: str, encode: Callable[[str], Encoding], align: Callable[[str], AlignedText]
    ) -> Encoding:
        """The ids that the `encode` above gives, each with its span of `text`; `align` is as `normalize`."""

        def encode_as_written(written: str) -> Encoding:
            if not self._normalized:
                return encode(written)
            aligned = align(written)
            return self._normalized.encode_with_offsets(aligned.text, encode).through(aligned)

        return self._as_written.encode_with_offsets(text, encode_as_written)


class _Finder:
    """Splits a text into added tokens and what is between them."""

    def __init__(self, tokens: dict[str, AddedToken]) -> None:
        self._library = tokenizers.Tokenizer(tokenizers.models.WordLevel({_OTHER_TEXT: 0}, unk_token=_OTHER_TEXT))
        self._library.add_tokens(
            [
                tokenizers.AddedToken(
                    spelling, single_word=token.single_word, lstrip=token.lstrip, rstrip=token.rstrip, normalized=False
                )
                for spelling, token in tokens.items()
            ]
        )
        ids = {self._library.token_to_id(spelling): token.id for spelling, token in tokens.items() if spelling}
        self._id_of = {0: None, **ids}

    def __bool__(self) -> bool:
        return len(self._id_of) > 1

    def split(self, text: str) -> list[tuple[int | None, str]]:
        """The substrings of `text`, each with its id if it is an added token."""
        return [(token_id, text[start:end]) for token_id, start, end in self._found(text)]

    def encode_with_offsets(self, text: str, encode: Callable[[str], Encoding]) -> Encoding:
        """The added tokens of `text`, without white space about them, and what `encode` makes of the rest."""
        return joined(
            encode(text[start:end]).shifted(start)
            if token_id is None
            else Encoding([token_id], [trimmed(text, start, end)])
            for token_id, start, end in self._found(text)
        )

    def _found(self, text: str) -> list[tuple[int | None, int, int]]:
        if not self:
            return [(None, 0, len(text))]
        found = self._library.encode(text, add_special_tokens=False)
        return [(self._id_of[one], start, end) for one, (start, end) in zip(found.ids, found.offsets, strict=True)]


def check_added(
    found: Sequence[AddedToken], tokens: Sequence[str], special: Sequence[int], source: str
) -> list[AddedToken]:
    """Those of the `found` tokens that are looked for in texts, in the order of their ids: all but the `special` ones.

    Args:
        found: the added tokens of a file.
        tokens: the vocabulary to which they are added.
        special: the ids of the five special tokens in it.
        source: names it in errors.

    Raises:
        UserError: they leave out an id behind the vocabulary's last, or one is not what the vocabulary has at its id,
            or has another id there.
    """
    table = list(tokens)
    ids = {token: token_id for token_id, token in enumerate(tokens)}
    for token in sorted(found, key=lambda token: token.id):
        if token.id == len(table):
            table.append(token.content)
            if ids.setdefault(token.content, token.id) != token.id:
                raise UserError(
                    f"{source} adds {token.content!r} with id {token.id}, and it has id {ids[token.content]}; {_REMEDY}"
                )
        if token.id > len(table):
            raise UserError(
                f"{source} adds {token.content!r} with id {token.id} and nothing with {len(table)}; {_REMEDY}"
            )
        if table[token.id] != token.content:
            raise UserError(
                f"{source} adds {token.content!r} with id {token.id}, which is that of {table[token.id]!r}; {_REMEDY}"
            )
    return sorted((token for token in found if token.id not in special), key=lambda token: token.id)


@dataclasses.dataclass(frozen=True)
class _TokenizerJson:
    added_tokens: list[AddedToken] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True)
class _TokenizerConfig:
    added_tokens_decoder: dict[Annotated[str, msgspec.Meta(pattern=r"^\d{1,9}$")], dict[str, Any]] = dataclasses.field(
        default_factory=dict
    )


@dataclasses.dataclass(frozen=True)
class _SpecialTokensMap:
    additional_special_tokens: list[str | dict[str, Any]] = dataclasses.field(default_factory=list)


def read_added_tokens(path: epath.Path) -> list[AddedToken]:
    """The added tokens of a Hugging Face directory or a tokenizer.json; a token in several files is as in the first."""
    if not path.is_dir():
        return _of_tokenizer_json(path)
    found: dict[tuple[int, str], AddedToken] = {}
    for token in (
        *_of_tokenizer_json(path / "tokenizer.json"),
        *_of_tokenizer_config(path / "tokenizer_config.json"),
        *_of_added_tokens_json(path / "added_tokens.json"),
    ):
        found.setdefault((token.id, token.content), token)
    return list(found.values())


def _of_tokenizer_json(file: epath.Path) -> list[AddedToken]:
    if file.suffix != ".json" or not file.exists():
        return []
    return read_json(file, _TokenizerJson, _REMEDY).added_tokens


def _of_tokenizer_config(file: epath.Path) -> list[AddedToken]:
    decoder = read_json(file, _TokenizerConfig, _REMEDY).added_tokens_decoder if file.exists() else {}
    return [
        check_schema({**settings, "id": int(key)}, AddedToken, str(file), _REMEDY) for key, settings in decoder.items()
    ]


def _of_added_tokens_json(file: epath.Path) -> list[AddedToken]:
    """It holds ids alone, and the file beside it which tokens are special: those are found as they are written."""
    names = file.parent / "special_tokens_map.json"
    if not file.exists():
        return []
    additional = read_json(names, _SpecialTokensMap, _REMEDY).additional_special_tokens if names.exists() else []
    special = {one if isinstance(one, str) else one.get("content") for one in additional}
    ids = read_json(file, dict[str, Annotated[int, msgspec.Meta(ge=0)]], _REMEDY)
    return [
        AddedToken(token_id, content, normalized=content not in special, special=content in special)
        for content, token_id in ids.items()
    ]
