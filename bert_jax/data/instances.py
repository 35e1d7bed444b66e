"""Sentence pairs out of documents, with their labels and masks: BERT's training instances, and ALBERT's.

The same draws from the same generators, in the same order, as create_training_instances of the original
create_pretraining_data.py (BERT's where B is random, ALBERT's where A and B are exchanged), on token ids instead of
strings: equal text, vocabulary, options and seed give the original's instances in the original's order. Each draw
depends on the one before it, and most of them shuffle candidates for masks, so the steps are compiled loops and not
NumPy's operations on whole arrays. An instance holds its tokens' range in the corpus: it takes about 180 bytes.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bert_jax.data.compiled import ZERO, compiled
from bert_jax.data.flat_corpus import Corpus
from bert_jax.data.masking import MaskingRules, mask, mask_ngrams, masking_rules
from bert_jax.data.mersenne_twister import Generators, State, random_below, random_between, random_float
from bert_jax.data.options import RecordOptions
from bert_jax.text.tokenizer import Tokenizer

# The columns of Instances.segments.
A_START, A_END, B_START, B_END = range(4)
# What is in Instances.relations: B is what follows A, is from another document, or is what comes before A.
IN_ORDER, RANDOM, EXCHANGED = np.arange(3)
# Rules.pairs; numbers, since Numba compiles strings for seconds.
_NSP, _SOP, _NONE, _ALIGNED = range(4)
_NUMBERS = {"nsp": _NSP, "sop": _SOP, "none": _NONE, "aligned": _ALIGNED}  # the last: alignment.py
BLOCK = -1  # in the place of B's range: there is no B, and A has its separators in it (blocks.py)


class Instances(NamedTuple):
    """Sequences [CLS] A [SEP] B [SEP]: the ranges of A and B in the corpus, and the predictions.

    Where B is empty, the sequence is [CLS] A [SEP], and where it is a BLOCK, [CLS] A.
    """

    segments: NDArray[np.int64]  # [instances, 4], in tokens of the corpus
    relations: NDArray[np.int8]  # [instances], of B to A; IN_ORDER where there is no B
    predictions_start: NDArray[np.int64]  # [instances + 1], in the two arrays below
    positions: NDArray[np.int32]  # [predictions], of a masked token in its sequence, ascending
    replacements: NDArray[np.int32]  # [predictions], the input id at that position: [MASK], the token itself or another


class Rules(NamedTuple):
    """How instances are made."""

    max_seq_length: int
    short_seq_prob: float
    pairs: int
    masking: MaskingRules


def make_rules(options: RecordOptions, tokenizer: Tokenizer) -> Rules:
    """The rules of `options` for ids of `tokenizer`."""
    continues_word = tokenizer.continues_ngram_word if options.ngram else tokenizer.continues_word
    masking = masking_rules(
        max_seq_length=options.max_seq_length,
        vocab_size=tokenizer.vocab_size,
        special_ids=(tokenizer.cls_id, tokenizer.sep_id, tokenizer.mask_id),
        masked_lm_prob=options.masked_lm_prob,
        max_predictions_per_seq=options.max_predictions_per_seq,
        continues_word=continues_word if options.whole_word_mask else None,
        ngram=options.ngram,
    )
    return Rules(options.max_seq_length, options.short_seq_prob, _NUMBERS[options.pairs], masking)


def no_instances() -> Instances:
    """An empty array of each kind, for `append` to add to."""
    return Instances(
        segments=np.empty((0, 4), np.int64),
        relations=np.empty(0, np.int8),
        predictions_start=np.zeros(1, np.int64),
        positions=np.empty(0, np.int32),
        replacements=np.empty(0, np.int32),
    )


def make_instances(corpus: Corpus, rules: Rules, generators: Generators) -> Instances:
    """The instances of one copy of the corpus.

    The original shuffles the documents before the first copy, and all instances after the last, with the main
    generator: whoever calls this does that.
    """
    most = len(corpus.sentence_starts) - 1  # each instance uses up a sentence
    return in_buffers(most, rules, lambda buffers: _of_documents(corpus, rules, generators, buffers))


def in_buffers(most: int, rules: Rules, write: Callable[[Instances], int]) -> Instances:
    """The instances that `write` writes to the front of arrays for `most`, and of which it returns the number."""
    most_predictions = most * int(rules.masking.num_predictions.max())
    # Memory that is never written costs nothing, so these may be far too large.
    buffers = Instances(
        segments=np.empty((most, 4), np.int64),
        relations=np.empty(most, np.int8),
        predictions_start=np.zeros(most + 1, np.int64),
        positions=np.empty(most_predictions, np.int32),
        replacements=np.empty(most_predictions, np.int32),
    )
    made = write(buffers)
    predictions = buffers.predictions_start[made]
    return Instances(
        segments=buffers.segments[:made],
        relations=buffers.relations[:made],
        predictions_start=buffers.predictions_start[: made + 1],
        positions=buffers.positions[:predictions],
        replacements=buffers.replacements[:predictions],
    )


def append(instances: Instances, more: Instances) -> None:
    """Add `more` at the end of `instances`, in place: at no time are they in memory twice."""
    predictions_start = more.predictions_start[1:] + instances.predictions_start[-1]
    arrays: tuple[NDArray[Any], ...] = instances
    added: tuple[NDArray[Any], ...] = more._replace(predictions_start=predictions_start)
    for array, new in zip(arrays, added, strict=True):
        length = len(array)
        array.resize((length + len(new), *array.shape[1:]), refcheck=False)
        array[length:] = new


def lengths(instances: Instances) -> NDArray[np.int64]:
    """Tokens of each instance, [CLS] and [SEP] included: [instances]."""
    first, second = (instances.segments[:, end] - instances.segments[:, end - 1] for end in (A_END, B_END))
    return first + 2 + second + (second > 0) - (instances.segments[:, B_END] == BLOCK)


def sizes(instances: Instances) -> NDArray[np.int64]:
    """Tokens and predictions of each instance: [instances, 2]."""
    return np.stack([lengths(instances), np.diff(instances.predictions_start)], axis=1)


@compiled
def lay_out(
    corpus_tokens: NDArray[np.int32], segments: NDArray[np.int64], masking: MaskingRules, tokens: NDArray[np.int32]
) -> int:
    """Write the sequence (see Instances), not masked, to the front of `tokens`; return its length."""
    tokens[0] = masking.cls_id
    length = 1
    for token in range(segments[A_START], segments[A_END]):
        tokens[length] = corpus_tokens[token]
        length += 1
    if segments[B_END] == BLOCK:
        return length
    tokens[length] = masking.sep_id
    length += 1
    if segments[B_START] == segments[B_END]:
        return length
    for token in range(segments[B_START], segments[B_END]):
        tokens[length] = corpus_tokens[token]
        length += 1
    tokens[length] = masking.sep_id
    return length + 1


@compiled
def _of_documents(corpus: Corpus, rules: Rules, generators: Generators, buffers: Instances) -> int:
    """Write all instances of one copy to `buffers`; return their number."""
    tokens = np.empty(rules.max_seq_length, np.int32)
    made = ZERO
    for number in range(len(corpus.document_starts)):
        made = _of_document(corpus, number, rules, generators, buffers, made, tokens)
    return made


@compiled
def _of_document(
    corpus: Corpus,
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
    max_tokens = rules.max_seq_length - (2 if rules.pairs == _NONE else 3)  # [CLS], [SEP], [SEP]
    target = max_tokens
    if random_float(state) < rules.short_seq_prob:
        target = random_between(state, 2, max_tokens)
    while start < stop:
        end = _chunk_end(corpus.sentence_starts, start, stop, target)
        if rules.pairs == _NONE:
            start = _single(corpus, start, end, buffers, made)
        else:
            start = _pair(corpus, number, start, end, target, rules.pairs, state, buffers, made)
        truncate(buffers.segments[made], max_tokens, state)
        add_masks(corpus, rules, generators, buffers, made, tokens)
        made += 1
    return made


@compiled
def _single(corpus: Corpus, start: int, end: int, buffers: Instances, made: int) -> int:
    """Make the sentences from `start` to `end` the `made`th instance's A; return the sentence that is next."""
    segments = buffers.segments[made]
    segments[A_START], segments[A_END] = corpus.sentence_starts[start], corpus.sentence_starts[end]
    segments[B_START] = segments[B_END] = segments[A_END]
    buffers.relations[made] = IN_ORDER
    return end


@compiled
def _pair(
    corpus: Corpus,
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
    if end - start == 1 or (pairs == _NSP and random_float(state) < 0.5):
        _random_segment(corpus, number, target - (segments[A_END] - segments[A_START]), state, segments)
        buffers.relations[made] = RANDOM
        return first_end  # the chunk's other sentences go into the next one
    segments[B_START], segments[B_END] = starts[first_end], starts[end]
    buffers.relations[made] = IN_ORDER
    if pairs == _SOP and random_float(state) < 0.5:
        _exchange(segments)
        buffers.relations[made] = EXCHANGED
    return end


@compiled
def _exchange(segments: NDArray[np.int64]) -> None:
    """A becomes B, and B becomes A."""
    segments[A_START], segments[B_START] = segments[B_START], segments[A_START]
    segments[A_END], segments[B_END] = segments[B_END], segments[A_END]


@compiled
def add_masks(
    corpus: Corpus, rules: Rules, generators: Generators, buffers: Instances, number: int, tokens: NDArray[np.int32]
) -> None:
    """Write the predictions of the last instance so far, the `number`th; `tokens` is a buffer for its sequence."""
    length = lay_out(corpus.tokens, buffers.segments[number], rules.masking, tokens)
    at = buffers.predictions_start[number]
    positions, replacements = buffers.positions[at:], buffers.replacements[at:]
    if len(rules.masking.ngram_shares) == 0:
        num_masked = mask(tokens[:length], rules.masking, generators.main, positions, replacements)
    else:
        num_masked = mask_ngrams(tokens[:length], rules.masking, generators, positions, replacements)
    buffers.predictions_start[number + 1] = at + num_masked


@compiled
def _chunk_end(sentence_starts: NDArray[np.int64], start: int, stop: int, target: int) -> int:
    """The end of the sentences from `start` on that together have at least `target` tokens, or are the last."""
    for end in range(start + 1, stop):
        if sentence_starts[end] - sentence_starts[start] >= target:
            return end
    return stop


@compiled
def _random_segment(corpus: Corpus, number: int, target: int, state: State, segments: NDArray[np.int64]) -> None:
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


@compiled
def truncate(segments: NDArray[np.int64], max_tokens: int, state: State) -> None:
    """truncate_seq_pair(): drop tokens, each from the longer segment and by chance from its front or its back."""
    first_length, second_length = segments[A_END] - segments[A_START], segments[B_END] - segments[B_START]
    while first_length + second_length > max_tokens:
        from_front = random_float(state) < 0.5
        if first_length > second_length:
            first_length -= 1
            segments[A_START] += from_front
        else:
            second_length -= 1
            segments[B_START] += from_front
    segments[A_END], segments[B_END] = segments[A_START] + first_length, segments[B_START] + second_length
