"""How long the texts of a file are, how many were too long, and what became of those."""

import dataclasses
from typing import Literal

import numpy as np

from bert_jax.tasks.encoding import TextEncoder
from bert_jax.tasks.rows import Rows

_BINS = 24  # at most, of a histogram


@dataclasses.dataclass(frozen=True)
class TextLengths:
    """Lengths in tokens, special ones included, of each example's first row: one that is too long counts as the most.

    `counts[i]` examples are longer than `edges[i]` and at most `edges[i + 1]`.
    """

    texts: int
    too_long: int
    long: Literal["cut", "windows"]
    max_length: int
    median: float
    edges: tuple[int, ...]
    counts: tuple[int, ...]


def text_lengths(rows: Rows, encoder: TextEncoder) -> TextLengths:
    """Of the rows that `encoder` made."""
    firsts = np.unique(rows.example, return_index=True)[1]
    lengths = rows.lengths[firsts]
    longest = int(lengths.max(initial=1))
    width = -(-longest // _BINS)
    edges = range(0, longest + width, width)
    counts = np.bincount((lengths - 1).clip(0) // width, minlength=len(edges) - 1)
    return TextLengths(
        texts=encoder.counts.texts,
        too_long=encoder.counts.too_long,
        long="windows" if encoder.windows else "cut",
        max_length=encoder.max_length,
        median=float(np.median(lengths)),
        edges=tuple(edges),
        counts=tuple(counts.tolist()),
    )
