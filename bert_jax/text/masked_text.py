"""Texts with masks in them, as people write them to have words filled in."""

import itertools
import re

from bert_jax.text.tokenizer import Tokenizer

MASK = "[MASK]"  # how a mask may be written for any vocabulary


def encode_with_masks(text: str, tokenizer: Tokenizer) -> list[int]:
    """The ids of `text`, in which "[MASK]" and the vocabulary's own spelling of it are masks.

    Where tokens carry the space before a word (byte-level BPE), a mask stands for one with its space.
    """
    parts = re.split(mask_pattern(tokenizer), text)
    if tokenizer.kind == "bpe":
        parts = [part.rstrip() for part in parts[:-1]] + parts[-1:]
    if tokenizer.puts_space_first:
        parts = parts[:1] + [part.lstrip() for part in parts[1:]]
    ids = [[tokenizer.mask_id, *tokenizer.encode(part)] for part in parts]
    return list(itertools.chain.from_iterable(ids))[1:]


def mask_pattern(tokenizer: Tokenizer) -> str:
    """A regular expression of what is a mask."""
    return "|".join(map(re.escape, dict.fromkeys((MASK, tokenizer.tokens[tokenizer.mask_id]))))
