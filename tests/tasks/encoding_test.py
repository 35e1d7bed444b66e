import itertools

import numpy as np
import pytest

from bert_jax.config import TextConfig
from bert_jax.tasks.encoding import TextEncoder, spans, truncate_pair
from bert_jax.tasks.rows import EncodedText, make_rows
from bert_jax.tasks.text_tokens import _tokens, tokens_of, words_of
from bert_jax.text.load_tokenizer import load_tokenizer

WORDS = ["the", "fox", "runs", "over", "a", "dog"]


@pytest.fixture
def tokenizer(tmp_path):
    (tmp_path / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]) + "\n")
    return load_tokenizer(tmp_path / "vocab.txt")


def encoder(tokenizer, max_length=16, **settings):
    return TextEncoder(tokenizer, TextConfig(max_length=max_length, **settings), windows=False)


def words(tokenizer, row):
    return [tokenizer.tokens[token] for token in row.ids]


def original_truncation(first, second, room):
    """run_classifier.py:557-572, line by line."""
    first, second = list(first), list(second)
    while len(first) + len(second) > room:
        if len(first) > len(second):
            first.pop()
        else:
            second.pop()
    return first, second


@pytest.mark.parametrize("seed", range(20))
def test_a_pair_is_cut_as_in_the_original(seed):
    random = np.random.default_rng(seed)
    first, second = list(range(random.integers(1, 30))), list(range(random.integers(1, 30)))
    room = int(random.integers(2, 40))
    assert truncate_pair(first, second, room) == original_truncation(first, second, room)


def test_a_text_and_a_pair_are_rows(tokenizer):
    one = encoder(tokenizer)
    (row,) = one.rows("The fox runs")
    assert words(tokenizer, row) == ["[CLS]", "the", "fox", "runs", "[SEP]"]
    assert row.first_segment == 5
    (row,) = one.rows("the fox", "a dog")
    assert words(tokenizer, row) == ["[CLS]", "the", "fox", "[SEP]", "a", "dog", "[SEP]"]
    assert row.first_segment == 4
    assert one.counts.texts == 2
    assert one.counts.too_long == 0


def test_an_empty_second_text_is_none_and_an_empty_text_is_a_row(tokenizer):
    (row,) = encoder(tokenizer).rows("the fox", "")
    assert words(tokenizer, row) == ["[CLS]", "the", "fox", "[SEP]"]
    (row,) = encoder(tokenizer).rows("")
    assert words(tokenizer, row) == ["[CLS]", "[SEP]"]


def test_what_is_too_long_is_cut_and_counted(tokenizer):
    one = encoder(tokenizer, max_length=5)
    (row,) = one.rows("the fox runs over a dog")
    assert words(tokenizer, row) == ["[CLS]", "the", "fox", "runs", "[SEP]"]
    assert (one.counts.texts, one.counts.too_long) == (1, 1)


@pytest.mark.parametrize("pair", [None, "the dog"])
def test_windows_hold_every_piece(tokenizer, pair):
    text = " ".join(WORDS * 5)
    rows = encoder(tokenizer, max_length=12, long="windows", window_overlap=3).rows(text, pair)
    assert len(rows) > 2
    assert all(len(row.ids) <= 12 for row in rows)
    ids, at = tokenizer.encode(text), 0
    for row in rows:
        inner = row.ids[1 : row.first_segment - 1]
        starts = [start for start in range(at + 1) if ids[start : start + len(inner)] == inner]
        assert starts
        at = starts[-1] + len(inner)
    assert at == len(ids)


@pytest.mark.parametrize(("first_times", "second_times"), [(5, 5), (3, 9), (8, 2), (2, 1)])
def test_windows_of_a_pair_hold_every_piece_of_both(tokenizer, first_times, second_times):
    """Also where neither text fits into half of a row."""
    first, second = WORDS * first_times, WORDS[::-1] * second_times
    rows = encoder(tokenizer, max_length=12, long="windows", window_overlap=2).rows(" ".join(first), " ".join(second))
    assert all(len(row.ids) <= 12 for row in rows)
    for text, parts in (
        (first, [row.ids[1 : row.first_segment - 1] for row in rows]),
        (second, [row.ids[row.first_segment : -1] for row in rows]),
    ):
        ids, at = tokenizer.encode(" ".join(text)), 0
        for part in parts:
            starts = [start for start in range(at + 1) if ids[start : start + len(part)] == part]
            assert starts
            at = max(at, starts[-1] + len(part))
        assert at == len(ids)


@pytest.mark.parametrize(("length", "room", "overlap"), [(10, 4, 2), (10, 4, 9), (4, 4, 2), (5, 4, 0), (100, 7, 3)])
def test_spans_cover_and_overlap(length, room, overlap):
    found = list(spans(length, room, overlap))
    assert {place for start, stop in found for place in range(start, stop)} == set(range(length))
    assert all(stop - start <= room for start, stop in found)
    assert all(after[0] < before[1] or overlap == 0 for before, after in itertools.pairwise(found))


def test_spans_end_with_the_first_that_reaches_the_end():
    assert list(spans(10, 4, 2)) == [(0, 4), (2, 6), (4, 8), (6, 10)]
    assert list(spans(11, 4, 2)) == [(0, 4), (2, 6), (4, 8), (6, 10), (8, 11)]


def test_the_longer_of_a_pair_is_read_in_windows_beside_all_of_the_other(tokenizer):
    rows = encoder(tokenizer, max_length=12, long="windows", window_overlap=2).rows("the fox runs over " * 4, "a dog")
    ids, other = tokenizer.encode("the fox runs over " * 4), tokenizer.encode("a dog")
    assert [row.ids[1 : row.first_segment - 1] for row in rows] == [ids[:7], ids[5:12], ids[10:16]]
    assert [row.ids[row.first_segment : -1] for row in rows] == [other] * 3


def test_windows_of_two_long_texts_go_through_both_at_the_same_pace(tokenizer):
    one = encoder(tokenizer, max_length=11, long="windows", window_overlap=0)
    rows = one.rows("the " * 16, "the fox runs over a dog")
    second = [words(tokenizer, row)[row.first_segment : -1] for row in rows]
    assert second == [["the", "fox", "runs", "over"]] * 2 + [["a", "dog"]] * 2


def test_a_batch_says_which_tokens_are_of_the_second_text(tokenizer):
    one = encoder(tokenizer)
    batch = make_rows([*one.rows("the fox", "a dog"), *one.rows("the fox runs")], range(2)).batch([0, 1], 3, 8)
    assert batch["segment_ids"].tolist() == [[0, 0, 0, 0, 1, 1, 1, 0], [0] * 8, [0] * 8]
    assert batch["attention_mask"].tolist() == [[1] * 7 + [0], [1] * 5 + [0] * 3, [0] * 8]
    assert batch["row_weights"].tolist() == [1.0, 1.0, 0.0]


def test_the_log_says_how_many_were_cut(tokenizer, caplog):
    one = encoder(tokenizer, max_length=4)
    one.rows("the fox runs over")
    one.rows("fox")
    one.log_lengths("train.tsv", "--long=windows")
    assert "train.tsv: 1 of 2 texts are longer than 4 tokens: cut (--long=windows reads all of them)" in caplog.text


def test_where_there_are_no_windows_none_are_made_or_advised(tokenizer, caplog):
    one = TextEncoder(tokenizer, TextConfig(max_length=4, long="windows"), windows=None)
    assert len(one.rows("the fox runs over")) == 1
    one.log_lengths("train.tsv", "--long=windows")
    assert caplog.messages == ["train.tsv: 1 of 1 texts are longer than 4 tokens: cut"]


def test_pairs_in_tokens_are_cut_and_counted_apart(tokenizer, caplog):
    one = encoder(tokenizer, max_length=5, long="windows")
    assert len(tokens_of(one, "the fox runs over").rows) > 1
    assert len(tokens_of(one, "the fox", "runs over").rows) == 1
    one.log_lengths("a.tsv", "--long=windows")
    assert caplog.messages == [
        "a.tsv: 1 of 2 texts are longer than 5 tokens: read in windows",
        "a.tsv: 1 of 2 texts are pairs longer than 5 tokens: cut",
    ]


def test_words_of_a_pair_and_their_tokens(tokenizer):
    tokens = tokens_of(encoder(tokenizer), "the fox", "runs  a dog")
    found = words_of("the fox", "runs  a dog", tokens)
    assert found.offsets.tolist() == [[0, 3], [4, 7], [0, 4], [6, 7], [8, 11]]
    assert found.segments.tolist() == [0, 0, 1, 1, 1]
    assert found.word_of.tolist() == [-1, 0, 1, -1, 2, 3, 4, -1]
    assert found.pieces.tolist() == [1] * 5
    tokens.offsets[2] = (3, 4)  # a token of the space alone is of no word
    assert words_of("the fox", "runs  a dog", tokens).word_of.tolist() == [-1, 0, -1, -1, 2, 3, 4, -1]


def test_tokens_of_a_pair_that_is_cut_keep_their_characters(tokenizer):
    tokens = tokens_of(encoder(tokenizer, max_length=7), "the fox", "runs over a dog")
    assert tokens.offsets.tolist() == [[0, 0], [0, 3], [4, 7], [0, 0], [0, 4], [5, 9], [0, 0]]
    assert tokens.special.tolist() == [1, 0, 0, 1, 0, 0, 1]


def test_each_of_two_separators_is_special():
    row = EncodedText([0, 5, 2, 2, 6, 2], 4)
    tokens = _tokens(row, [[(0, 1)], [(0, 1)]], [row], np.zeros(6), np.arange(6), between=2)
    assert tokens.special.tolist() == [1, 0, 1, 1, 0, 1]
    assert tokens.offsets[:, 1].tolist() == [0, 1, 0, 0, 1, 0]
