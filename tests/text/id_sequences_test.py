"""Vocabularies of a text and ids, and lines of both."""

import pytest

from bert_jax.errors import UserError
from bert_jax.text.id_sequences import PairLines, load_joint_tokenizer
from bert_jax.text.load_tokenizer import load_tokenizer
from bert_jax.text.tokenizer import Tokenizer
from bert_jax.text.trainers import train_bpe, train_unigram

LINES = ["the cook cuts an apple", "a dog eats the bread", "some fish and garlic, 12 of them"] * 9


@pytest.fixture
def vocab(tmp_path):
    path = tmp_path / "vocab.txt"
    path.write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\napple\nbread\n")
    return path


def test_ids_are_behind_those_of_the_text(vocab):
    tokenizer = load_joint_tokenizer(f"{vocab}+ids:20")
    assert (tokenizer.kind, tokenizer.vocab_size) == ("wordpiece", 27)
    assert PairLines(tokenizer).encode_document(["Apple bread\t0 19 0"]) == [[5, 6], [7, 26, 7]]
    assert tokenizer.encode("apple <id:3>, 3") == [5, 10, 1, 1]
    assert tokenizer.fingerprint != load_joint_tokenizer(f"{vocab}+ids:21").fingerprint
    assert load_joint_tokenizer(str(vocab)).fingerprint == load_tokenizer(vocab).fingerprint


@pytest.mark.parametrize("kind", ["wordpiece", "bpe", "unigram"])
def test_saved_and_loaded(vocab, tmp_path, kind):
    if kind != "wordpiece":
        vocab = tmp_path / "vocab"
        train = train_bpe if kind == "bpe" else train_unigram
        Tokenizer(train(LINES, 270 if kind == "bpe" else 40, True)).save(vocab)
    tokenizer, text = load_joint_tokenizer(f"{vocab}+ids:300"), load_tokenizer(vocab)
    tokenizer.save(tmp_path / "saved")
    loaded = load_tokenizer(tmp_path / "saved")
    assert (loaded.fingerprint, loaded.tokens) == (tokenizer.fingerprint, tokenizer.tokens)
    assert tokenizer.encode(LINES[0]) == text.encode(LINES[0])
    assert not any(loaded.continues_word[text.vocab_size :])
    expected = [text.encode(LINES[0]), [text.vocab_size, text.vocab_size + 299]]
    assert PairLines(loaded).encode_document([f"{LINES[0]}\t0 299"]) == expected


@pytest.mark.parametrize(
    ("added", "message"),
    [
        ("+ids:", "write VOCAB.ids:N"),
        ("+ids:0", "write VOCAB.ids:N, N ids behind a text's vocabulary, 1 to"),
        ("+ids:99999999", "1 to 10,000,000"),
    ],
)
def test_a_wrong_vocabulary_is_one_line(vocab, added, message):
    with pytest.raises(UserError, match=message):
        load_joint_tokenizer(f"{vocab}{added}")


def test_ids_are_added_once(vocab, tmp_path):
    load_joint_tokenizer(f"{vocab}+ids:5").save(tmp_path / "saved")
    with pytest.raises(UserError, match=r"saved has ids already; give it alone"):
        load_joint_tokenizer(f"{tmp_path}/saved+ids:6")


def test_bare_ids_need_no_more_ids():
    with pytest.raises(UserError, match="ids:30 is one of bare ids; give it a size for both, as in ids:VOCAB_SIZE"):
        load_joint_tokenizer("ids:30+ids:5")
    assert PairLines(load_tokenizer("ids:30")).encode_document(["5 6\t29"]) == [[5, 6], [29]]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("apple 1 2", r"'apple 1 2' has no tab; with --pairs=aligned, write a text, a tab and its ids"),
        ("apple\t1 20", r"'20' is no id from 0 to 19; correct it, or N in --vocab=VOCAB\+ids:N"),
        ("apple\t1 -1", r"'-1' is no id"),
        ("apple\tbread", r"'bread' is no id"),
    ],
)
def test_what_may_not_stand_on_a_line(vocab, line, message):
    with pytest.raises(UserError, match=message):
        PairLines(load_joint_tokenizer(f"{vocab}+ids:20")).check(line)


def test_texts_alone_have_no_ids(vocab):
    with pytest.raises(UserError, match=r"--pairs=aligned pairs texts with ids, .*give --vocab=VOCAB\+ids:N"):
        PairLines(load_tokenizer(vocab))
