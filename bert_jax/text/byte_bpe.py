"""Byte-level BPE behind the `tokenizers` library; the file is Hugging Face's tokenizer.json, added tokens included.

Training one is in trainers.py, reading vocab.json and merges.txt in bpe_files.py.
"""

import dataclasses
import json
import unicodedata
from collections.abc import Sequence
from typing import Any

import tokenizers
from etils import epath

from bert_jax.errors import UserError
from bert_jax.storage.json_file import check_schema, decode_json
from bert_jax.text.added_tokens import AddedToken, AddedTokens
from bert_jax.text.offsets import Encoding, Span, as_given, lowercased, trimmed
from bert_jax.text.pair_template import pair_template
from bert_jax.text.special_tokens import find_special_ids

_SPACE = "Ġ"  # how a byte-level token spells a space
_REMEDY = "give a tokenizer.json of the tokenizers library, or another vocabulary"


@dataclasses.dataclass(frozen=True)
class _File:
    """The parts of a tokenizer.json that decide the ids of a text; what is in them is the library's to check."""

    model: dict[str, Any]
    normalizer: Any
    pre_tokenizer: Any
    added_tokens: list[dict[str, Any]]


@dataclasses.dataclass(frozen=True)
class _Template:
    """The part of a tokenizer.json that says how two texts become one sequence."""

    post_processor: Any = None


class ByteBPE:
    """Byte-level BPE with a tokenizer.json."""

    kind = "bpe"
    file_name = "tokenizer.json"

    def __init__(self, content: bytes, do_lower_case: bool | None, source: str = "the tokenizer.json") -> None:
        """Take the bytes of a tokenizer.json; `source` names it in errors."""
        self._content = content
        self._file = _parse(content, source)
        self._library = _load(content, source)
        self.tokens = _tokens(self._library, source)
        self.special_ids = find_special_ids(self.tokens, source)
        template = decode_json(content, _Template, source, _REMEDY).post_processor
        self.pair_template = pair_template(template, self.tokens[self.special_ids.sep])
        five = {self.tokens[token_id] for token_id in dataclasses.astuple(self.special_ids)}
        added = [check_schema(token, AddedToken, source, _REMEDY) for token in self._file.added_tokens]
        others = [token for token in added if token.content not in five]
        if any(token.special for token in others):
            self._library = _load(_with_five_special(content, five), source)
        # The file may lower-case by itself; do_lower_case adds it where the file does not.
        normalizer = self._library.normalizer
        lowercases = normalizer is not None and "A" not in normalizer.normalize_str("A")
        self._lower_first = bool(do_lower_case) and not lowercases
        self.lowercase = self._lower_first or lowercases
        # Of every text, so also of what stands behind a mask.
        self.puts_space_first = normalizer is not None and normalizer.normalize_str("x").startswith(" ")
        self._as_written = AddedTokens([token for token in others if not token.normalized], normalize=str)
        names = {token.content for token in added}
        # A byte-level token that begins a word carries the space before it.
        self.continues_word = [token not in names and not token.startswith(_SPACE) for token in self.tokens]
        self._added_ids = {token_id for token_id, token in enumerate(self.tokens) if token in names}
        spaces = {token_id for token_id, token in enumerate(self.tokens) if not token.strip(_SPACE)}
        self._spaces = spaces - self._added_ids

    def with_added(self, tokens: Sequence[AddedToken]) -> "ByteBPE":
        """The same with `tokens` more, whose ids are the next."""
        content = json.loads(self._content)
        content["added_tokens"] += [dataclasses.asdict(token) for token in tokens]
        return ByteBPE(json.dumps(content, ensure_ascii=False).encode(), self.lowercase)

    @classmethod
    def read(cls, path: epath.Path, do_lower_case: bool | None) -> "ByteBPE":
        """Read a tokenizer.json."""
        return cls(path.read_bytes(), do_lower_case, source=str(path))

    def files(self) -> dict[str, bytes]:
        """The name and content of each file that gives this tokenizer back."""
        return {self.file_name: self._content}

    def identity(self) -> dict[str, object]:
        """Everything beside the tokens that decides the ids of a text."""
        return {"lowercase": self.lowercase, **vars(self._file)}

    def encode(self, text: str) -> list[int]:
        """The ids of `text`; the spelling of one of the five special tokens in it is ordinary text."""
        if self._lower_first:  # all but the tokens that are found as they are written
            return self._as_written.encode(text, lambda other: self._ids(other.lower()))
        return self._ids(text)

    def _ids(self, text: str) -> list[int]:
        return self._library.encode(text, add_special_tokens=False).ids

    def encode_with_offsets(self, text: str) -> Encoding:
        """The ids of `text` and the span of each; of a part of a character, the character's."""
        if self._lower_first:
            return self._as_written.encode_with_offsets(text, self._encode_lowercased, align=as_given)
        return self._encode_as_it_is(text)

    def _encode_lowercased(self, text: str) -> Encoding:
        aligned = lowercased(as_given(text))
        return self._encode_as_it_is(aligned.text).through(aligned)

    def _encode_as_it_is(self, text: str) -> Encoding:
        found = self._library.encode(text, add_special_tokens=False)
        spans: list[Span] = []
        last = 0
        for token_id, (start, end) in zip(found.ids, found.offsets, strict=True):
            # A space that the file itself puts before a text has the span of the first character; and one that is a
            # part of what a normalizer made of a character has that character's.
            if token_id in self._spaces and start >= last:
                end = start
            spans.append(trimmed(text, start, end, None if token_id in self._added_ids else " "))
            last = end
        return Encoding(found.ids, _with_composed(text, spans))

    def decode(self, ids: Sequence[int]) -> str:
        """The text of `ids`, special tokens included."""
        return self._library.decode(list(ids), skip_special_tokens=False)


def _with_composed(text: str, spans: list[Span]) -> list[Span]:
    """The spans with all that was composed: where a normalizer makes "é" of two characters, the library has the first.

    Every character is in a token of this kind, so a letter or mark that is in no span was composed with those before.
    """
    if text.isascii():
        return spans
    covered = {at for start, end in spans for at in range(start, end)}
    reach = {end: end for _, end in spans}
    for end in reach:
        while reach[end] < len(text) and reach[end] not in covered and _can_be_composed(text[reach[end]]):
            reach[end] += 1
    return [(start, reach[end] if start < end else end) for start, end in spans]


def _can_be_composed(char: str) -> bool:
    return char.isalnum() or unicodedata.category(char).startswith("M")


def _parse(content: bytes, source: str) -> _File:
    file = decode_json(content, _File, source, _REMEDY)
    kind = file.model.get("type")
    if kind != "BPE" or "ByteLevel" not in repr(file.pre_tokenizer):
        raise UserError(
            f"{source} holds a {kind} model that is not byte-level BPE; "
            "give the vocab.txt (WordPiece) or .model file (SentencePiece) that belongs to it"
        )
    return file


def _with_five_special(content: bytes, five: set[str]) -> bytes:
    """The file without the mark of special tokens on others than the five, so that the library finds them in texts."""
    file = json.loads(content)
    for token in file["added_tokens"]:
        token["special"] = token["content"] in five
    return json.dumps(file).encode()


def _load(content: bytes, source: str) -> tokenizers.Tokenizer:
    try:
        library = tokenizers.Tokenizer.from_str(content.decode("utf-8"))
    except Exception as error:  # the library raises nothing narrower
        raise UserError(f"{source} cannot be read by the tokenizers library ({error}); give another") from None
    library.encode_special_tokens = True  # the library's name for: special tokens in a text are text
    library.post_processor = None  # it adds special tokens, and takes spaces from spans that have none
    library.no_truncation()
    library.no_padding()
    return library


def _tokens(library: tokenizers.Tokenizer, source: str) -> list[str]:
    vocabulary = library.get_vocab(with_added_tokens=True)
    tokens = sorted(vocabulary, key=vocabulary.__getitem__)
    if sorted(vocabulary.values()) != list(range(len(tokens))):
        raise UserError(f"{source} leaves out ids between 0 and its largest; give every id a token")
    return tokens
