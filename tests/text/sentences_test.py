"""Sentences against sentencex itself, and the text on which it panics."""

import random
from pydoc_data.topics import topics

import pytest
import sentencex

from bert_jax.text import sentences
from bert_jax.text.sentences import sentences_of

WIDE_SPACES = "\x85\xa0\u1680\u2000\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
PIECES = [*"aB .!?\"'()[]…。/;:1É", *WIDE_SPACES, "A\xa0", "J. ", "Mr. ", "U.S. ", "It ", "😀", "\u0301", "\n"]


def by_sentencex(text):
    stripped = [sentence.strip() for sentence in sentencex.segment("en", text)]
    return [sentence for sentence in stripped if sentence]


class PanicException(BaseException):
    """Stands for the one of a Rust library."""


@pytest.mark.parametrize("space", WIDE_SPACES)
def test_a_wide_space_between_a_capital_and_its_period_is_as_a_plain_one(space):
    assert sentences_of(f"Plan B{space}. It failed.") == [f"Plan B{space}.", "It failed."]
    assert sentences_of(f"Vitamin C {space}. It is.") == [f"Vitamin C {space}.", "It is."]


def test_real_text_is_cut_as_sentencex_cuts_it():
    for text in topics.values():
        for paragraph in text.split("\n\n"):
            assert sentences_of(paragraph) == by_sentencex(paragraph)


def test_random_text_never_panics_and_loses_only_white_space():
    rng = random.Random(0)
    for _ in range(20_000):
        text = "".join(rng.choices(PIECES, k=rng.randint(1, 20)))
        assert "".join("".join(sentences_of(text)).split()) == "".join(text.split()), ascii(text)
        plain = text.translate(dict.fromkeys(map(ord, WIDE_SPACES), "~"))
        assert sentences_of(plain) == by_sentencex(plain), ascii(plain)


def test_any_other_panic_leaves_the_paragraph_whole(monkeypatch, caplog):
    def panic(language, text):
        raise PanicException

    monkeypatch.setattr(sentences.sentencex, "segment", panic)
    assert sentences_of(" One. Two. ") == ["One. Two."]
    assert "kept as one sentence, for sentencex fails on it: ' One. Two. '" in caplog.text


def test_ctrl_c_is_no_panic(monkeypatch):
    def interrupt(language, text):
        raise KeyboardInterrupt

    monkeypatch.setattr(sentences.sentencex, "segment", interrupt)
    with pytest.raises(KeyboardInterrupt):
        sentences_of("One. Two.")
