"""Texts as the arrays that a model reads, with the places of their tokens."""

from collections.abc import Iterable, Sequence
from typing import Any, TypedDict

import numpy as np

from bert_jax.config import TextConfig
from bert_jax.config.check import require
from bert_jax.errors import UserError
from bert_jax.inference.forward import LENGTH_BUCKETS
from bert_jax.tasks.batching import choose_lengths
from bert_jax.tasks.encoding import TextEncoder
from bert_jax.tasks.examples import TextExample
from bert_jax.tasks.given import check_whole_characters, not_as_asked, text_of
from bert_jax.tasks.rows import make_rows
from bert_jax.tasks.text_tokens import tokens_of
from bert_jax.text.masked_text import MASK
from bert_jax.text.tokenizer import Tokenizer

Text = str | tuple[str, str]  # a text, or a pair of texts


class Encoded(TypedDict):
    """A batch of texts: B rows, one for each text or pair, of L tokens, [CLS] and [SEP] included.

    input_ids: int32 [B, L], the vocabulary's padding where a row has ended.
    attention_mask: int32 [B, L], 1 for a token, 0 for padding.
    segment_ids: int32 [B, L], 1 for the tokens of a pair's second text, else 0.
    offsets: int32 [B, L, 2]: a token is text[start:end] of the text that it is of; (0, 0) for [CLS], [SEP], padding.
    """

    input_ids: np.ndarray
    attention_mask: np.ndarray
    segment_ids: np.ndarray
    offsets: np.ndarray


def encoded(texts: Iterable[Text], tokenizer: Tokenizer, max_length: int, pad_to: int | None, masks: bool) -> Encoded:
    """See Bert.encode; `max_length` is checked."""
    encoder = TextEncoder(tokenizer, TextConfig(max_length=max_length, long="cut"), windows=False)
    found = [tokens_of(encoder, one.text, one.text2, masks) for one in examples_of(texts)]
    encoder.log_lengths("encode", 'embed with long="windows"')
    rows = make_rows([each.rows[0] for each in found], range(len(found)))
    length = choose_lengths(rows.lengths, 1, LENGTH_BUCKETS, max_length)[-1] if pad_to is None else pad_to
    longest = int(rows.lengths.max())
    require(longest <= length, "pad_to", length, f"the longest text has {longest} tokens: give as many, or max_length")
    batch = rows.batch(range(len(found)), len(found), length)
    offsets = np.zeros((len(found), length, 2), np.int32)
    for row, each in enumerate(found):
        offsets[row, : len(each.offsets)] = each.offsets
    ids = np.where(batch["attention_mask"] > 0, batch["input_ids"], np.int32(tokenizer.pad_id))
    return Encoded(
        input_ids=ids, attention_mask=batch["attention_mask"], segment_ids=batch["segment_ids"], offsets=offsets
    )


def examples_of(texts: Iterable[Text]) -> list[TextExample]:
    """Of texts and pairs; UserError where it is one text, or none."""
    return [text_of(each, f"text {number}") for number, each in enumerate(several(texts), 1)]


def masked_texts(texts: Sequence[Any]) -> dict[str, str]:
    """Each text by its place, "text 1"; UserError where one is no single text."""
    places = [f"text {number}" for number in range(1, len(texts) + 1)]
    for place, text in zip(places, texts, strict=True):
        if not isinstance(text, str):
            raise not_as_asked(text, place, f"a text with {MASK}")
    return dict(zip(places, texts, strict=True))


def several(texts: Any) -> list[Any]:
    """The texts; UserError where it is one text, whose characters would each be taken for one, or none.

    So it is where one has half of a surrogate pair, which tokenizers refuse in their own words, or read as no word.
    """
    if isinstance(texts, str | bytes) or not isinstance(texts, Iterable):
        raise UserError(f"texts is {texts!r:.80}; give a list of texts, also of a single one: [text]")
    found = list(texts)
    if not found:
        raise UserError("texts is empty; give one at least")
    for number, each in enumerate(found, 1):
        check_whole_characters(each, f"text {number}")
    return found
