import itertools

import numpy as np
import pytest

from bert_jax.config import TextConfig
from bert_jax.tasks.encoding import TextEncoder
from bert_jax.tasks.word_rows import word_rows
from bert_jax.text.load_tokenizer import load_tokenizer

PIECES = ["un", "##believ", "##able", "fox", "runs"]


@pytest.fixture
def tokenizer(tmp_path):
    (tmp_path / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *PIECES]) + "\n")
    return load_tokenizer(tmp_path / "vocab.txt")


def rows_of(tokenizer, words, max_length=64, overlap=4, long="windows"):
    text = TextConfig(max_length=max_length, window_overlap=overlap, long=long)
    return word_rows(words, TextEncoder(tokenizer, text, windows=True))


def test_the_first_piece_stands_for_a_word(tokenizer):
    (row,) = rows_of(tokenizer, ["unbelievable", "fox", "runs"])
    assert [tokenizer.tokens[token] for token in row.text.ids] == ["[CLS]", *PIECES, "[SEP]"]
    assert row.positions.tolist() == [1, 4, 5]
    assert row.labels([7, 8, 9]) == [-1, 7, -1, -1, 8, 9, -1]


def test_a_word_without_pieces_keeps_its_place(tokenizer):
    (row,) = rows_of(tokenizer, ["fox", "\u200b", "runs"])  # a zero-width space is dropped
    assert row.words.tolist() == [0, 2]
    assert row.labels([1, 2, 3]) == [-1, 1, 3, -1]


@pytest.mark.parametrize("seed", range(10))
def test_windows_answer_for_each_word_once_with_the_most_context(tokenizer, seed):
    random = np.random.default_rng(seed)
    words = [["unbelievable", "fox", "runs"][number] for number in random.integers(0, 3, 60)]
    overlap = int(random.integers(0, 9))
    rows = rows_of(tokenizer, words, max_length=20, overlap=overlap)
    assert all(len(row.text.ids) <= 20 for row in rows)
    assert sorted(np.concatenate([row.words for row in rows])) == list(range(60))
    for row in rows:
        firsts = [tokenizer.encode(words[word])[0] for word in row.words]
        assert [row.text.ids[at] for at in row.positions] == firsts
    begins = np.cumsum([0, *(len(tokenizer.encode(word)) for word in words)])  # the place of each word's first piece
    starts = [int(begins[row.words[0]] - row.positions[0] + 1) for row in rows]
    stops = [start + len(row.text.ids) - 2 for start, row in zip(starts, rows, strict=True)]
    for stop, start in zip(stops, starts[1:], strict=False):
        assert overlap - 3 < stop - start <= overlap  # a word has at most 3 pieces
    for word, (begin, end) in enumerate(itertools.pairwise(begins)):
        contexts = [
            min(begin - start, stop - end) + 0.01 * (stop - start) if start <= begin and end <= stop else -1.0
            for start, stop in zip(starts, stops, strict=True)
        ]
        assert word in rows[int(np.argmax(contexts))].words


def test_of_a_sentence_that_is_cut_the_rest_has_no_row(tokenizer):
    (row,) = rows_of(tokenizer, ["fox"] * 30, max_length=10, long="cut")
    assert row.words.tolist() == list(range(8))


def test_a_word_that_is_longer_than_a_row_is_read_as_far_as_it_goes(tokenizer):
    rows = rows_of(tokenizer, ["unbelievable", "fox"], max_length=4)
    assert sorted(np.concatenate([row.words for row in rows])) == [0, 1]
