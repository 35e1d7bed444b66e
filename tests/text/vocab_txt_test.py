"""A vocab.txt is a list of rows: its line numbers are ids whatever the lines hold; other files are called by name."""

import json
from pathlib import Path

import pytest
import transformers
from etils import epath

from bert_jax.errors import UserError
from bert_jax.text.load_tokenizer import load_tokenizer
from bert_jax.text.special_tokens import SPECIAL_TOKENS
from bert_jax.text.vocab_txt import read_vocab_txt

S = list(SPECIAL_TOKENS)


def written(tmp_path, lines, end="\n", mark=b""):
    path = epath.Path(tmp_path / "vocab.txt")
    path.write_bytes(mark + (end.join(lines) + end).encode())
    return path


def test_lines_that_are_white_space_are_rows_too(tmp_path, caplog):
    path = written(tmp_path, [*S, "\u2028", "\x85", "hello", "world"])
    tokenizer = load_tokenizer(path)
    assert tokenizer.tokens == [*S, "", "", "hello", "world"]
    assert tokenizer.encode("hello, world") == [7, tokenizer.unk_id, 8]
    (warning,) = [line.getMessage() for line in caplog.records]
    assert warning == (
        f"{path} holds 1 tokens more than once, such as '' (ids 5 and 6): texts get the last id of each, as in the "
        "original, and the ids of all others stay"
    )
    # What is saved gives the same rows again, and says nothing more.
    tokenizer.save(tmp_path / "saved")
    assert load_tokenizer(tmp_path / "saved").fingerprint == tokenizer.fingerprint
    assert len(caplog.records) == 1


@pytest.mark.parametrize("end", ["\n", "\r\n", " \n", "\t\r\n"])
@pytest.mark.parametrize("mark", [b"", "\ufeff".encode()], ids=["plain", "marked"])
def test_white_space_and_a_byte_order_mark_never_matter(tmp_path, end, mark):
    lines = [*S, "  hello", "", "a\u2028b", "c\x85d", "\u3000world"]
    assert read_vocab_txt(written(tmp_path, lines, end, mark)) == [*S, "hello", "", "a\u2028b", "c\x85d", "world"]


def test_of_a_token_that_is_there_twice_the_last_is_used(tmp_path, caplog):
    path = written(tmp_path, ["[PAD]", "[PAD]", *S[1:], "cat", "dog", "cat", "bird", "cat", "dog"])
    tokenizer = load_tokenizer(path)
    assert tokenizer.vocab_size == 12
    assert tokenizer.pad_id == 1
    assert tokenizer.encode("cat dog bird") == [10, 11, 9]
    assert "holds 3 tokens more than once, such as '[PAD]' (ids 0 and 1)" in caplog.text
    assert caplog.text.count("more than once") == 1


def plain_load_vocab(path):
    """google-research/bert's load_vocab, restated."""
    vocabulary = {}
    with Path(path).open(encoding="utf-8", newline="\n") as reader:
        for index, line in enumerate(reader):
            vocabulary[line.strip()] = index
    return vocabulary


def test_ids_are_those_of_the_original_and_of_transformers(tmp_path):
    path = written(tmp_path, [*S, "\u2028", "\x85", "hello", "world", "hello", "##s", "", "end"])
    tokenizer, theirs = load_tokenizer(path), transformers.BertTokenizer(str(path))
    assert {token: token_id for token_id, token in enumerate(tokenizer.tokens)} == plain_load_vocab(path)
    for text in ("Hellos, world", "end of worlds"):
        assert tokenizer.encode(text) == theirs.encode(text, add_special_tokens=False)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (json.dumps({token: number for number, token in enumerate(S)}), "is JSON, and a vocab.txt holds one token a"),
        (json.dumps([*S, "a"], indent=0), "is JSON"),
        (json.dumps({"model": {"type": "WordPiece"}}, indent=2), "is JSON.*; give a tokenizer.json under that name"),
        ("[" * 100_000, "is JSON"),
        ("".join(f"{token}\t{9 - number}\n" for number, token in enumerate([*S, "a"])), "holds a number behind each"),
        ("\n".join([*S, *(f"word{number} {number}" for number in range(9))]), "cut the numbers off .cut -f1."),
        ("<unk>\t0\n<s>\t0\n▁the\t-3.2\n▁a\t-4.1e-1\n", "or give SentencePiece's .model instead of its .vocab"),
        ("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 231508\n", "is a pointer of Git LFS"),
        ("\n<!DOCTYPE html>\n<html><body>[PAD]</body></html>", "is a web page .HTML. and not the file"),
    ],
)
def test_what_is_no_vocab_txt_is_called_by_name(tmp_path, content, complaint):
    (tmp_path / "vocab.txt").write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=rf"/vocab\.txt .*{complaint}") as caught:
        load_tokenizer(tmp_path / "vocab.txt")
    assert "\n" not in str(caught.value)
    assert "[PAD]" not in str(caught.value)
