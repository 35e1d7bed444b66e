"""Where in a text its tokens are: spans of characters, followed through what is done to a text before it is cut.

Characters are Unicode code points, and a span is half-open: text[start:end]. A text that was lower-cased or whose
accents were dropped is kept with the span of the given text that each of its characters comes from.
"""

import dataclasses
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Literal

Span = tuple[int, int]


@dataclasses.dataclass(frozen=True)
class AlignedText:
    """A text made of another.

    Attributes:
        text: the text.
        spans: per character, the span of the other text that it comes from; starts and ends never decrease.
    """

    text: str
    spans: Sequence[Span]

    def span(self, start: int, end: int) -> Span:
        """Where text[start:end] comes from; an empty span for what comes from nothing."""
        found = [span for span in self.spans[start:end] if span[0] < span[1]]
        if found:
            return found[0][0], found[-1][1]
        if start == len(self.spans):
            end = self.spans[-1][1] if self.spans else 0
            return end, end
        is_within = start > 0 and self.spans[start][0] < self.spans[start - 1][1]  # what one character gave
        return self.spans[start] if is_within else (self.spans[start][0], self.spans[start][0])

    def through(self, other: "AlignedText") -> "AlignedText":
        """The text as made of what `other.text` was made of, when it was itself made of `other.text`."""
        return AlignedText(self.text, [other.span(*span) for span in self.spans])


@dataclasses.dataclass(frozen=True)
class Encoding:
    """The ids of a text and where their tokens are in it.

    Attributes:
        ids: what encode gives.
        offsets: per id, the span of the text as it was given; starts and ends never decrease. Tokens overlap where
            they come from one character. The space about a word is in no span; that of a token of spaces is empty.
    """

    ids: list[int]
    offsets: list[Span]

    def shifted(self, by: int) -> "Encoding":
        """The same as part of a text in which it begins at character `by`."""
        return Encoding(self.ids, [(start + by, end + by) for start, end in self.offsets])

    def through(self, aligned: AlignedText) -> "Encoding":
        """The same in the text that `aligned.text`, which was encoded, was made of."""
        return Encoding(self.ids, [aligned.span(*span) for span in self.offsets])


def joined(parts: Iterable[Encoding]) -> Encoding:
    """The encoding of a text of which `parts` are the encodings of its parts, in order and shifted to their places."""
    whole = Encoding([], [])
    for part in parts:
        whole.ids.extend(part.ids)
        whole.offsets.extend(part.offsets)
    return whole


def trimmed(text: str, start: int, end: int, white: str | None = None) -> Span:
    """The span without the `white` characters (None: any white space) at its ends; empty, at its start, if all are."""
    content = text[start:end].lstrip(white)
    if not content:
        return start, start
    first = end - len(content)
    return first, first + len(content.rstrip(white))


def as_given(text: str) -> AlignedText:
    """The text as made of itself."""
    return AlignedText(text, [(at, at + 1) for at in range(len(text))])


def translated(aligned: AlignedText, table: Mapping[int, str]) -> AlignedText:
    """str.translate: each character of a replacement comes from what the replaced one came from."""
    return _each(aligned, (table[ord(char)] for char in aligned.text))


def lowercased(aligned: AlignedText) -> AlignedText:
    """str.lower, in which "İ" becomes two characters."""
    by_character = _each(aligned, (char.lower() for char in aligned.text))
    return AlignedText(aligned.text.lower(), by_character.spans)  # a sigma at a word's end is another, and no longer


def _each(aligned: AlignedText, replacements: Iterable[str]) -> AlignedText:
    pairs = [(new, span) for replacement, span in zip(replacements, aligned.spans, strict=True) for new in replacement]
    return _of_pairs(pairs)


def _of_pairs(pairs: Sequence[tuple[str, Span]]) -> AlignedText:
    return AlignedText("".join(char for char, _ in pairs), [span for _, span in pairs])


def decomposed(aligned: AlignedText, table: Mapping[int, str], form: Literal["NFD", "NFKD"] = "NFD") -> AlignedText:
    """Unicode's NFD or NFKD without the characters for which `table` has nothing: marks, each in the span of what it
    was on.
    """
    parts = _each(aligned, (unicodedata.normalize(form, char) for char in aligned.text))
    pairs: list[tuple[str, Span]] = []
    for _, run in groupby(zip(parts.text, parts.spans, strict=True), lambda pair: unicodedata.combining(pair[0]) > 0):
        at = len(pairs)
        for char, span in run:
            if table[ord(char)]:
                pairs.append((char, span))
            elif pairs:
                _extend_last(pairs, span[1])
        pairs[at:] = _in_canonical_order(pairs[at:])
    return _of_pairs(pairs)


def _extend_last(pairs: list[tuple[str, Span]], end: int) -> None:
    """Make the last span reach to `end`, and those before it that are the same: one character gave several."""
    last = pairs[-1][1]
    for at in range(len(pairs) - 1, -1, -1):
        char, span = pairs[at]
        if span != last or end <= last[1]:
            break
        pairs[at] = char, (last[0], end)


def _in_canonical_order(run: list[tuple[str, Span]]) -> list[tuple[str, Span]]:
    ordered = sorted(run, key=lambda pair: unicodedata.combining(pair[0]))  # stable: 0 of all, or of none
    if ordered == run:
        return run
    # Marks that changed places have the span of all, so that spans still ascend.
    whole = run[0][1][0], run[-1][1][1]
    return [(mark, whole) for mark, _ in ordered]
