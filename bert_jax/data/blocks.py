"""Blocks of whole sentences, RoBERTa's training instances: <s> sentence </s> sentence </s> ..., as full as they can be.

Where blocks begin and end is as in facebookresearch/fairseq (fairseq/data/token_block_utils_fast.pyx): each sentence
ends in a separator, and a separator alone stands between two documents, as an empty line in its files does.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bert_jax.data.compiled import ZERO, compiled
from bert_jax.data.flat_corpus import FlatCorpus
from bert_jax.data.instances import A_END, A_START, BLOCK, IN_ORDER, Instances, Rules, add_masks
from bert_jax.data.mersenne_twister import Generators
from bert_jax.data.options import RecordOptions


class Blocks(NamedTuple):
    """Where blocks are in a separated corpus, and what is left out or cut of it."""

    ranges: NDArray[np.int64]  # [blocks, 2], in tokens
    long_sentences: int  # that alone are longer than a block
    long_sentence_tokens: int


def separated(corpus: FlatCorpus, sep_id: int) -> FlatCorpus:
    """The corpus, whose documents are in their order, with the separators; one that stands alone is of no document."""
    between = corpus.document_ends[:-1]
    sizes = np.insert(np.diff(corpus.sentence_starts) + 1, between, 1)
    behind = np.sort(np.concatenate([corpus.sentence_starts[1:], corpus.sentence_starts[between]]))
    number = np.arange(len(corpus.document_starts))  # of separators alone, before a document
    return FlatCorpus(
        tokens=np.insert(corpus.tokens, behind, np.int32(sep_id)),
        sentence_starts=np.concatenate([[0], np.cumsum(sizes)]),
        document_starts=corpus.document_starts + number,
        document_ends=corpus.document_ends + number,
    )


def blocks_of(corpus: FlatCorpus, options: RecordOptions) -> Blocks:
    """The blocks of a separated corpus, of at most max_seq_length - 1 tokens each.

    A longer sentence is left out, or cut where `options` say so.
    """
    most = options.max_seq_length - 1  # beside [CLS]
    sizes, is_blank = np.diff(corpus.sentence_starts), np.ones(len(corpus.sentence_starts) - 1, np.bool_)
    for start, end in zip(corpus.document_starts, corpus.document_ends, strict=True):
        is_blank[start:end] = False
    if options.blocks == "cut":
        starts = np.arange(0, sizes.sum(), most)
        return Blocks(np.stack([starts, np.minimum(starts + most, sizes.sum())], axis=1), 0, 0)
    long = sizes[sizes > most]
    if options.cut_long_sentences:
        sizes, is_blank = _cut(sizes, is_blank, most)
    ranges = block_ranges(sizes, is_blank, most, options.blocks == "doc")
    return Blocks(ranges[np.diff(ranges)[:, 0] <= most], len(long), int(long.sum()))


def block_ranges(
    sizes: NDArray[np.int64], is_blank: NDArray[np.bool_], most: int, by_document: bool
) -> NDArray[np.int64]:
    """The blocks [blocks, 2], in tokens, of lines of so many tokens each: whole lines, up to `most` tokens of them.

    A longer line is a block of its own. `by_document`: a blank line ends a block and is in none, and a block of one
    token is none; else blocks run over documents' ends, and blank lines are lines like others.
    """
    ranges = np.empty((len(sizes), 2), np.int64)
    return ranges[: _fill(sizes, is_blank, most, by_document, ranges)]


def make_blocks(corpus: FlatCorpus, blocks: Blocks, rules: Rules, generators: Generators) -> Instances:
    """The instances of one copy of a separated corpus: its blocks, with masks drawn for them."""
    number = len(blocks.ranges)
    segments = np.full((number, 4), BLOCK, np.int64)
    segments[:, A_START], segments[:, A_END] = blocks.ranges.T
    most_predictions = number * int(rules.masking.num_predictions.max())
    instances = Instances(
        segments=segments,
        relations=np.full(number, IN_ORDER, np.int8),
        predictions_start=np.zeros(number + 1, np.int64),
        positions=np.empty(most_predictions, np.int32),
        replacements=np.empty(most_predictions, np.int32),
    )
    _add_all_masks(corpus, rules, generators, instances)
    predictions = instances.predictions_start[-1]
    return instances._replace(
        positions=instances.positions[:predictions], replacements=instances.replacements[:predictions]
    )


def _cut(
    sizes: NDArray[np.int64], is_blank: NDArray[np.bool_], most: int
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The lines, of which those that are longer than `most` are several: full ones, and the rest."""
    pieces = -(-sizes // most)
    first = np.cumsum(pieces) - pieces
    place = np.arange(pieces.sum()) - np.repeat(first, pieces)
    return np.minimum(np.repeat(sizes, pieces) - most * place, most), np.repeat(is_blank, pieces)


@compiled
def _fill(
    sizes: NDArray[np.int64], is_blank: NDArray[np.bool_], most: int, by_document: bool, ranges: NDArray[np.int64]
) -> int:
    made = start = at = ZERO
    for line in range(len(sizes)):
        end = at + sizes[line]
        ends_document = by_document and is_blank[line]
        if ends_document or (end - start > most and at > start):
            made = _close(start, at, by_document, ranges, made)
            start = end if ends_document else at
        at = end
    return _close(start, at, by_document, ranges, made)


@compiled
def _close(start: int, end: int, by_document: bool, ranges: NDArray[np.int64], made: int) -> int:
    """Write a block, unless it is too short to be one; return how many there are."""
    if end - start <= by_document:
        return made
    ranges[made] = start, end
    return made + 1


@compiled
def _add_all_masks(corpus: FlatCorpus, rules: Rules, generators: Generators, instances: Instances) -> None:
    tokens = np.empty(rules.max_seq_length, np.int32)
    for number in range(len(instances.segments)):
        add_masks(corpus, rules, generators, instances, number, tokens)
