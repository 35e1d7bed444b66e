"""Vocabularies of bare ids."""

import pytest

from bert_jax.errors import UserError
from bert_jax.text.load_tokenizer import load_tokenizer

SPECIFICATION = "ids:105,pad=100,unk=101,cls=102,sep=103,mask=104"


def test_ids_are_what_is_written():
    tokenizer = load_tokenizer(SPECIFICATION)
    assert (tokenizer.kind, tokenizer.vocab_size) == ("ids", 105)
    assert (tokenizer.pad_id, tokenizer.unk_id, tokenizer.cls_id) == (100, 101, 102)
    assert (tokenizer.sep_id, tokenizer.mask_id) == (103, 104)
    assert tokenizer.encode(" 0 99  7\t101 ") == [0, 99, 7, 101]
    assert tokenizer.decode([102, 5, 104]) == "[CLS] 5 [MASK]"
    assert tokenizer.tokens[:2] == ["0", "1"]


def test_special_ids_are_the_first_five_unless_told():
    tokenizer = load_tokenizer("ids:30,mask=29")
    assert (tokenizer.pad_id, tokenizer.cls_id, tokenizer.sep_id, tokenizer.mask_id) == (0, 2, 3, 29)


def test_saved_and_loaded_in_both_forms(tmp_path):
    tokenizer = load_tokenizer(SPECIFICATION)
    tokenizer.save(tmp_path)
    for path in (tmp_path, tmp_path / "ids.json"):
        loaded = load_tokenizer(path)
        assert (loaded.fingerprint, loaded.tokens) == (tokenizer.fingerprint, tokenizer.tokens)
    assert load_tokenizer("ids:105").fingerprint != tokenizer.fingerprint


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"vocab_size": 105}', r"is damaged .* missing required field `pad`; it holds vocab_size, pad, .*; fix it"),
        (b'{"vocab_size": "105", "pad": 0}', r"is damaged .* Expected `int`, got `str` at `vocab_size`"),
        (b'{"vocab_size": 105, "pad": 0.5}', r"is damaged .* Expected `int`, got `float` at `pad`"),
        (b'{"vocab_size": 5, "pad": 0, "unk": 1, "cls": 2, "sep": 3, "mask": 4}', r": the vocabulary size must be"),
        (b"null", r"is damaged .* got `null`"),
        (b"[" * 100_000, r"is not JSON \(nested too deeply\)"),
        (b'{"\xff": 1}', r"is not JSON .*utf-8"),
    ],
)
def test_a_damaged_file_is_one_line(tmp_path, content, message):
    (tmp_path / "ids.json").write_bytes(content)
    with pytest.raises(UserError, match=rf"/ids\.json ?{message}") as caught:
        load_tokenizer(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("specification", "message"),
    [
        ("ids:", "write ids:VOCAB_SIZE, or ids:VOCAB_SIZE,pad=0"),
        ("ids:ten", "write ids:VOCAB_SIZE"),
        ("ids:10,bos=3", "write ids:VOCAB_SIZE"),
        ("ids:5", "vocabulary size must be between 6 and"),
        ("ids:10,mask=10", "must be five different ids below the vocabulary size, 10"),
        ("ids:10,mask=3", "must be five different ids"),
    ],
)
def test_a_wrong_specification_is_one_line(specification, message):
    with pytest.raises(UserError, match=message):
        load_tokenizer(specification)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("5 105", r"'105' is no id from 0 to 104"),
        ("-1", r"'-1' is no id"),
        ("1.5", r"'1\.5' is no id"),
        ("CCO", r"'CCO' is no id"),
        ("٣", r"'٣' is no id"),
        ("5 102 7", r"102 is the id of cls, which build_records adds itself; leave it out"),
        ("104", r"104 is the id of mask"),
    ],
)
def test_what_may_not_stand_on_a_line(line, message):
    with pytest.raises(UserError, match=message):
        load_tokenizer(SPECIFICATION).encode(line)
