"""Pairs of a text and a sequence of ids that are aligned or not, as VideoBERT trains (arXiv 1904.01766, section 3.3).

A document is lines of both (text/id_sequences.py), in the corpus all its texts and then as many sequences of ids. A is
the text of lines in a row, as many as fit (VideoBERT joins neighbours, since what is said is often not what is seen
that moment), B their ids or, in half of the pairs, those of as many lines of another document.
"""

import numpy as np
from numpy.typing import NDArray

from bert_jax.data.compiled import compiled
from bert_jax.data.flat_corpus import FlatCorpus
from bert_jax.data.instances import (
    A_END,
    A_START,
    B_END,
    B_START,
    IN_ORDER,
    RANDOM,
    Instances,
    Rules,
    add_masks,
    draw_target,
    truncate,
)
from bert_jax.data.mersenne_twister import Generators, State, random_below, random_float

_DRAWS = 10  # of another document, as where BERT's B is random


@compiled
def aligned_of_document(
    corpus: FlatCorpus,
    number: int,
    rules: Rules,
    generators: Generators,
    buffers: Instances,
    made: int,
    tokens: NDArray[np.int32],
) -> int:
    """Write a document's instances from `made` on; return where they end. Relations are IN_ORDER (aligned) or RANDOM.

    Draws the target length as for BERT's pairs, and then for each instance whether and of what B is, what is truncated,
    and the masks.
    """
    state = generators.main
    max_tokens = rules.max_seq_length - 3  # [CLS], [SEP], [SEP]
    target = draw_target(rules, max_tokens, state)
    first, num_lines = corpus.document_starts[number], _num_lines(corpus, number)
    start = first
    while start < first + num_lines:
        end = _end(corpus.sentence_starts, start, first + num_lines, num_lines, target)
        segments = buffers.segments[made]
        segments[A_START], segments[A_END] = corpus.sentence_starts[start], corpus.sentence_starts[end]
        segments[B_START] = corpus.sentence_starts[start + num_lines]
        segments[B_END] = corpus.sentence_starts[end + num_lines]
        buffers.relations[made] = IN_ORDER
        if random_float(state) < 0.5 and _take_others(corpus, number, end - start, state, segments):
            buffers.relations[made] = RANDOM
        truncate(segments, max_tokens, state)
        add_masks(corpus, rules, generators, buffers, made, tokens)
        made += 1
        start = end
    return made


@compiled
def _num_lines(corpus: FlatCorpus, number: int) -> int:
    return (corpus.document_ends[number] - corpus.document_starts[number]) // 2


@compiled
def _end(starts: NDArray[np.int64], start: int, stop: int, num_lines: int, target: int) -> int:
    """The end of the lines from `start` on whose texts and ids have at least `target` tokens, or that are the last."""
    for end in range(start + 1, stop):
        if starts[end] - starts[start] + starts[end + num_lines] - starts[start + num_lines] >= target:
            return end
    return stop


@compiled
def _take_others(corpus: FlatCorpus, number: int, num_lines: int, state: State, segments: NDArray[np.int64]) -> bool:
    """Set B to the ids of so many lines in a row of another document, and fewer if it has not as many.

    False, and B as it was, if only the same ids were drawn, which would be called not aligned wrongly.
    """
    for _ in range(_DRAWS):
        other = random_below(state, len(corpus.document_starts))
        if other == number:
            continue
        lines_there = _num_lines(corpus, other)
        taken = min(num_lines, lines_there)
        first = corpus.document_starts[other] + lines_there + random_below(state, lines_there - taken + 1)
        start, end = corpus.sentence_starts[first], corpus.sentence_starts[first + taken]
        if not np.array_equal(corpus.tokens[start:end], corpus.tokens[segments[B_START] : segments[B_END]]):
            segments[B_START], segments[B_END] = start, end
            return True
    return False
