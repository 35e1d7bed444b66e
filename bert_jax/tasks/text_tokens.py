"""Texts as tokens that keep their places, for what is made of each token: states of tokens, and of words."""

import dataclasses
import functools
import re
from bisect import bisect_right
from collections.abc import Sequence

import numpy as np

from bert_jax.tasks.encoding import TextEncoder, spans, truncate_pair
from bert_jax.tasks.rows import EncodedText
from bert_jax.text.masked_text import masks_with_offsets
from bert_jax.text.offsets import Span

_WORD = re.compile(r"\S+")


@dataclasses.dataclass(frozen=True)
class TextTokens:
    """The tokens of a text or a pair, special ones included, each once.

    Attributes:
        ids: of the tokens, int32 [tokens].
        offsets: int32 [tokens, 2], in Unicode characters of the text that the token is of; (0, 0) of special ones.
        segments: uint8 [tokens], 1 from the second text of a pair on.
        special: uint8 [tokens], 1 of [CLS] and [SEP].
        rows: what a model reads, one, or several windows.
        windows: per token, the row in which it has most context.
        places: per token, where it is in that row.
    """

    ids: np.ndarray
    offsets: np.ndarray
    segments: np.ndarray
    special: np.ndarray
    rows: Sequence[EncodedText]
    windows: np.ndarray
    places: np.ndarray


def tokens_of(encoder: TextEncoder, text: str, text2: str | None = None, masks: bool = False) -> TextTokens:
    """The tokens of a text or a pair; one that is too long is counted, and cut, or read in windows (a pair: cut).

    `masks`: "[MASK]" in a text is a mask, and not a word like others.
    """
    tokenizer = encoder.tokenizer
    encode = functools.partial(masks_with_offsets, tokenizer=tokenizer) if masks else tokenizer.encode_with_offsets
    first = encode(text)
    second = encode(text2) if text2 else None
    room = encoder.room(second is not None)
    encoder.counts.texts += 1
    a, b = first.ids, second.ids if second else []
    if len(a) + len(b) > room:
        if second is None or not encoder.windows:
            encoder.counts.too_long += 1
        else:
            encoder.counts.pairs_cut += 1
        if second is None and encoder.windows:
            return _in_windows(encoder, a, first.offsets, room)
        a, b = (a[:room], b) if second is None else truncate_pair(a, b, room)
    row = encoder.row(a, b if second else None)
    around = [first.offsets[: len(a)], second.offsets[: len(b)]] if second else [first.offsets[: len(a)]]
    between = tokenizer.separators_between
    return _tokens(row, around, [row], np.zeros(len(row.ids)), np.arange(len(row.ids)), between)


def _in_windows(encoder: TextEncoder, ids: list[int], offsets: list[Span], room: int) -> TextTokens:
    bounds = np.array(list(spans(len(ids), room, encoder.text.window_overlap)))
    rows = [encoder.row(ids[start:stop], None) for start, stop in bounds]
    piece = np.arange(len(ids))[:, None]
    context = np.minimum(piece - bounds[:, 0], bounds[:, 1] - 1 - piece)  # below 0 outside of the window
    best = context.argmax(axis=1)
    windows = np.concatenate([[0], best, [len(rows) - 1]])
    places = np.concatenate([[0], 1 + piece[:, 0] - bounds[best, 0], [len(rows[-1].ids) - 1]])
    return _tokens(encoder.row(ids, None), [offsets], rows, windows, places)


def _tokens(
    whole: EncodedText,
    offsets: list[list[Span]],
    rows: list[EncodedText],
    windows: np.ndarray,
    places: np.ndarray,
    between: int = 1,
) -> TextTokens:
    """`offsets`: of the pieces of each text; special tokens stand before, between (so many) and after them."""
    spans_of, special = [(0, 0)], [1]
    for number, part in enumerate(offsets, 1):
        behind = 1 if number == len(offsets) else between
        spans_of += [*part, *[(0, 0)] * behind]
        special += [0] * len(part) + [1] * behind
    return TextTokens(
        ids=np.array(whole.ids, np.int32),
        offsets=np.array(spans_of, np.int32),
        segments=(np.arange(len(whole.ids)) >= whole.first_segment).astype(np.uint8),
        special=np.array(special, np.uint8),
        rows=rows,
        windows=windows.astype(np.int64),
        places=places.astype(np.int64),
    )


@dataclasses.dataclass(frozen=True)
class TextWords:
    """The words of a text or a pair, which white space parts.

    Attributes:
        offsets: int32 [words, 2], in characters of the text that the word is of.
        segments: uint8 [words], 1 of the second text of a pair.
        pieces: int32 [words], how many tokens a word has; 0 of one that no piece is left of, or that was cut off.
        word_of: int64 [tokens], the word of each token, -1 of special ones.
    """

    offsets: np.ndarray
    segments: np.ndarray
    pieces: np.ndarray
    word_of: np.ndarray


def words_of(text: str, text2: str | None, tokens: TextTokens) -> TextWords:
    """The words, and which tokens are of them: those that begin in a word."""
    by_text = [[found.span() for found in _WORD.finditer(each)] for each in (text, text2 or "")]
    word_of = np.full(len(tokens.ids), -1, np.int64)
    for place, (start, end) in enumerate(tokens.offsets.tolist()):
        if tokens.special[place] or start == end:
            continue
        segment = int(tokens.segments[place])
        number = bisect_right(by_text[segment], (start, float("inf"))) - 1
        if number >= 0 and start < by_text[segment][number][1]:
            word_of[place] = number + segment * len(by_text[0])
    count = len(by_text[0]) + len(by_text[1])
    return TextWords(
        offsets=np.array([span for part in by_text for span in part], np.int32).reshape(count, 2),
        segments=(np.arange(count) >= len(by_text[0])).astype(np.uint8),
        pieces=np.bincount(word_of[word_of >= 0], minlength=count).astype(np.int32),
        word_of=word_of,
    )
