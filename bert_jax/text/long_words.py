"""Words too long for the trainers of vocabularies, whose time grows with the square of a word's length.

A megabyte without white space is no word of any language: it is data among the text, or text without spaces, as that of
Chinese or DNA. WordPiece makes a word of more than 200 characters unknown, so its trainer gets none of them; the others
get every character, in chunks.
"""

import re
from collections.abc import Iterable, Iterator

from absl import logging

_LONGEST = 10_000  # characters, or white space, of one chunk; text without spaces has longer ones on a line seldom
_RUN = re.compile(r"\S+|\s+")
_LONGEST_EXAMPLE = 20  # characters


class LongWords:
    """Leaves out or splits words of more than `longest` characters, and counts them."""

    def __init__(self, longest: int = _LONGEST) -> None:
        self._longest = longest
        self._count = 0
        self._first = ""

    def without_long(self, words: list[str]) -> list[str]:
        """`words` without the long ones."""
        if max(map(len, words), default=0) <= self._longest:
            return words
        for word in words:
            if len(word) > self._longest:
                self._add(word)
        return [word for word in words if len(word) <= self._longest]

    def split(self, lines: Iterable[str]) -> Iterator[str]:
        """`lines`, split at the end of each chunk of a long word."""
        for line in lines:
            start = 0
            for run in _RUN.finditer(line) if len(line) > self._longest else ():
                ends = range(run.start() + self._longest, run.end(), self._longest)
                if ends:
                    self._add(run[0])
                for end in ends:
                    yield line[start:end]
                    start = end
            yield line[start:]

    def warn(self, fate: str) -> None:
        """Log one warning on what became of long words, if there were any."""
        if self._count:
            logging.warning(
                "%d words of more than %d characters, the first of them %r..., are %s",
                *(self._count, self._longest, self._first, fate),
            )

    def _add(self, word: str) -> None:
        self._count += 1
        self._first = self._first or word[:_LONGEST_EXAMPLE]


def split_at_white_space(lines: Iterable[str], most_bytes: int) -> Iterator[str]:
    """`lines` in chunks of at most `most_bytes`, split within a word only if that alone is longer."""
    most = most_bytes // 4  # characters, none of which has more than four bytes
    chunk = re.compile(rf".{{1,{most}}}(?!\S)|.{{1,{most}}}", re.DOTALL)
    for line in lines:
        if len(line) <= most or len(line.encode()) <= most_bytes:
            yield line
        else:
            yield from chunk.findall(line)
