"""Shards of states of tokens or words: those of all texts one after the other, without padding.

tokens-00000.safetensors     states float [tokens, dim]; starts int64 [texts + 1], where each text begins;
                             offsets int32 [tokens, 2], in Unicode characters of the text as given, (0, 0) of [CLS] and
                             [SEP]; token_ids int32, segments uint8 (1: of the second text), special uint8 (1: [CLS] or
                             [SEP]) [tokens]
tokens.json                  the token of each id
words-00000.safetensors      states float [words, dim], the mean of each word's pieces; starts, offsets, segments
                             likewise; pieces int32 [words], 0 where no piece is left or it was cut off: its state is 0
"""

from collections.abc import Sequence

import numpy as np

from bert_jax.inference.embedding import Embedder, mean_of_pieces
from bert_jax.inference.progress import Watch
from bert_jax.tasks.examples import TextExample
from bert_jax.tasks.text_tokens import TextTokens, words_of

Arrays = dict[str, np.ndarray]


def of_tokens(embedder: Embedder, texts: Sequence[TextTokens], dtype: str, watch: Watch = iter) -> Arrays:
    """A shard of tokens."""
    states = embedder.states(texts, watch)
    return {
        "states": np.concatenate(states).astype(dtype),
        "starts": _starts([len(each) for each in states]),
        "offsets": np.concatenate([text.offsets for text in texts]),
        "token_ids": np.concatenate([text.ids for text in texts]),
        "segments": np.concatenate([text.segments for text in texts]),
        "special": np.concatenate([text.special for text in texts]),
    }


def of_words(
    embedder: Embedder, examples: Sequence[TextExample], texts: Sequence[TextTokens], dtype: str, watch: Watch = iter
) -> Arrays:
    """A shard of words."""
    words = [words_of(one.text, one.text2, tokens) for one, tokens in zip(examples, texts, strict=True)]
    states = [mean_of_pieces(*each) for each in zip(embedder.states(texts, watch), words, strict=True)]
    return {
        "states": np.concatenate(states).astype(dtype),
        "starts": _starts([len(each) for each in states]),
        "offsets": np.concatenate([each.offsets for each in words]),
        "segments": np.concatenate([each.segments for each in words]),
        "pieces": np.concatenate([each.pieces for each in words]),
    }


def _starts(lengths: Sequence[int]) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
