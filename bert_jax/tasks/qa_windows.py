"""Questions as rows, as the original has them (google-research/bert run_squad.py): [CLS] question [SEP] window [SEP].

A context is read in windows; each begins text.doc_stride pieces after the one before, and overlaps it by the rest.
"""

import dataclasses
import functools
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from bert_jax.tasks.encoding import TextEncoder
from bert_jax.tasks.examples import QuestionExample
from bert_jax.tasks.rows import EncodedText, Rows, make_rows
from bert_jax.tasks.squad import placed_answers
from bert_jax.text.tokenizer import Tokenizer

_WORD = re.compile("[^ \t\r\n\u202f]+")  # run_squad.py:233; other spaces are within words

Pieces = tuple[int, int]  # numbers of the first and the last one


@dataclasses.dataclass(frozen=True)
class Context:
    """A context in pieces."""

    text: str
    ids: list[int]
    spans: np.ndarray  # int32 [pieces, 2], the characters of each: text[start:end]

    @classmethod
    def of(cls, text: str, tokenizer: Tokenizer) -> "Context":
        """With the pieces of the whole text, which for WordPiece are those of its words."""
        encoding = tokenizer.encode_with_offsets(text)
        return cls(text, encoding.ids, np.array(encoding.offsets, np.int32).reshape(-1, 2))

    @functools.cached_property
    def words(self) -> tuple[np.ndarray, np.ndarray]:
        """Of each word between white space, and of the end, its first character and its first piece: int64."""
        starts = np.array([word.start() for word in _WORD.finditer(self.text)] + [len(self.text)], np.int64)
        return starts, np.searchsorted(self.spans[:, 0], starts)


class Window(NamedTuple):
    """What a row has of its context."""

    first: int  # the place in the row of its first piece
    spans: np.ndarray  # int32 [pieces, 2], of characters of the context
    has_max_context: np.ndarray  # bool [pieces], whether no other window has more about the piece


class Cut(NamedTuple):
    """Pieces [start, stop) of a context."""

    start: int
    stop: int
    has_max_context: np.ndarray


def encode_questions(examples: Sequence[QuestionExample], encoder: TextEncoder, longest_question: int) -> Rows:
    """Rows of the examples, a window each; start_positions and end_positions int32 [rows] where answers are known.

    These are 0, the place of [CLS], where a window lacks a part of the answer, and where there is none (:396-428).
    example_weights are 0.0 where there is an answer that cannot be learned: it is not at its offset, or has no pieces.
    """
    encoder.counts.windows = f", each beginning text.doc_stride={encoder.text.doc_stride} tokens after the one before"
    contexts = {text: Context.of(text, encoder.tokenizer) for text in dict.fromkeys(one.context for one in examples)}
    texts: list[EncodedText] = []
    windows: list[Window] = []
    examples_of, places, weights = [], [], []
    for number, example in enumerate(examples):
        context = contexts[example.context]
        pieces = _answer_pieces(example, context, encoder.tokenizer)
        for cut, text in _rows(_question(example, encoder, longest_question), context, encoder):
            texts.append(text)
            windows.append(Window(text.first_segment, context.spans[cut.start : cut.stop], cut.has_max_context))
            examples_of.append(number)
            places.append(_places(pieces, cut, text.first_segment))
            weights.append(float(example.is_impossible or pieces is not None))
    starts, ends = np.array(places, np.int32).reshape(-1, 2).T
    labels = {"start_positions": starts, "end_positions": ends, "example_weights": np.array(weights, np.float32)}
    known = all(example.has_gold for example in examples)
    return make_rows(texts, examples_of, labels=labels if known else None, windows=windows)


def _question(example: QuestionExample, encoder: TextEncoder, longest: int) -> list[int]:
    """Its pieces, of which a quarter of the row at least is left to the context."""
    ids = encoder.tokenizer.encode(example.question)
    longest = min(longest, encoder.room(is_pair=True) * 3 // 4)
    encoder.counts.questions_cut += len(ids) > longest
    return ids[:longest]


def _rows(question: list[int], context: Context, encoder: TextEncoder) -> Iterator[tuple[Cut, EncodedText]]:
    room, pieces = encoder.room(is_pair=True) - len(question), len(context.ids)
    encoder.counts.texts += 1
    encoder.counts.too_long += pieces > room
    for cut in windows_of(pieces if encoder.windows else min(pieces, room), room, encoder.text.doc_stride):
        yield cut, encoder.row(question, context.ids[cut.start : cut.stop])


@functools.lru_cache(maxsize=4096)
def windows_of(pieces: int, room: int, doc_stride: int) -> Sequence[Cut]:
    """Windows of at most `room` pieces; the next begins `doc_stride` later, or after the end if that is sooner (:358).

    A piece has maximum context in the first window of the largest min(left, right) + .01 * length (:514-546).
    """
    starts = [0]
    while starts[-1] + room < pieces:
        starts.append(starts[-1] + min(room, doc_stride))
    bounds = [(start, min(start + room, pieces)) for start in starts]
    best, owner = np.full(pieces, -1.0), np.full(pieces, -1)
    for number, (start, stop) in enumerate(bounds):
        left = np.arange(stop - start)
        context = np.minimum(left, left[::-1]) + 0.01 * (stop - start)
        owner[start:stop][context > best[start:stop]] = number
        best[start:stop] = np.maximum(context, best[start:stop])
    return tuple(Cut(start, stop, owner[start:stop] == number) for number, (start, stop) in enumerate(bounds))


def _places(pieces: Pieces | None, cut: Cut, first: int) -> tuple[int, int]:
    """The answer's places in a row of which `first` is the place of the window's first piece."""
    if pieces is None or pieces[0] < cut.start or pieces[1] >= cut.stop:
        return 0, 0
    return pieces[0] - cut.start + first, pieces[1] - cut.start + first


def _answer_pieces(example: QuestionExample, context: Context, tokenizer: Tokenizer) -> Pieces | None:
    """Those of the first answer that is where the file says; None if there is none, or no piece is left of it."""
    there = placed_answers(example)
    if not there or not context.ids:
        return None
    answer, start = there[0]
    if tokenizer.kind == "wordpiece":
        first, last = _in_words(context, start, start + len(answer), tokenizer.encode(answer))
    else:  # an answer alone may have other pieces than in its context: only its characters say which
        first = int(np.searchsorted(context.spans[:, 1], start, side="right"))
        last = int(np.searchsorted(context.spans[:, 0], start + len(answer), side="left")) - 1
    return (first, last) if first <= last else None


def _in_words(context: Context, start: int, end: int, answer: list[int]) -> Pieces:
    """The first pieces like the answer's in the words that characters [start, end) are of; else those of the words.

    run_squad.py:256-283 and _improve_answer_span: "1895" of "(1895-1943)." is a piece, "Japan" of "Japanese" is none.
    """
    starts, first_pieces = context.words
    words = np.searchsorted(starts, [start, end - 1], side="right") - 1  # a space is of the word before it
    first_word, last_word = np.maximum(words, 0)
    first, last = int(first_pieces[first_word]), int(first_pieces[last_word + 1]) - 1
    for place in range(first, last + 2 - len(answer)):
        if answer and context.ids[place : place + len(answer)] == answer:
            return place, place + len(answer) - 1
    return first, last
