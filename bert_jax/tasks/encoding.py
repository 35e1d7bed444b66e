"""Texts to token rows as the original builds them (google-research/bert run_classifier.py): [CLS] a [SEP] b [SEP].

With RoBERTa's vocabularies it is <s> a </s></s> b </s>. A text that is too long is cut, or read in windows; either way
it is counted.
"""

import dataclasses
from collections.abc import Iterator, Sequence

from absl import logging

from bert_jax.config import TextConfig
from bert_jax.tasks.rows import EncodedText
from bert_jax.text.tokenizer import Tokenizer


@dataclasses.dataclass
class TruncationCounts:
    """How many texts there were and how many of them were longer than a row."""

    texts: int = 0
    too_long: int = 0
    pairs_cut: int = 0  # those that are cut even where windows are asked for
    questions_cut: int = 0
    windows: str = ""  # how they follow one another, where that is not by text.window_overlap


class TextEncoder:
    """Texts as rows of at most `max_length` tokens."""

    def __init__(self, tokenizer: Tokenizer, text: TextConfig, windows: bool | None) -> None:
        """`windows`: a text that is too long gives several rows, and is not cut, where `text` leaves that open.

        None: it is cut, whatever `text` says.
        """
        self.tokenizer, self.text, self.max_length = tokenizer, text, text.max_length
        self.windows = bool(windows) if windows is None or text.long == "auto" else text.long == "windows"
        self._always_cuts = windows is None
        self.counts = TruncationCounts()

    def rows(self, text: str, text2: str | None = None) -> list[EncodedText]:
        """One row for a text or a pair; several only if it is too long and windows are asked for."""
        first = self.tokenizer.encode(text)
        second = self.tokenizer.encode(text2) if text2 else None  # an empty second text is none (run_classifier.py:395)
        room = self.room(second is not None)
        self.counts.texts += 1
        if len(first) + len(second or ()) <= room:
            return [self.row(first, second)]
        self.counts.too_long += 1
        return list(self._windows(first, second, room)) if self.windows else [self._cut(first, second, room)]

    def log_lengths(self, name: str, remedy: str) -> None:
        """Log how many texts of the file `name` were too long, and what became of them; `remedy`: lest they are cut."""
        if self.counts.too_long:
            windows = f"read in windows{self.counts.windows}"
            cut = "cut" if self._always_cuts else f"cut ({remedy} reads all of them)"
            what = windows if self.windows else cut
            counts = f"{self.counts.too_long:,} of {self.counts.texts:,} texts"
            logging.warning("%s: %s are longer than %d tokens: %s", name, counts, self.max_length, what)
        if self.counts.pairs_cut:
            counts = f"{self.counts.pairs_cut:,} of {self.counts.texts:,} texts"
            logging.warning("%s: %s are pairs longer than %d tokens: cut", name, counts, self.max_length)
        if self.counts.questions_cut:
            cut = f"{self.counts.questions_cut:,} of {self.counts.texts:,} questions"
            logging.warning("%s: %s are cut (finetune --config.task.max_query_length=N allows longer ones)", name, cut)

    def room(self, is_pair: bool) -> int:
        """How many pieces of a text, or of the two of a pair, fit into a row beside the special tokens."""
        return self.max_length - 2 - (self.tokenizer.separators_between if is_pair else 0)

    def row(self, first: Sequence[int], second: Sequence[int] | None) -> EncodedText:
        """Special tokens around pieces that fit."""
        cls, sep = self.tokenizer.cls_id, self.tokenizer.sep_id
        if second is None:
            return EncodedText([cls, *first, sep], len(first) + 2)
        ids = [cls, *first, *[sep] * self.tokenizer.separators_between]
        return EncodedText([*ids, *second, sep], len(ids), self.tokenizer.second_segment)

    def _cut(self, first: list[int], second: list[int] | None, room: int) -> EncodedText:
        if second is None:
            return self.row(first[:room], None)
        return self.row(*truncate_pair(first, second, room))

    def _windows(self, first: list[int], second: list[int] | None, room: int) -> Iterator[EncodedText]:
        """All of a text, and of both of a pair.

        The longer one of a pair is read in windows beside the whole of the other; if that is longer than half of the
        row, in halves of the row, the windows of the one beside those of the other in proportion.
        """
        overlap = self.text.window_overlap
        if second is None:
            for start, stop in spans(len(first), room, overlap):
                yield self.row(first[start:stop], None)
            return
        of_first = list(spans(len(first), max(room // 2, room - len(second)), overlap))
        of_second = list(spans(len(second), max(room - room // 2, room - len(first)), overlap))
        number = max(len(of_first), len(of_second))
        for place in range(number):
            start, stop = of_first[place * len(of_first) // number]
            start2, stop2 = of_second[place * len(of_second) // number]
            yield self.row(first[start:stop], second[start2:stop2])


def truncate_pair(first: list[int], second: list[int], room: int) -> tuple[list[int], list[int]]:
    """Cut the longer one, and of equal ones the second, piece by piece until both fit (run_classifier.py:557-572)."""
    a, b = len(first), len(second)
    while a + b > room:
        if a > b:
            a -= 1
        else:
            b -= 1
    return first[:a], second[:b]


def spans(length: int, room: int, overlap: int) -> Iterator[tuple[int, int]]:
    """Windows of `room` over `length` pieces, each with `overlap` pieces (at most half of `room`) of the one before."""
    stride = max(1, room - min(overlap, room // 2))
    start = 0
    while True:
        yield start, min(start + room, length)
        if start + room >= length:
            return
        start += stride
