"""Sentence pairs out of documents, with their labels and masks: BERT's training instances, and ALBERT's.

The same draws from the same generators, in the same order, as create_training_instances of the original
create_pretraining_data.py (BERT's where B is random, ALBERT's where A and B are exchanged), on token ids instead of
strings: equal text, vocabulary, options and seed give the original's instances in the original's order. Each draw
depends on the one before it, and most of them shuffle candidates for masks, so the steps are compiled loops and not
NumPy's operations on whole arrays. Pairs of a text and ids are made in the same loop, a document at a time by
alignment.py.
"""

import numpy as np
from numpy.typing import NDArray

from bert_jax.data.alignment import aligned_of_document
from bert_jax.data.compiled import ZERO, compiled
from bert_jax.data.flat_corpus import FlatCorpus
from bert_jax.data.instances import (
    A_END,
    A_START,
    ALIGNED,
    B_END,
    B_START,
    EXCHANGED,
    IN_ORDER,
    NONE,
    NSP,
    RANDOM,
    SOP,
    Instances,
    Rules,
    add_masks,
    draw_target,
    in_buffers,
    truncate,
)
from bert_jax.data.mersenne_twister import Generators, State, random_below, random_between, random_float


def make_pairs(corpus: FlatCorpus, rules: Rules, generators: Generators) -> Instances:
    """The instances of one copy of the corpus.

    The original shuffles the documents before the first copy, and all instances after the last, with the main
    generator: whoever calls this does that.
    """
    most = len(corpus.sentence_starts) - 1  # each instance uses up a sentence
    return in_buffers(most, rules, lambda buffers: _of_documents(corpus, rules, generators, buffers))


@compiled
def _of_documents(corpus: FlatCorpus, rules: Rules, generators: Generators, buffers: Instances) -> int:
    """Write all instances of one copy to `buffers`; return their number."""
    tokens = np.empty(rules.max_seq_length, np.int32)
    made = ZERO
    for number in range(len(corpus.document_starts)):
        if rules.pairs == ALIGNED:
            made = aligned_of_document(corpus, number, rules, generators, buffers, made, tokens)
        else:
            made = _of_document(corpus, number, rules, generators, buffers, made, tokens)
    return made


@compiled
def _of_document(
    corpus: FlatCorpus,
    number: int,
    rules: Rules,
    generators: Generators,
    buffers: Instances,
    made: int,
    tokens: NDArray[np.int32],
) -> int:
    """create_instances_from_document(): write a document's instances from `made` on; return where they end.

    Draws the document's target length, and then for each chunk of sentences the pair, what is truncated, and the masks.
    """
    state = generators.main
    start, stop = corpus.document_starts[number], corpus.document_ends[number]
    max_tokens = rules.max_seq_length - (2 if rules.pairs == NONE else 3)  # [CLS], [SEP], [SEP]
    target = draw_target(rules, max_tokens, state)
    while start < stop:
        end = _chunk_end(corpus.sentence_starts, start, stop, target)
        if rules.pairs == NONE:
            start = _single(corpus, start, end, buffers, made)
        else:
            start = _pair(corpus, number, start, end, target, rules.pairs, state, buffers, made)
        truncate(buffers.segments[made], max_tokens, state)
        add_masks(corpus, rules, generators, buffers, made, tokens)
        made += 1
    return made


@compiled
def _single(corpus: FlatCorpus, start: int, end: int, buffers: Instances, made: int) -> int:
    """Make the sentences from `start` to `end` the `made`th instance's A; return the sentence that is next."""
    segments = buffers.segments[made]
    segments[A_START], segments[A_END] = corpus.sentence_starts[start], corpus.sentence_starts[end]
    segments[B_START] = segments[B_END] = segments[A_END]
    buffers.relations[made] = IN_ORDER
    return end


@compiled
def _pair(
    corpus: FlatCorpus,
    number: int,
    start: int,
    end: int,
    target: int,
    pairs: int,
    state: State,
    buffers: Instances,
    made: int,
) -> int:
    """Make a pair of the sentences from `start` to `end`, the `made`th instance; return the sentence that is next.

    Draws, in this order, the end of A; whether B is random, and then where from, or, of ALBERT's pairs, whether the two
    are exchanged. B of a single sentence is always random.
    """
    first_end = random_between(state, start + 1, end - 1) if end - start >= 2 else start + 1
    segments, starts = buffers.segments[made], corpus.sentence_starts
    segments[A_START], segments[A_END] = starts[start], starts[first_end]
    if end - start == 1 or (pairs == NSP and random_float(state) < 0.5):
        _random_segment(corpus, number, target - (segments[A_END] - segments[A_START]), state, segments)
        buffers.relations[made] = RANDOM
        return first_end  # the chunk's other sentences go into the next one
    segments[B_START], segments[B_END] = starts[first_end], starts[end]
    buffers.relations[made] = IN_ORDER
    if pairs == SOP and random_float(state) < 0.5:
        _exchange(segments)
        buffers.relations[made] = EXCHANGED
    return end


@compiled
def _exchange(segments: NDArray[np.int64]) -> None:
    """A becomes B, and B becomes A."""
    segments[A_START], segments[B_START] = segments[B_START], segments[A_START]
    segments[A_END], segments[B_END] = segments[B_END], segments[A_END]


@compiled
def _chunk_end(sentence_starts: NDArray[np.int64], start: int, stop: int, target: int) -> int:
    """The end of the sentences from `start` on that together have at least `target` tokens, or are the last."""
    for end in range(start + 1, stop):
        if sentence_starts[end] - sentence_starts[start] >= target:
            return end
    return stop


@compiled
def _random_segment(corpus: FlatCorpus, number: int, target: int, state: State, segments: NDArray[np.int64]) -> None:
    """Set B to sentences of at least `target` tokens, or up to the end, of a document other than `number`."""
    other = number
    for _ in range(10):  # so the original: with few documents it may stay the same one
        other = random_below(state, len(corpus.document_starts))
        if other != number:
            break
    start, stop = corpus.document_starts[other], corpus.document_ends[other]
    start += random_below(state, stop - start)
    # The original adds a sentence before it compares the length with the target, and so does _chunk_end.
    end = _chunk_end(corpus.sentence_starts, start, stop, target)
    segments[B_START], segments[B_END] = corpus.sentence_starts[start], corpus.sentence_starts[end]
