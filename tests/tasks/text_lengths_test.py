"""Lengths of a file's texts, as scores.json has them."""

import dataclasses

import pytest

from bert_jax.config import TextConfig
from bert_jax.tasks.encoding import TextEncoder
from bert_jax.tasks.examples import TextExample
from bert_jax.tasks.text_lengths import text_lengths
from bert_jax.tasks.whole_texts import encode


class Letters:
    """A tokenizer whose pieces are letters."""

    cls_id, sep_id = 1, 2

    def encode(self, text):
        return [3] * len(text)


@pytest.mark.parametrize("long", ["cut", "windows"])
def test_lengths_of_texts_and_what_became_of_long_ones(long):
    encoder = TextEncoder(Letters(), TextConfig(max_length=30, long=long, window_overlap=4), windows=False)
    examples = [TextExample("x", None, "a" * size, None, None) for size in (0, 1, 26, 28, 29, 500)]
    found = text_lengths(encode(examples, encoder), encoder)
    wanted = {"texts": 6, "too_long": 2, "long": long, "max_length": 30, "median": 29.0}
    assert {name: getattr(found, name) for name in wanted} == wanted
    assert found.edges == tuple(range(0, 32, 2))
    assert found.counts == (1, 1, *[0] * 11, 1, 3)  # 2; 3; 28; 30 three times
    assert sum(found.counts) == len(examples)
    assert dataclasses.asdict(found)["counts"] == found.counts
