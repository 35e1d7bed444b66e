"""Training instances, as arrays: which tokens of the corpus they are of, their labels and masks.

An instance holds its tokens' range in the corpus: it takes about 180 bytes. What makes them: sentence_pairs.py (BERT's
and ALBERT's), blocks.py (RoBERTa's) and alignment.py (VideoBERT's).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bert_jax.data.compiled import compiled
from bert_jax.data.flat_corpus import FlatCorpus
from bert_jax.data.masking import MaskingRules, mask, mask_ngrams, masking_rules
from bert_jax.data.mersenne_twister import Generators, State, random_between, random_float
from bert_jax.data.options import RecordOptions
from bert_jax.text.tokenizer import Tokenizer

# The columns of Instances.segments.
A_START, A_END, B_START, B_END = range(4)
# What is in Instances.relations: B is what follows A, is from another document, or is what comes before A.
IN_ORDER, RANDOM, EXCHANGED = np.arange(3)
# Rules.pairs; numbers, since Numba compiles strings for seconds.
NSP, SOP, NONE, ALIGNED = range(4)
_NUMBERS = {"nsp": NSP, "sop": SOP, "none": NONE, "aligned": ALIGNED}
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
def draw_target(rules: Rules, max_tokens: int, state: State) -> int:
    """The length that a document's sequences are to have: `max_tokens`, or now and then a shorter one."""
    if random_float(state) < rules.short_seq_prob:
        return random_between(state, 2, max_tokens)
    return max_tokens


@compiled
def add_masks(
    corpus: FlatCorpus, rules: Rules, generators: Generators, buffers: Instances, number: int, tokens: NDArray[np.int32]
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
