"""Sentences of words as rows: each word's first piece stands for it (arXiv 1810.04805, section 5.3)."""

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np

from bert_jax.tasks.encoding import TextEncoder
from bert_jax.tasks.rows import IGNORED, EncodedText


@dataclasses.dataclass(frozen=True)
class WordRow:
    """A row, and which words it answers for: those that have no more context in another window."""

    text: EncodedText
    words: np.ndarray  # int64: their numbers in the sentence
    positions: np.ndarray  # int64: the place of each one's first piece in the row

    def labels(self, numbers: Sequence[int] | None) -> list[int]:
        """Of each token of the row, given each word's label; IGNORED but for the first pieces of its words."""
        found = np.full(len(self.text.ids), IGNORED)
        if numbers is not None:
            found[self.positions] = np.asarray(numbers)[self.words]
        return found.tolist()


def word_rows(words: Sequence[str], encoder: TextEncoder) -> list[WordRow]:
    """One row, or several windows where the sentence is too long; or its beginning alone, where it is to be cut.

    A word without a piece, of invisible characters say, is in no row.
    """
    room = encoder.max_length - 2
    pieces = [encoder.tokenizer.encode_word(word)[:room] for word in words]
    encoder.counts.texts += 1
    starts = np.concatenate([[0], np.cumsum([len(each) for each in pieces])])
    if starts[-1] <= room:
        return [_row(encoder, pieces, 0, len(words), np.arange(len(words)))]
    encoder.counts.too_long += 1
    spans = list(_spans(starts, room, min(encoder.text.window_overlap, room // 2)))
    if not encoder.windows:
        spans = spans[:1]
    owner = _owners(starts, spans)
    return [
        _row(encoder, pieces, first, last, np.flatnonzero(owner == number))
        for number, (first, last) in enumerate(spans)
    ]


def _spans(starts: np.ndarray, room: int, overlap: int) -> Iterator[tuple[int, int]]:
    """Windows of whole words, [first, last), of at most `room` pieces; the next has about `overlap` of them too."""
    first, words = 0, len(starts) - 1
    while True:
        last = int(np.searchsorted(starts, starts[first] + room, side="right")) - 1
        yield first, last
        if last >= words:
            return
        first = max(first + 1, int(np.searchsorted(starts, starts[last] - overlap, side="left")))


def _owners(starts: np.ndarray, spans: Sequence[tuple[int, int]]) -> np.ndarray:
    """The number of the window in which each word has the most context on its poorer side; -1: it is in none."""
    words = len(starts) - 1
    best, owner = np.full(words, -1.0), np.full(words, -1)
    for number, (first, last) in enumerate(spans):
        left = starts[first:last] - starts[first]
        right = starts[last] - starts[first + 1 : last + 1]
        context = np.minimum(left, right) + 0.01 * (starts[last] - starts[first])
        better = context > best[first:last]
        owner[first:last] = np.where(better, number, owner[first:last])
        best[first:last] = np.maximum(context, best[first:last])
    return owner


def _row(encoder: TextEncoder, pieces: Sequence[Sequence[int]], first: int, last: int, owned: np.ndarray) -> WordRow:
    ids = [piece for each in pieces[first:last] for piece in each]
    begins = 1 + np.concatenate([[0], np.cumsum([len(each) for each in pieces[first:last]])])
    owned = np.array([word for word in owned if pieces[word]], np.int64)
    return WordRow(encoder.row(ids, None), owned, begins[owned - first].astype(np.int64))
