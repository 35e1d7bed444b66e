"""Where in a text the characters come from that the `sentencepiece` library normalizes it to."""

import unicodedata

import sentencepiece

from bert_jax.text.offsets import Span

SPACE = "▁"  # how the library spells a space


class NormalizedText:
    """A text as the library normalizes it, and where in the given text its characters come from."""

    def __init__(self, library: sentencepiece.SentencePieceProcessor, given: str, is_blank: "BlankCharacters") -> None:
        self._given = given
        self._is_blank = is_blank
        # Where each character begins in the given text, and last where what is read of that ends.
        self.text, self._starts = library.normalize(given, with_offsets=True)
        self._prefix = int(self.text.startswith(SPACE))  # put there by the library

    def span(self, start: int, end: int) -> Span:
        """The span that text[start:end] comes from, without what is blank at its ends; empty if all is."""
        starts, given = self._starts, self._given
        start = start or self._prefix
        first = starts[start]
        if start >= end:
            return first, first
        while starts[end] == starts[end - 1] and end < len(self.text):  # one character gave several
            end += 1
        last = starts[end]
        while last > first and self._is_blank[given[last - 1]]:
            last -= 1
        while last > first and self._is_blank[given[first]]:
            first += 1
        return first, last


class BlankCharacters(dict[str, bool]):
    """Whether a character is white space for the library, or dropped; but a mark belongs to the character before it."""

    def __init__(self, library: sentencepiece.SentencePieceProcessor) -> None:
        super().__init__()
        self._library = library

    def __missing__(self, char: str) -> bool:
        is_mark = unicodedata.category(char).startswith("M")
        self[char] = is_blank = not (is_mark or self._library.normalize(char).strip(SPACE))
        return is_blank
