"""Unigram (and any other) models behind the `sentencepiece` library; the file is its .model.

Training one is in trainers.py.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate

import sentencepiece
from etils import epath

from bert_jax.errors import UserError
from bert_jax.text.offsets import AlignedText, Encoding, Span, as_given, lowercased
from bert_jax.text.sentencepiece_offsets import SPACE, BlankCharacters, NormalizedText
from bert_jax.text.sentencepiece_text import TextPreparation
from bert_jax.text.special_tokens import ALBERTS_SIGNS, ALBERTS_SPECIAL, find_special_ids

# Of these alone a piece consists that continues a word in ALBERT's n-grams. A piece that is one sign is a word.
_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyz")
_SIGNS = frozenset('!"#$%&()*+,-./:;?@[\\]^_`{|}~')


class Unigram:
    """SentencePiece with a tokenizer.model."""

    kind = "sentencepiece"
    file_name = "tokenizer.model"

    def __init__(
        self,
        content: bytes,
        do_lower_case: bool | None,
        source: str = "the .model file",
        keep_accents: bool | None = None,
        replaces_quotes: bool = False,
    ) -> None:
        """Take the bytes of a .model file; `source` names it in errors.

        With `keep_accents` yes or no, text is prepared and numbers are split as ALBERT does both; None: not at all.
        `replaces_quotes`: text is prepared as transformers' ALBERT, which makes `` and '' usual quotes.
        """
        self._content = content
        self._library = _load(content, source)
        self.tokens = _tokens(self._library, source)
        self.special_ids = find_special_ids(self.tokens, source)
        # The file may fold case by itself; do_lower_case adds it where the file does not (as with ALBERT's).
        folds_case = "A" not in self._library.normalize("A")
        self._lower_first = bool(do_lower_case) and not folds_case
        self.lowercase = self._lower_first or folds_case
        self.keep_accents = keep_accents
        self.replaces_quotes = keep_accents is not None and replaces_quotes
        self._preparation = (
            None if keep_accents is None else TextPreparation(bool(do_lower_case), keep_accents, replaces_quotes)
        )
        # Of a byte, and of whatever is unknown, the pieces of a text tell the length.
        unclear = [token_id for token_id in range(len(self.tokens)) if self._library.is_byte(token_id)]
        self._is_blank = BlankCharacters(self._library)
        self._lengths = [len(token) for token in self.tokens]
        for token_id in [self._library.unk_id(), *unclear]:
            self._lengths[token_id] = 0
        self.continues_word = [
            not (token.startswith(SPACE) or self._library.is_control(token_id) or self._library.is_unknown(token_id))
            for token_id, token in enumerate(self.tokens)
        ]
        self.continues_ngram_word = [
            continues and not _starts_ngram_word(token)
            for continues, token in zip(self.continues_word, self.tokens, strict=True)
        ]

        self._split_numbers = {} if keep_accents is None else self._numbers_with_a_comma()

    @classmethod
    def read(
        cls,
        path: epath.Path,
        do_lower_case: bool | None,
        keep_accents: bool | None = None,
        replaces_quotes: bool = False,
    ) -> "Unigram":
        """Read a .model file."""
        return cls(path.read_bytes(), do_lower_case, str(path), keep_accents, replaces_quotes)

    def as_alberts(self, do_lower_case: bool | None) -> "Unigram":
        """The same with text prepared as ALBERT's, uncased unless given, if the first tokens are those of ALBERT."""
        first = (*ALBERTS_SPECIAL, *ALBERTS_SIGNS)
        if self.keep_accents is not None or tuple(self.tokens[: len(first)]) != first:
            return self
        return Unigram(self._content, do_lower_case is not False, keep_accents=False)

    def files(self) -> dict[str, bytes]:
        """The name and content of each file that gives this tokenizer back."""
        return {self.file_name: self._content}

    def identity(self) -> dict[str, object]:
        """Everything beside the tokens that decides the ids of a text.

        TeX's quotes are not in it, in which ALBERT's own vocabulary and its copy for transformers differ.
        """
        deciding = {"lowercase": self.lowercase, "model_sha256": hashlib.sha256(self._content).hexdigest()}
        return {**deciding, **self.unusual_settings()}

    def unusual_settings(self) -> dict[str, bool]:
        """keep_accents, if text is prepared as ALBERT does."""
        return {} if self.keep_accents is None else {"keep_accents": self.keep_accents}

    def encode(self, text: str) -> list[int]:
        """The ids of `text`; the spelling of a control symbol in it is ordinary text."""
        ids = self._library.encode(self._prepared(text))
        if self._split_numbers.keys().isdisjoint(ids):
            return ids
        return [part for token_id in ids for part, _ in self._split_numbers.get(token_id, [(token_id, "")])]

    def normalize(self, text: str) -> str:
        """`text` as the pieces are spelt, with spaces as spaces."""
        return self._library.normalize(self._prepared(text)).replace(SPACE, " ").removeprefix(" ")

    def _prepared(self, text: str) -> str:
        """`text` as the library gets it."""
        if self._preparation:
            return self._preparation.prepared(text)
        return text.lower() if self._lower_first else text

    def _from_prepared(self, text: str, prepared: str) -> AlignedText | None:
        """What is done to `text` before the library; None if each character of it stays in its place."""
        if len(prepared) == len(text) and (not self._preparation or text.isascii()):
            return None
        return self._preparation.aligned(text) if self._preparation else lowercased(as_given(text))

    def _numbers_with_a_comma(self) -> dict[int, list[tuple[int, str]]]:
        """Pieces like "9,", and the ids and pieces of what ALBERT makes of each: of the number, and of the comma.

        encode_pieces() of google-research/albert, tokenization.py.
        """
        found = {}
        for token_id, piece in enumerate(self.tokens):
            if len(piece) > 1 and piece[-1] == "," and piece[-2].isdigit():
                parts = self._library.encode(piece[:-1].replace(SPACE, ""), out_type=str)
                if piece[0] != SPACE and parts[0][0] == SPACE:
                    parts[:1] = [parts[0][1:]] if len(parts[0]) > 1 else []
                found[token_id] = [(self._library.piece_to_id(part), part) for part in [*parts, ","]]
        return found

    def encode_with_offsets(self, text: str) -> Encoding:
        """The ids of `text` and the span of each; of a byte, that of the character that it is of."""
        prepared = self._prepared(text)
        ids = self.encode(text)
        normal = NormalizedText(self._library, prepared, self._is_blank)
        offsets = [normal.span(start, end) for start, end in self._places(normal.text, prepared, ids)]
        encoding, made_of = Encoding(ids, offsets), self._from_prepared(text, prepared)
        return encoding.through(made_of) if made_of else encoding

    def _places(self, normal: str, text: str, ids: Sequence[int]) -> Iterable[Span]:
        """Where in the normalized text each token is."""
        lengths = [self._lengths[token_id] for token_id in ids]
        if not all(lengths):
            return self._places_of_pieces(normal, ids, self._pieces(text))
        ends = list(accumulate(lengths))
        return zip([0, *ends], ends, strict=False)

    def _pieces(self, prepared: str) -> list[str]:
        """What each token is in the text, which is not its own spelling where that is unknown."""
        ids, pieces = self._library.encode(prepared), self._library.encode(prepared, out_type=str)
        return [
            part
            for token_id, piece in zip(ids, pieces, strict=True)
            for _, part in self._split_numbers.get(token_id, [(token_id, piece)])
        ]

    def _places_of_pieces(self, normal: str, ids: Sequence[int], pieces: Sequence[str]) -> Iterator[Span]:
        start, bytes_left = 0, 0
        for token_id, piece in zip(ids, pieces, strict=True):
            is_byte = self._library.is_byte(token_id)
            if is_byte and not bytes_left:
                bytes_left = len(normal[start].encode())
            end = start + (1 if is_byte else len(piece))
            yield start, end
            bytes_left -= is_byte
            start = start if bytes_left else end

    def align(self, text: str) -> AlignedText:
        """What `normalize` gives, with where it comes from."""
        prepared = self._prepared(text)
        normal = NormalizedText(self._library, prepared, self._is_blank)
        spans = [normal.span(at, at + 1) for at in range(len(normal.text))]
        aligned = AlignedText(normal.text.replace(SPACE, " "), spans)
        if aligned.text.startswith(" "):
            aligned = AlignedText(aligned.text[1:], aligned.spans[1:])
        made_of = self._from_prepared(text, prepared)
        return aligned.through(made_of) if made_of else aligned

    def decode(self, ids: Sequence[int]) -> str:
        """The text of `ids`; the library gives nothing for control symbols."""
        return self._library.decode(list(ids))


def _starts_ngram_word(piece: str) -> bool:
    """_is_start_piece_sp() of ALBERT's create_pretraining_data.py, for pieces without a space: a sign, "<...", or
    anything with a digit, another sign or another letter than the English ones.
    """
    others = {char for char in piece if char.lower() not in _LETTERS and char not in _SIGNS}
    return piece in _SIGNS or piece.startswith("<") or bool(others)


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
