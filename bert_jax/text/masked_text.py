"""Texts with masks in them, as people write them to have words filled in."""

import re

from bert_jax.text.offsets import Encoding, joined
from bert_jax.text.tokenizer import Tokenizer

MASK = "[MASK]"  # how a mask may be written for any vocabulary


def encode_with_masks(text: str, tokenizer: Tokenizer) -> list[int]:
    """The ids of `text`, in which "[MASK]" and the vocabulary's own spelling of it are masks."""
    return masks_with_offsets(text, tokenizer).ids


def masks_with_offsets(text: str, tokenizer: Tokenizer) -> Encoding:
    """The same, and where in `text` each token is.

    Where tokens carry the space before a word (byte-level BPE), a mask stands for one with its space.
    """
    found, start = Encoding([], []), 0
    masks = [(mask.start(), mask.end()) for mask in re.finditer(mask_pattern(tokenizer), text)]
    for number, mask in enumerate([*masks, (len(text), len(text))]):
        part = text[start : mask[0]]
        if tokenizer.kind == "bpe" and number < len(masks):
            part = part.rstrip()
        if tokenizer.puts_space_first and number:
            start, part = start + len(part) - len(part.lstrip()), part.lstrip()
        pieces = tokenizer.encode_with_offsets(part).shifted(start)
        found = joined([found, pieces, Encoding([tokenizer.mask_id], [mask])])
        start = mask[1]
    return Encoding(found.ids[:-1], found.offsets[:-1])  # without one at the end of the text


def mask_pattern(tokenizer: Tokenizer) -> str:
    """A regular expression of what is a mask."""
    return "|".join(map(re.escape, dict.fromkeys((MASK, tokenizer.tokens[tokenizer.mask_id]))))
