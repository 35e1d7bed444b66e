"""Lines for trainers: nothing is lost, and no word or line is longer than they can take."""

import random
import re

import pytest

from bert_jax.text.long_words import LongWords, split_at_white_space


def lines_of(seed, count=200):
    """Lines of words around the limit of 10 characters, and of white space."""
    rng = random.Random(seed)
    for _ in range(count):
        parts = [
            rng.choice("aé中 \t\u3000") * rng.choice([1, 3, 9, 10, 11, 20, 21, 35]) for _ in range(rng.randint(0, 6))
        ]
        yield "".join(parts)


@pytest.mark.parametrize("seed", range(5))
def test_words_are_cut_and_all_is_there(seed):
    for line in lines_of(seed):
        parts = list(LongWords(10).split([line]))
        assert "".join(parts) == line
        assert all(len(word) <= 10 for part in parts for word in part.split())
        runs = re.findall(r"\S+|\s+", line)
        assert (len(parts) == 1) == (max(map(len, runs), default=0) <= 10)


def test_only_long_words_are_touched():
    line = "short words " + "x" * 25 + " and " + "y" * 10 + " more"
    assert list(LongWords(10).split([line, "plain"])) == [
        "short words " + "x" * 10,
        "x" * 10,
        "x" * 5 + " and " + "y" * 10 + " more",
        "plain",
    ]


def test_words_are_left_out_and_logged_once(caplog):
    long = LongWords(5)
    assert long.without_long(["a", "abcdef", "abcde"]) == ["a", "abcde"]
    assert long.without_long(["a"]) == ["a"]
    assert long.without_long([]) == []
    long.without_long(["z" * 100])
    long.warn("gone")
    assert [line.getMessage() for line in caplog.records] == [
        "2 words of more than 5 characters, the first of them 'abcdef'..., are gone"
    ]
    LongWords(5).warn("gone")
    assert len(caplog.records) == 1


@pytest.mark.parametrize("seed", range(5))
def test_lines_are_split_at_white_space(seed):
    for line in lines_of(seed):
        parts = list(split_at_white_space([line], 60))
        assert "".join(parts) == line
        assert all(len(part.encode()) <= 60 for part in parts)
        if all(len(word) <= 10 for word in line.split()):
            assert [word for part in parts for word in part.split()] == line.split()


def test_a_line_that_fits_is_left_alone():
    assert list(split_at_white_space(["a b", "é" * 30, "x" * 60], 60)) == ["a b", "é" * 30, "x" * 60]
