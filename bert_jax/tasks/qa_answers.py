"""Logits of a question's windows to answers: slices of its context (run_squad.py:741-924).

Other than there, an answer's characters are known, and its text is not rebuilt from pieces.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from bert_jax.tasks.qa_windows import Window

N_BEST = 20  # starts and ends of a window, and answers of a question
SHOWN = 5  # answers of a prediction


class Span(NamedTuple):
    """A possible answer, context[start:end]; an empty one says that there is none."""

    score: float  # the sum of the logits of its ends
    start: int
    end: int


class Pairs(NamedTuple):
    """Possible answers: of each the sum of two logits [pairs], and its ends in the context [pairs, 2]."""

    scores: np.ndarray
    characters: np.ndarray


def null_score(outputs: Sequence[np.ndarray]) -> float:
    """The score of no answer, of outputs [length, 2] of each window: the least of the sums of [CLS]."""
    return min(float(each[0, 0]) + float(each[0, 1]) for each in outputs)


def best_spans(outputs: Sequence[np.ndarray], windows: Sequence[Window], context: str, longest: int) -> list[Span]:
    """The 20 best answers of different texts, the best first; one at least where the context has pieces.

    They are among the 20 best starts and ends of each window: in the context, the start where it has maximum context,
    the end not before it, and of `longest` pieces at most. Where nothing is left so, all starts and ends are looked at.

    `outputs` are float32 [length, 2] of each window's row.
    """
    rows = list(zip(outputs, windows, strict=True))
    best = [_pairs(logits, window, longest, _best(logits[:, 0]), _best(logits[:, 1])) for logits, window in rows]
    return _of_different_texts(best, context) or _of_different_texts(
        [_pairs(logits, window, longest, *[np.arange(len(logits))] * 2) for logits, window in rows], context
    )


def _best(logits: np.ndarray) -> np.ndarray:
    return np.argsort(-logits, kind="stable")[:N_BEST]  # of the whole row, as there; the first of equal ones


def _pairs(logits: np.ndarray, window: Window, longest: int, starts: np.ndarray, ends: np.ndarray) -> Pairs:
    """Of the places `starts` and `ends` in a row those that may be the ends of an answer."""
    pieces = len(window.spans)
    starts, ends = (each[(each >= 0) & (each < pieces)] for each in (starts - window.first, ends - window.first))
    starts = starts[window.has_max_context[starts]]
    after = ends[None, :] - starts[:, None]
    start_number, end_number = np.nonzero((after >= 0) & (after < longest))
    start, end = starts[start_number], ends[end_number]
    of_pieces = logits[window.first :].astype(np.float64)
    characters = np.stack([window.spans[start, 0], window.spans[end, 1]], axis=1)
    return Pairs(of_pieces[start, 0] + of_pieces[end, 1], characters)


def _of_different_texts(found: Sequence[Pairs], context: str) -> list[Span]:
    scores = np.concatenate([pairs.scores for pairs in found])
    characters = np.concatenate([pairs.characters for pairs in found])
    kept: dict[str, Span] = {}
    for place in np.argsort(-scores, kind="stable"):
        start, end = characters[place].tolist()
        text = context[start:end]
        if text.strip() and text not in kept:
            kept[text] = Span(float(scores[place]), start, end)
            if len(kept) == N_BEST:
                break
    return list(kept.values())


def with_null(spans: Sequence[Span], null: Span) -> list[Span]:
    """The 20 best of `spans` and `null`, and `null` as one more if it is not among them (:868-872)."""
    place = sum(span.score >= null.score for span in spans)
    return [*spans[:place], null, *spans[place:]][:N_BEST] if place < N_BEST else [*spans, null]


def prediction(spans: Sequence[Span], null_score: float, context: str, threshold: float | None) -> dict[str, Any]:
    """What is predicted, of the best answers and the score of none. A threshold of None: there always is an answer.

    "answer" is context[start:end], "" where there is none; "probability" and those of the "candidates", the best five,
    are shares of the 20 best; "null_score_difference" is by how much the score of none is above that of the best
    answer, None where the context has nothing to answer with.
    """
    null = Span(null_score, 0, 0)
    ranked = list(spans) if spans and threshold is None else with_null(spans, null)
    difference = null_score - spans[0].score if spans else None
    is_null = difference is None or (threshold is not None and difference > threshold)
    scores = np.array([span.score for span in ranked])
    exp = np.exp(scores - scores.max())
    shares = (exp / exp.sum()).tolist()
    chosen = ranked.index(null if is_null else spans[0])
    candidates = [
        {"answer": context[span.start : span.end], "start": span.start, "end": span.end, "probability": share}
        for span, share in zip(ranked, shares, strict=True)
    ]
    return candidates[chosen] | {"null_score_difference": difference, "candidates": candidates[:SHOWN]}
