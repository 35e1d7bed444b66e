"""Words too long for the trainers of vocabularies, whose time grows with the square of a word's length.

A megabyte without white space is no word of any language: it is data among the text, or text without spaces, as that of
Chinese or DNA. WordPiece makes a word of more than 200 characters unknown, so its trainer does without; the others get
every character, in pieces.
"""

import re
from collections.abc import Iterable, Iterator

from absl import logging

_LONGEST = 10_000  # characters, or white space, in one piece; text without spaces has longer ones on a line seldom
_RUN = re.compile(r"\S+|\s+")
_SHOWN = 20  # characters of the first


class LongWords:
    """Takes words of more than `longest` characters out of the way, and counts them."""

    def __init__(self, longest: int = _LONGEST) -> None:
        self._longest = longest
        self._count = 0
        self._first = ""

    def left_out(self, words: list[str]) -> list[str]:
        """`words` without the long ones."""
        if max(map(len, words), default=0) <= self._longest:
            return words
        for word in words:
            if len(word) > self._longest:
                self._add(word)
        return [word for word in words if len(word) <= self._longest]

    def cut(self, lines: Iterable[str]) -> Iterator[str]:
        """`lines`, where a long word's pieces end cut in two."""
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

    def tell(self, fate: str) -> None:
        """Log one warning on what became of long words, if there were any."""
        if self._count:
            logging.warning(
                "%d words of more than %d characters, the first of them %r..., are %s",
                *(self._count, self._longest, self._first, fate),
            )

    def _add(self, word: str) -> None:
        self._count += 1
        self._first = self._first or word[:_SHOWN]


def cut_at_white_space(lines: Iterable[str], most_bytes: int) -> Iterator[str]:
    """`lines` in parts of at most `most_bytes`, cut within a word only if it has no room in one."""
    most = most_bytes // 4  # characters, none of which has more than four bytes
    part = re.compile(rf".{{1,{most}}}(?!\S)|.{{1,{most}}}", re.DOTALL)
    for line in lines:
        if len(line) <= most or len(line.encode()) <= most_bytes:
            yield line
        else:
            yield from part.findall(line)
