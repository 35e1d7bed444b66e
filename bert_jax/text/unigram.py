"""Unigram (and any other) models behind the `sentencepiece` library; the file is its .model.

Training one is in vocabulary.py.
"""

import hashlib
import unicodedata
from collections.abc import Iterator, Sequence

import sentencepiece
from etils import epath

from bert_jax.errors import UserError
from bert_jax.text.offsets import AlignedText, Encoding, Span, as_given, lowercased
from bert_jax.text.special_tokens import find_special_ids

_SPACE = "▁"  # how the library spells a space


class Unigram:
    """SentencePiece with a tokenizer.model."""

    kind = "sentencepiece"
    file_name = "tokenizer.model"

    def __init__(self, content: bytes, do_lower_case: bool | None, source: str = "the .model file") -> None:
        """Take the bytes of a .model file; `source` names it in errors."""
        self._content = content
        self._library = _load(content, source)
        self.tokens = _tokens(self._library, source)
        self.special_ids = find_special_ids(self.tokens, source)
        # The file may fold case by itself; do_lower_case adds it where the file does not (as with ALBERT's).
        folds_case = "A" not in self._library.normalize("A")
        self._lower_first = bool(do_lower_case) and not folds_case
        self.lowercase = self._lower_first or folds_case
        self.continues_word = [
            not (token.startswith(_SPACE) or self._library.is_control(token_id) or self._library.is_unknown(token_id))
            for token_id, token in enumerate(self.tokens)
        ]

    @classmethod
    def read(cls, path: epath.Path, do_lower_case: bool | None) -> "Unigram":
        """Read a .model file."""
        return cls(path.read_bytes(), do_lower_case, source=str(path))

    def files(self) -> dict[str, bytes]:
        """The name and content of each file that gives this tokenizer back."""
        return {self.file_name: self._content}

    def identity(self) -> dict[str, object]:
        """Everything beside the tokens that decides the ids of a text."""
        return {"lowercase": self.lowercase, "model_sha256": hashlib.sha256(self._content).hexdigest()}

    def encode(self, text: str) -> list[int]:
        """The ids of `text`; the spelling of a control symbol in it is ordinary text."""
        return self._library.encode(text.lower() if self._lower_first else text)

    def normalize(self, text: str) -> str:
        """`text` as the pieces are spelt, with spaces as spaces."""
        normal = self._library.normalize(text.lower() if self._lower_first else text)
        return normal.replace(_SPACE, " ").removeprefix(" ")

    def encode_with_offsets(self, text: str) -> Encoding:
        """The ids of `text` and the span of each; of a byte, that of the character that it is of."""
        aligned = self._aligned(text)
        lowered = text.lower() if self._lower_first else text
        ids = self._library.encode(lowered)
        return Encoding(ids, list(self._spans(aligned, ids, self._library.encode(lowered, out_type=str))))

    def _spans(self, aligned: AlignedText, ids: Sequence[int], pieces: Sequence[str]) -> Iterator[Span]:
        start, bytes_left = 0, 0
        for token_id, piece in zip(ids, pieces, strict=True):
            is_byte = self._library.is_byte(token_id)
            if is_byte and not bytes_left:
                bytes_left = len(aligned.text[start].encode())
            end = start + (1 if is_byte else len(piece))
            yield aligned.span(start, end)
            bytes_left -= is_byte
            start = start if bytes_left else end

    def align(self, text: str) -> AlignedText:
        """What `normalize` gives, with where it comes from."""
        aligned = self._aligned(text)
        is_prefixed = aligned.text.startswith(_SPACE)
        return AlignedText(aligned.text.replace(_SPACE, " ").removeprefix(" "), aligned.spans[is_prefixed:])

    def _aligned(self, text: str) -> AlignedText:
        """The text of which the pieces are parts, white space as "▁", which comes from nothing."""
        if self._lower_first:
            lowered = lowercased(as_given(text))
            return self._normalized(lowered.text).through(lowered)
        return self._normalized(text)

    def _normalized(self, text: str) -> AlignedText:
        # The library tells where each character begins in the text, and last where what it reads of the text ends.
        normal, starts = self._library.normalize(text, with_offsets=True)
        spans, end = [], starts[-1]
        for at in range(len(normal) - 1, -1, -1):
            end = starts[at + 1] if starts[at + 1] > starts[at] else end
            spans.append(self._visible(text, starts[at], end))
        if normal.startswith(_SPACE):  # put there by the library
            spans[-1] = (starts[0], starts[0])
        return AlignedText(normal, spans[::-1])

    def _visible(self, text: str, start: int, end: int) -> Span:
        """The span without white space and dropped characters behind it, or that are all there is."""
        while end > start and self._is_blank(text[end - 1]):
            end -= 1
        return start, end

    def _is_blank(self, char: str) -> bool:
        # A mark belongs to the character before it, whatever becomes of it.
        is_mark = unicodedata.category(char).startswith("M")
        return char == " " or not (char.isalnum() or is_mark or self._library.normalize(char).strip(_SPACE))

    def decode(self, ids: Sequence[int]) -> str:
        """The text of `ids`; the library gives nothing for control symbols."""
        return self._library.decode(list(ids))


def _tokens(library: sentencepiece.SentencePieceProcessor, source: str) -> list[str]:
    try:
        return [library.id_to_piece(token_id) for token_id in range(library.get_piece_size())]
    except UnicodeDecodeError:
        raise UserError(f"{source} is damaged: it holds pieces that are not UTF-8; get the file again") from None


def _load(content: bytes, source: str) -> sentencepiece.SentencePieceProcessor:
    library = sentencepiece.SentencePieceProcessor()
    try:
        library.LoadFromSerializedProto(content)
    except RuntimeError:
        raise UserError(f"{source} is not a SentencePiece model; give another vocabulary") from None
    return library
