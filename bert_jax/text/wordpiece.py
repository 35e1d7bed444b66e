"""WordPiece exactly as in the original BERT: the same ids as its FullTokenizer, computed faster.

The rules (google-research/bert, tokenization.py) are: drop control characters, turn every kind of space into
a space, put spaces around CJK ideographs, split at white space, lower-case and drop accents (uncased only), split
off every punctuation mark as a word of its own, then cover each word from the left with the longest pieces of
the vocabulary (greedy longest-match-first). Three of them are settings, as in Hugging Face's tokenizers:
strip_accents, tokenize_chinese_chars and max_input_chars_per_word. A fourth, drops_private_use, is what those do with
such characters (U+F0B7, the bullet of many PDFs) and the original does not.

It is our own because the `tokenizers` library differs from the original in some cases (word length, Unicode
version, "[MASK]" in running text), and is slower: most words of a text are found in a dictionary here.
Training a vocabulary is in trainers.py.
"""

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import Generic, TypeVar

from etils import epath

from bert_jax.text.characters import SPLIT, STRIP, STRIP_AND_SPLIT, cleaning
from bert_jax.text.offsets import AlignedText, Encoding, as_given, decomposed, lowercased, translated
from bert_jax.text.special_tokens import find_special_ids
from bert_jax.text.vocab_txt import read_vocab_txt

LONGEST_WORD = 200  # characters; a longer word is one unknown token, as in the original; in transformers from 101 on
_CACHED_WORDS = 200_000  # bounds the memory of one process to some 80 MB
_LONGEST_CACHED_WORD = 40  # characters; scripts without spaces would fill the cache with whole sentences

_ASCII_WORD = re.compile("[a-zA-Z0-9]+|[^a-zA-Z0-9 ]")  # of printable text: every symbol is a word
_BETWEEN_SPACES = re.compile(r"[\S\x0b\x0c\x1c-\x1f\x85]+")  # these are no spaces but controls, which are dropped
_WORD = re.compile(r"\S+")

_Value = TypeVar("_Value")


class WordPiece:
    """Greedy longest-match-first tokenization with a vocab.txt."""

    kind = "wordpiece"
    file_name = "vocab.txt"

    def __init__(
        self,
        tokens: Sequence[str],
        lowercase: bool,
        strip_accents: bool | None = None,
        tokenize_chinese_chars: bool = True,
        source: str = "the vocabulary",
        max_input_chars_per_word: int = LONGEST_WORD,
        drops_private_use: bool = False,
    ) -> None:
        """Take the token of every id.

        Args:
            tokens: the token of each id; of equal ones the last has its id in texts, as in the original.
            lowercase: whether text is lower-cased.
            strip_accents: whether accents, that is all nonspacing marks, are dropped; None: if text is lower-cased.
            tokenize_chinese_chars: whether each CJK ideograph is a word of its own.
            source: names the vocabulary in errors.
            max_input_chars_per_word: a longer word is one unknown token.
            drops_private_use: whether characters of private use are dropped, as controls are.
        """
        self.tokens = list(tokens)
        self.lowercase = lowercase
        self.strip_accents = lowercase if strip_accents is None else strip_accents
        self.tokenize_chinese_chars = tokenize_chinese_chars
        self.max_input_chars_per_word = max_input_chars_per_word
        self.drops_private_use = drops_private_use
        self._clean = cleaning(tokenize_chinese_chars, drops_private_use)
        self.special_ids = find_special_ids(self.tokens, source)
        self.continues_word = [token.startswith("##") for token in self.tokens]
        pieces = {token: token_id for token_id, token in enumerate(self.tokens)}
        longest = max(map(len, self.tokens))
        cover = _WordCache(lambda word: _cover(word, pieces, self.special_ids.unk, longest, max_input_chars_per_word))
        self._ids_of_word = cover
        self._ids_of_raw = _WordCache(lambda text: tuple(chain.from_iterable(map(cover.__getitem__, self.words(text)))))
        self._aligned_ids_of_raw = _WordCache(lambda text: tuple(self._aligned_ids(text)))

    @classmethod
    def read(
        cls,
        path: epath.Path,
        do_lower_case: bool | None,
        strip_accents: bool | None = None,
        tokenize_chinese_chars: bool = True,
        max_input_chars_per_word: int = LONGEST_WORD,
        drops_private_use: bool = False,
    ) -> "WordPiece":
        """Read a vocab.txt: one token a line, the line number being the id. Uncased unless `do_lower_case` is False."""
        how = do_lower_case is not False, strip_accents, tokenize_chinese_chars
        return cls(read_vocab_txt(path), *how, str(path), max_input_chars_per_word, drops_private_use)

    def files(self) -> dict[str, bytes]:
        """The name and content of each file that gives this tokenizer back."""
        return {self.file_name: "".join(token + "\n" for token in self.tokens).encode("utf-8")}

    def identity(self) -> dict[str, object]:
        """What beside the tokens decides the ids of a text.

        The longest word and private use are not in it: the original's vocabulary and its copy for transformers, which
        differ in those alone, are the same one.
        """
        return {"lowercase": self.lowercase, **self.unusual_settings()}

    def unusual_settings(self) -> dict[str, bool]:
        """Those of strip_accents and tokenize_chinese_chars that are not the original's."""
        # Only those, so that the fingerprints of vocabularies made before there were these settings stay the same.
        settings = {}
        if self.strip_accents != self.lowercase:
            settings["strip_accents"] = self.strip_accents
        if not self.tokenize_chinese_chars:
            settings["tokenize_chinese_chars"] = False
        return settings

    def encode(self, text: str) -> list[int]:
        """The ids of `text`; nothing in it is special, "[MASK]" is three words."""
        if text.isascii() and text.isprintable():  # all rules but two do nothing
            words = _ASCII_WORD.findall(text.lower() if self.lowercase else text)
            return list(chain.from_iterable(map(self._ids_of_word.__getitem__, words)))
        # A printable text has no white space but " ", so it can be split before it is cleaned, and whole words
        # with their capitals and punctuation can be looked up. Other texts may hold control characters at
        # which str.split() splits while the original drops them and joins what they separate.
        words = text.split() if text.isprintable() else text.translate(self._clean).split()
        return list(chain.from_iterable(map(self._ids_of_raw.__getitem__, words)))

    def encode_with_offsets(self, text: str) -> Encoding:
        """The ids of `text` and the span of each: of a piece what it was made of, of an unknown word the whole word."""
        word = _ASCII_WORD if text.isascii() and text.isprintable() else _BETWEEN_SPACES
        encoding = Encoding([], [])
        add_id, add_span = encoding.ids.append, encoding.offsets.append
        for found in word.finditer(text):
            at = found.start()
            for token_id, start, end in self._aligned_ids_of_raw[found[0]]:
                add_id(token_id)
                add_span((at + start, at + end))
        return encoding

    def _aligned_ids(self, text: str) -> Iterator[tuple[int, int, int]]:
        """Each id with its span, of text between spaces."""
        aligned = translated(self.align(text), SPLIT)
        for word in _WORD.finditer(aligned.text):
            start = word.start()
            for token_id in self._ids_of_word[word[0]]:
                length = len(self.tokens[token_id]) - (2 if start > word.start() else 0)  # without "##"
                end = word.end() if token_id == self.special_ids.unk else start + length
                yield token_id, *aligned.span(start, end)
                start = end

    def decode(self, ids: Sequence[int]) -> str:
        """The text of `ids`: words separated by spaces, pieces glued to the word they continue."""
        return " ".join(self.tokens[token_id] for token_id in ids).replace(" ##", "")

    def normalize(self, text: str) -> str:
        """`text` as the pieces are spelt, not yet split: cleaned, in lower case and without accents if that is set."""
        if text.isascii() and text.isprintable():
            return text.lower() if self.lowercase else text
        text = text.translate(self._clean)
        if self.lowercase:
            text = text.lower()
        return unicodedata.normalize("NFD", text).translate(STRIP) if self.strip_accents else text

    def align(self, text: str) -> AlignedText:
        """What `normalize` gives, with where it comes from.

        What is dropped is in no character's span but for an accent, which is in that of the letter that it was on.
        """
        if text.isascii() and text.isprintable():
            return AlignedText(self.normalize(text), as_given(text).spans)
        aligned = translated(as_given(text), self._clean)
        if self.lowercase:
            aligned = lowercased(aligned)
        return decomposed(aligned, STRIP) if self.strip_accents else aligned

    def words(self, text: str) -> list[str]:
        """The words of `text`, not yet split into pieces."""
        text = text.translate(self._clean)
        if self.lowercase:
            text = text.lower()
        if self.strip_accents:
            return unicodedata.normalize("NFD", text).translate(STRIP_AND_SPLIT).split()
        return text.translate(SPLIT).split()


def _cover(word: str, pieces: dict[str, int], unk_id: int, longest: int, longest_word: int) -> tuple[int, ...]:
    """The longest pieces that cover `word` from the left, or the unknown token for it. No piece is over `longest`."""
    if len(word) > longest_word:
        return (unk_id,)
    ids = []
    rest, prefix = word, ""
    while rest:
        for end in range(min(len(rest), longest), 0, -1):
            token_id = pieces.get(prefix + rest[:end])
            if token_id is not None:
                break
        else:
            return (unk_id,)
        ids.append(token_id)
        rest, prefix = rest[end:], "##"
    return tuple(ids)


class _WordCache(dict[str, _Value], Generic[_Value]):
    """A bounded cache of word -> ids, or ids with spans. Words follow Zipf's law, so nearly every look-up is a hit."""

    def __init__(self, compute: Callable[[str], _Value]) -> None:
        super().__init__()
        self._compute = compute

    def __missing__(self, word: str) -> _Value:
        value = self._compute(word)
        if len(word) <= _LONGEST_CACHED_WORD:
            if len(self) >= _CACHED_WORDS:
                self.clear()
            self[word] = value
        return value
