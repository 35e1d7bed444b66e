"""Tokenized documents in flat arrays: four bytes a token, and fast to read in compiled functions."""

import array
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bert_jax.data.mersenne_twister import State, shuffle


class FlatCorpus(NamedTuple):
    """Documents of at least one sentence, of at least one token id. The documents may be in any order."""

    tokens: NDArray[np.int32]
    sentence_starts: NDArray[np.int64]  # in tokens, and where the last one ends
    document_starts: NDArray[np.int64]  # in sentences
    document_ends: NDArray[np.int64]


def flat_corpus(documents: Iterable[Iterable[Sequence[int]]]) -> FlatCorpus:
    """A corpus of documents of sentences of token ids, without the sentences and documents that hold none."""
    tokens = array.array("i")
    sentence_starts, document_starts = array.array("q", [0]), array.array("q", [0])
    for document in documents:
        for sentence in document:
            if sentence:
                tokens.extend(sentence)
                sentence_starts.append(len(tokens))
        num_sentences = len(sentence_starts) - 1
        if num_sentences > document_starts[-1]:
            document_starts.append(num_sentences)
    boundaries = np.array(document_starts)
    return FlatCorpus(np.asarray(tokens), np.asarray(sentence_starts), boundaries[:-1], boundaries[1:])


def shuffled(corpus: FlatCorpus, state: State) -> FlatCorpus:
    """The same documents in a random order; their tokens stay where they are."""
    order = np.arange(len(corpus.document_starts))
    shuffle(state, order)
    return corpus._replace(document_starts=corpus.document_starts[order], document_ends=corpus.document_ends[order])
