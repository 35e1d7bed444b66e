"""Unigram (and any other) models behind the `sentencepiece` library; the file is its .model.

Training one is in vocabulary.py.
"""

import hashlib
from collections.abc import Sequence

import sentencepiece
from etils import epath

from bert_jax.errors import UserError
from bert_jax.text.special_tokens import find_special_ids


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
            not (token.startswith("▁") or self._library.is_control(token_id) or self._library.is_unknown(token_id))
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
        return normal.replace("▁", " ").removeprefix(" ")

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
