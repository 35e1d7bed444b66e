"""Counts of a shard's text and records, and their summary as a line of text."""

import dataclasses
from collections.abc import Iterable
from typing import Annotated

import msgspec
import numpy as np
from numpy.typing import NDArray

from bert_jax.data.compiled import ZERO, compiled
from bert_jax.data.flat_corpus import FlatCorpus
from bert_jax.data.instances import A_END, A_START, B_END, B_START, EXCHANGED, RANDOM, Instances, lengths

FILL_BINS = 20


@dataclasses.dataclass
class Statistics:
    """Counts over one shard, or over several added up."""

    documents: int = 0
    sentences: int = 0
    tokens: int = 0  # of the text, before it is repeated
    unknown_tokens: int = 0
    instances: int = 0
    random_next: int = 0  # instances whose second segment is from elsewhere
    exchanged: int = 0  # instances whose second segment is what comes before the first
    filled: int = 0  # tokens of all instances, [CLS] and [SEP] included
    predictions: int = 0
    masked: int = 0  # predictions whose input is [MASK]
    kept: int = 0  # predictions whose input is the token itself
    replaced: int = 0  # predictions whose input is another token
    longest_document: int = 0  # tokens
    long_sentences: int = 0  # longer than a block: left out or, where that was asked for, cut
    long_sentence_tokens: int = 0
    # Of the text, over all copies of it, and those of them that are in no sequence of their copy; blocks do not count.
    copied_tokens: int = 0
    unused_tokens: int = 0
    shortest_document: int = 0  # tokens, at least 1; 0 if there is no document
    # Instances by the fraction of max_seq_length that they fill: bin i counts those over i / 20 and up to (i + 1) / 20.
    fill: Annotated[list[int], msgspec.Meta(min_length=FILL_BINS, max_length=FILL_BINS)] = dataclasses.field(
        default_factory=lambda: [0] * FILL_BINS
    )

    def add_corpus(self, corpus: FlatCorpus, unk_id: int) -> None:
        """Count the documents of a shard, once."""
        tokens = corpus.sentence_starts[corpus.document_ends] - corpus.sentence_starts[corpus.document_starts]
        self.documents += len(tokens)
        self.sentences += len(corpus.sentence_starts) - 1
        self.tokens += len(corpus.tokens)
        self.unknown_tokens += int(np.count_nonzero(corpus.tokens == unk_id))
        self.longest_document = int(tokens.max(initial=0))
        self.shortest_document = int(tokens.min()) if len(tokens) else 0

    def add_instances(self, instances: Instances, corpus: FlatCorpus, mask_id: int, max_seq_length: int) -> None:
        """Count a shard's instances, or some of them."""
        tokens = lengths(instances)
        bins = np.bincount((FILL_BINS * tokens - 1) // max_seq_length, minlength=FILL_BINS)
        self.fill = [count + more for count, more in zip(self.fill, bins.tolist(), strict=True)]
        self.instances += len(tokens)
        self.random_next += int(np.count_nonzero(instances.relations == RANDOM))
        self.exchanged += int(np.count_nonzero(instances.relations == EXCHANGED))
        self.filled += int(tokens.sum())
        predictions = len(instances.replacements)
        masked = int(np.count_nonzero(instances.replacements == mask_id))
        kept = _count_kept(instances, corpus.tokens, mask_id)
        self.predictions += predictions
        self.masked += masked
        self.kept += kept
        self.replaced += predictions - masked - kept

    def add_unused(self, copy: Instances, corpus: FlatCorpus) -> None:
        """Count the tokens of the text that are in no instance of a copy: truncated, and not used again."""
        self.copied_tokens += len(corpus.tokens)
        self.unused_tokens += int(_count_unused(copy.segments, len(corpus.tokens)))

    def summary(self, max_seq_length: int) -> str:
        """The counts as one line of text."""
        predictions = max(1, self.predictions)
        return (
            f"{self.documents:,} documents, {self.sentences:,} sentences, {self.tokens:,} tokens "
            f"({self.unknown_tokens / max(1, self.tokens):.2%} unknown); {self.instances:,} instances, "
            f"{self.filled / max(1, self.instances * max_seq_length):.1%} filled, "
            f"{self.predictions / max(1, self.instances):.1f} predictions each "
            f"({self.masked / predictions:.1%} [MASK], {self.kept / predictions:.1%} kept, "
            f"{self.replaced / predictions:.1%} replaced), "
            f"{self.random_next / max(1, self.instances):.1%} random next sentences, "
            f"{self.exchanged / max(1, self.instances):.1%} exchanged pairs"
        )


def total(shards: Iterable[Statistics]) -> Statistics:
    """The counts over several shards together."""
    shards = [shard for shard in shards if shard.documents]
    counts = {
        field.name: sum(getattr(shard, field.name) for shard in shards)
        for field in dataclasses.fields(Statistics)
        if field.type is int
    }
    counts["longest_document"] = max((shard.longest_document for shard in shards), default=0)
    counts["shortest_document"] = min((shard.shortest_document for shard in shards), default=0)
    fill = [sum(shard.fill[number] for shard in shards) for number in range(FILL_BINS)]
    return Statistics(**counts, fill=fill)


@compiled
def _count_kept(instances: Instances, corpus_tokens: NDArray[np.int32], mask_id: int) -> int:
    """The number of predictions whose input is their own label, unless that is [MASK]."""
    kept = 0
    for number in range(len(instances.segments)):
        segments = instances.segments[number]
        second = segments[A_END] - segments[A_START] + 2  # the position at which B starts
        for prediction in range(instances.predictions_start[number], instances.predictions_start[number + 1]):
            position, replacement = instances.positions[prediction], instances.replacements[prediction]
            start = segments[A_START] - 1 if position < second else segments[B_START] - second
            kept += replacement == corpus_tokens[start + position] and replacement != mask_id
    return kept


@compiled
def _count_unused(segments: NDArray[np.int64], num_tokens: int) -> int:
    """The number of the corpus' tokens that lie in no segment."""
    is_used = np.zeros(num_tokens, np.bool_)
    for number in range(len(segments)):
        is_used[segments[number, A_START] : segments[number, A_END]] = True
        is_used[segments[number, B_START] : segments[number, B_END]] = True
    unused = ZERO
    for token in range(num_tokens):
        unused += not is_used[token]
    return unused
