"""Which texts of a file are nearest to a text, and where the positives of anchors rank among those of a whole file."""

import itertools
from collections.abc import Mapping, Sequence

import numpy as np

from bert_jax.tasks.examples import PairExample

_MOST = 20_000  # different positives, the first of a file, that are ranked: more take hours and say the same
_ROWS = 256  # compared with them at a time
_SAME = 1e-9  # by so much cosines of the same texts differ: the last digits of a product
_SHOWN, _NEAREST = 8, 4  # first texts of a file whose neighbours a person is shown, and how many


def ranks_of_positives(vectors: np.ndarray, examples: Sequence[PairExample]) -> list[int]:
    """The rank of each example's positive by its cosine, from 1; an anchor's other positives and itself are no rivals.

    Of equal cosines, as of texts with the same tokens, the text that comes first in the file is ahead: were the
    positive ahead of them all, vectors that are all alike would have perfect ranks.

    Args:
      vectors: [examples, 2, dim], of anchor and positive, at length 1.
      examples: theirs.
    """
    number, first_row = _candidates(examples), _first_rows(examples)
    candidates, own = vectors[[first_row[text] for text in number], 1], _positives(examples, number)
    ranks: list[int] = []
    for start in range(0, len(examples), _ROWS):
        scores = vectors[start : start + _ROWS, 0] @ candidates.T
        for row, of_row in enumerate(scores, start=start):
            positive, place = float(vectors[row, 0] @ vectors[row, 1]), number.get(examples[row].text2)
            of_row[own[examples[row].text]] = -np.inf
            ahead = of_row > positive + _SAME
            # Of a positive that is none of the first _MOST, place is None: all of them come before it.
            ahead[:place] |= of_row[:place] >= positive - _SAME
            ranks.append(1 + int(ahead.sum()))
    return ranks


def nearest_texts(vectors: np.ndarray, examples: Sequence[PairExample]) -> dict[int, list[tuple[str, float]]]:
    """Of the first examples with different texts, by their numbers: the nearest second texts, with their cosines.

    Args as of `ranks_of_positives`.
    """
    number, first_row = _candidates(examples), _first_rows(examples)
    candidates = vectors[[first_row[text] for text in number], 1]
    texts, found, seen = list(number), dict[int, list[tuple[str, float]]](), set[str]()
    for row, example in enumerate(examples):
        if example.text in seen or len(seen) == _SHOWN:
            continue
        seen.add(example.text)
        cosines = candidates @ vectors[row, 0]
        nearest = [place for place in np.argsort(-cosines, kind="stable").tolist() if texts[place] != example.text]
        found[row] = [(texts[place], float(cosines[place])) for place in nearest[:_NEAREST]]
    return found


def _first_rows(examples: Sequence[PairExample]) -> dict[str, int]:
    """Second text -> the first example that has it."""
    rows: dict[str, int] = {}
    for row, example in enumerate(examples):
        rows.setdefault(example.text2, row)
    return rows


def bm25_ranks(examples: Sequence[PairExample]) -> list[int | None]:
    """The same by BM25; None where the positive is not among the best hundred."""
    from bert_jax.tasks.floors.retrieval import bm25

    number = _candidates(examples)
    own = _positives(examples, number)
    queries = {text: text for text in dict.fromkeys(example.text for example in examples)}
    run = bm25({str(place): text for text, place in number.items()}, queries)
    return [_rank(run[one.text], number.get(one.text2), own[one.text]) for one in examples]


def _rank(scores: Mapping[str, float], positive: int | None, own: Sequence[int]) -> int | None:
    if (of_positive := scores.get(str(positive))) is None:
        return None
    assert positive is not None  # it was found
    left_out = {str(place) for place in own}
    others = {place: score for place, score in scores.items() if place not in left_out}
    ahead = (score > of_positive or (score == of_positive and int(place) < positive) for place, score in others.items())
    return 1 + sum(ahead)


def _candidates(examples: Sequence[PairExample]) -> dict[str, int]:
    different = dict.fromkeys(example.text2 for example in examples)
    return {text: place for place, text in enumerate(itertools.islice(different, _MOST))}


def _positives(examples: Sequence[PairExample], number: Mapping[str, int]) -> dict[str, list[int]]:
    """Anchor -> the numbers of its positives, and of itself."""
    own: dict[str, list[int]] = {}
    for example in examples:
        places = own.setdefault(example.text, [])
        places += [number[text] for text in (example.text, example.text2) if text in number]
    return own


def of_ranks(ranks: Sequence[int | None]) -> dict[str, float]:
    """Mean reciprocal rank and how many ranks are 1; None is a positive that was not found."""
    reciprocal = [1.0 / rank if rank else 0.0 for rank in ranks]
    return {"mrr": float(np.mean(reciprocal)), "accuracy@1": float(np.mean([rank == 1 for rank in ranks]))}
