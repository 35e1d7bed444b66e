"""Sentence pairs out of documents, with next-sentence labels and masks: BERT's training instances.

The same draws from one generator, in the same order, as create_training_instances of the original
create_pretraining_data.py, on token ids instead of strings: equal text, vocabulary, options and seed give the
original's instances in the original's order. Nothing here reads or writes files.
"""

import random
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from bert_jax.data.masking import Masker
from bert_jax.data.options import RecordOptions
from bert_jax.text.tokenizer import Tokenizer

Sentence = Sequence[int]  # token ids, at least one
Document = Sequence[Sentence]  # at least one sentence


class Instance(NamedTuple):
    """[CLS] A [SEP] B [SEP] with some tokens hidden; not padded."""

    tokens: list[int]
    segment_ids: list[int]
    masked_lm_positions: list[int]
    masked_lm_ids: list[int]
    is_random_next: bool  # B is not what follows A, but comes from another document

    def record(self, max_seq_length: int, max_predictions_per_seq: int) -> dict[str, list[Any]]:
        """The features of schema.py, padded with 0."""
        padding = [0] * (max_seq_length - len(self.tokens))
        no_predictions = [0] * (max_predictions_per_seq - len(self.masked_lm_ids))
        return {
            "input_ids": self.tokens + padding,
            "input_mask": [1] * len(self.tokens) + padding,
            "segment_ids": self.segment_ids + padding,
            "masked_lm_positions": self.masked_lm_positions + no_predictions,
            "masked_lm_ids": self.masked_lm_ids + no_predictions,
            "masked_lm_weights": [1.0] * len(self.masked_lm_ids) + no_predictions,
            "next_sentence_labels": [int(self.is_random_next)],
        }


class InstanceMaker:
    """Makes instances with one set of options and one vocabulary."""

    def __init__(self, options: RecordOptions, tokenizer: Tokenizer) -> None:
        self._options = options
        self._cls_id, self._sep_id = tokenizer.cls_id, tokenizer.sep_id
        self._max_tokens = options.max_seq_length - 3  # [CLS], [SEP], [SEP]
        self._masker = Masker(
            vocab_size=tokenizer.vocab_size,
            special_ids=(tokenizer.cls_id, tokenizer.sep_id, tokenizer.mask_id),
            masked_lm_prob=options.masked_lm_prob,
            max_predictions_per_seq=options.max_predictions_per_seq,
            continues_word=tokenizer.continues_word if options.whole_word_mask else None,
        )

    def make(self, documents: Sequence[Document], rng: random.Random) -> Iterator[list[Instance]]:
        """Yield each document's instances, dupe_factor times, in a shuffled order of the documents.

        The original shuffles all instances with the same generator at the end; whoever collects them does that.
        """
        shuffled = list(documents)
        rng.shuffle(shuffled)
        for _ in range(self._options.dupe_factor):
            for number in range(len(shuffled)):
                yield list(self._of_document(shuffled, number, rng))

    def _of_document(self, documents: list[Document], number: int, rng: random.Random) -> Iterator[Instance]:
        document = documents[number]
        target = self._max_tokens
        if rng.random() < self._options.short_seq_prob:
            target = rng.randint(2, self._max_tokens)
        start = 0
        while start < len(document):
            end = _chunk_end(document, start, target)
            first_end = rng.randint(start + 1, end - 1) if end - start >= 2 else start + 1
            first = _joined(document[start:first_end])
            is_random_next = end - start == 1 or rng.random() < 0.5
            if is_random_next:
                second = _random_segment(documents, number, target - len(first), rng)
                start = first_end  # the chunk's other sentences go into the next one
            else:
                second = _joined(document[first_end:end])
                start = end
            yield self._instance(first, second, is_random_next, rng)

    def _instance(self, first: list[int], second: list[int], is_random_next: bool, rng: random.Random) -> Instance:
        first, second = truncated_pair(first, second, self._max_tokens, rng)
        tokens = [self._cls_id, *first, self._sep_id, *second, self._sep_id]
        segment_ids = [0] * (len(first) + 2) + [1] * (len(second) + 1)
        masked = self._masker.mask(tokens, rng)
        return Instance(masked.tokens, segment_ids, masked.positions, masked.labels, is_random_next)


def truncated_pair(
    first: list[int], second: list[int], max_tokens: int, rng: random.Random
) -> tuple[list[int], list[int]]:
    """Drop tokens, each from the longer segment and by chance from its front or its back, until both fit."""
    starts, lengths = [0, 0], [len(first), len(second)]
    while sum(lengths) > max_tokens:
        longer = 0 if lengths[0] > lengths[1] else 1
        lengths[longer] -= 1
        starts[longer] += rng.random() < 0.5
    return first[starts[0] :][: lengths[0]], second[starts[1] :][: lengths[1]]


def _chunk_end(document: Document, start: int, target: int) -> int:
    """The end of the sentences from `start` on that together have at least `target` tokens, or are the last."""
    length = 0
    for end in range(start, len(document)):
        length += len(document[end])
        if length >= target:
            return end + 1
    return len(document)


def _random_segment(documents: list[Document], number: int, target: int, rng: random.Random) -> list[int]:
    """Sentences of at least `target` tokens, or up to the end, from a document other than `number`."""
    for _ in range(10):  # with few documents it may stay the same one; so the original
        other = rng.randint(0, len(documents) - 1)
        if other != number:
            break
    document = documents[other]
    start = rng.randint(0, len(document) - 1)
    # The original adds a sentence before it looks whether it has enough.
    return _joined(document[start : max(start + 1, _chunk_end(document, start, target))])


def _joined(sentences: Document) -> list[int]:
    return [token for sentence in sentences for token in sentence]
