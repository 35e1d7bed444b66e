"""WordPiece out of a tokenizer.json alone: the ids are those of the `tokenizers` library on real text."""

import json
from pydoc_data.topics import topics

import pytest
import tokenizers
import transformers
from tokenizers import models, normalizers, pre_tokenizers

from bert_jax.errors import UserError
from bert_jax.text import vocabulary
from bert_jax.text.load_tokenizer import load_tokenizer

SPECIAL_TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
ODD = ["Élan vital, naïve CAFÉ: ÜBER Straße", "日本語 mixed漢字words 한국어!", "tab\tand\u200bzero\u00a0width", "में ไทย"]
LINES = [*ODD, *(line for _, text in sorted(topics.items()) for line in text.splitlines() if line.strip())]


@pytest.fixture(scope="module")
def tokens():
    characters = sorted(set("".join([*LINES, *(line.lower() for line in LINES)])) - set("\t \u200b\u00a0"))
    trained = [
        *vocabulary.train_wordpiece(LINES, 800, True).tokens,
        *vocabulary.train_wordpiece(LINES, 700, False).tokens,
    ]
    return list(dict.fromkeys([*trained, *characters, *(f"##{character}" for character in characters)]))


def library(tokens, **settings):
    """WordPiece as transformers makes it of a vocabulary."""
    made = tokenizers.Tokenizer(models.WordPiece({token: n for n, token in enumerate(tokens)}, unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer(**settings)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.add_special_tokens(SPECIAL_TOKENS)
    return made


@pytest.mark.parametrize("lowercase", [True, False])
@pytest.mark.parametrize("strip_accents", [True, False, None])
@pytest.mark.parametrize("handle_chinese_chars", [True, False])
def test_the_settings_of_the_file_decide(tokens, tmp_path, lowercase, strip_accents, handle_chinese_chars):
    theirs = library(
        tokens, lowercase=lowercase, strip_accents=strip_accents, handle_chinese_chars=handle_chinese_chars
    )
    theirs.save(str(tmp_path / "tokenizer.json"))
    for ours in (load_tokenizer(tmp_path), load_tokenizer(tmp_path / "tokenizer.json")):
        assert (ours.kind, ours.lowercase, ours.tokens) == ("wordpiece", lowercase, tokens)
        for line in LINES[:400]:
            assert ours.encode(line) == theirs.encode(line, add_special_tokens=False).ids, line
    ours.save(tmp_path / "saved")
    assert (tmp_path / "saved" / "vocab.txt").exists()
    assert load_tokenizer(tmp_path / "saved").fingerprint == ours.fingerprint


def test_it_is_the_vocabulary_of_the_vocab_txt_that_it_was_made_of(tokens, tmp_path):
    (tmp_path / "vocab.txt").write_text("".join(f"{token}\n" for token in tokens))
    bare = load_tokenizer(tmp_path / "vocab.txt", do_lower_case=False)
    transformers.BertTokenizerFast(str(tmp_path / "vocab.txt"), do_lower_case=False).save_pretrained(
        tmp_path / "theirs"
    )
    (tmp_path / "theirs" / "vocab.txt").unlink()
    assert load_tokenizer(tmp_path / "theirs").fingerprint == bare.fingerprint
    # An explicit wish goes before what the file says.
    assert load_tokenizer(tmp_path / "theirs", do_lower_case=True).lowercase


def longest_words(ours):
    """The lengths of words that are still cut into pieces, of some."""
    assert ours.encode("a" * 201) == [ours.unk_id]
    return [length for length in (100, 101, 150, 151, 200) if ours.unk_id not in ours.encode("a" * length)]


def test_a_word_may_be_as_long_as_the_file_says(tokens, tmp_path):
    """200 characters in the original, 100 in transformers, where nothing else is said."""
    (tmp_path / "vocab.txt").write_text("".join(f"{token}\n" for token in tokens))
    original = load_tokenizer(tmp_path)
    assert longest_words(original) == [100, 101, 150, 151, 200]
    (tmp_path / "tokenizer_config.json").write_text("{}")
    assert longest_words(load_tokenizer(tmp_path)) == [100]
    for most, lengths in ((100, [100]), (150, [100, 101, 150])):
        theirs = library(tokens)
        theirs.model.max_input_chars_per_word = most
        theirs.save(str(tmp_path / "tokenizer.json"))
        assert len(theirs.encode("a" * most, add_special_tokens=False).ids) > 1
        for ours in (load_tokenizer(tmp_path), load_tokenizer(tmp_path / "tokenizer.json")):
            assert longest_words(ours) == lengths
            assert ours.fingerprint == original.fingerprint  # it is the same vocabulary
            ours.save(tmp_path / str(most))
            assert longest_words(load_tokenizer(tmp_path / str(most))) == lengths


@pytest.mark.parametrize(
    "settings", [{"lowercase": False}, {"lowercase": True, "strip_accents": False}, {"handle_chinese_chars": False}]
)
def test_the_settings_beside_a_vocab_txt_decide(tokens, tmp_path, settings):
    (tmp_path / "vocab.txt").write_text("".join(f"{token}\n" for token in tokens))
    theirs = library(tokens, **settings)
    theirs.save(str(tmp_path / "tokenizer.json"))
    for line in LINES[:400]:
        assert load_tokenizer(tmp_path).encode(line) == theirs.encode(line, add_special_tokens=False).ids, line
    (tmp_path / "tokenizer_config.json").write_text('{"do_lower_case": true, "strip_accents": true}')
    assert load_tokenizer(tmp_path).encode("CAFÉ") == load_tokenizer(tmp_path / "vocab.txt").encode("CAFÉ")


@pytest.mark.parametrize(
    ("change", "message", "lowercase"),
    [
        (lambda file: file.update(pre_tokenizer={"type": "WhitespaceSplit"}), "BertNormalizer, WhitespaceSplit", True),
        (lambda file: file["normalizer"].update(clean_text=False, lowercase=False), "says clean_text=false", False),
        (lambda file: file.pop("model"), "is damaged", True),
    ],
)
def test_what_we_cannot_do_beside_a_vocab_txt_is_told(tokens, tmp_path, caplog, change, message, lowercase):
    """The rest of the file is heeded."""
    (tmp_path / "vocab.txt").write_text("".join(f"{token}\n" for token in tokens))
    (tmp_path / "tokenizer_config.json").write_text("{}")
    (tmp_path / "tokenizer.json").write_text(json.dumps(changed(tokens, change)))
    ours = load_tokenizer(tmp_path)
    assert (ours.lowercase, longest_words(ours)) == (lowercase, [100])
    assert "the vocab.txt beside it is read as the original BERT does" in caplog.text
    assert message in caplog.text


def test_an_early_file_does_not_say_of_what_model_it_is(tokens, tmp_path):
    file = json.loads(library(tokens).to_str())
    del file["model"]["type"]
    (tmp_path / "tokenizer.json").write_text(json.dumps(file))
    assert load_tokenizer(tmp_path).tokens == tokens


def test_a_token_that_a_vocab_txt_held_twice_leaves_a_row_empty(tmp_path):
    (tmp_path / "vocab.txt").write_text("\n".join([*SPECIAL_TOKENS, "cat", "sat", "cat"]) + "\n")
    theirs = transformers.BertTokenizerFast(str(tmp_path / "vocab.txt"))
    theirs.save_pretrained(tmp_path / "theirs")
    (tmp_path / "theirs" / "vocab.txt").unlink()
    ours = load_tokenizer(tmp_path / "theirs")
    assert ours.tokens == [*SPECIAL_TOKENS, "", "sat", "cat"]
    assert ours.encode("cat sat") == theirs("cat sat", add_special_tokens=False)["input_ids"] == [7, 6]


def changed(tokens, change):
    file = json.loads(library(tokens).to_str())
    change(file)
    return file


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda file: file.update(normalizer=None), "prepares text by None, BertPreTokenizer; only BertNormalizer and"),
        (lambda file: file.update(normalizer={"type": "Lowercase"}), "prepares text by Lowercase, BertPreTokenizer"),
        (lambda file: file.update(pre_tokenizer={"type": "Whitespace"}), "prepares text by BertNormalizer, Whitespace"),
        (lambda file: file["normalizer"].update(clean_text=False), "says clean_text=false, and control characters are"),
        (
            lambda file: file["normalizer"].update(lowercase="yes"),
            r"tokenizer\.json, normalizer is damaged .*lowercase",
        ),
        (lambda file: file.update(normalizer={"type": "Sequence"}), r"tokenizer\.json, normalizer is damaged"),
        (lambda file: file["model"].update(continuing_subword_prefix="@@"), "continues words with '@@'"),
        (lambda file: file["model"].update(unk_token="the"), r"calls unknown ones 'the'; only .* and '\[UNK\]'"),
        (lambda file: file["model"]["vocab"].update({"x y": 10**9}), "gives two tokens one id, or leaves out most"),
        (lambda file: file["model"]["vocab"].update({"x y": 7}), "gives two tokens one id"),
        (lambda file: file["model"]["vocab"].update({"x y": -7}), r"tokenizer\.json, model is damaged .*>= 0"),
        (lambda file: file["model"].update(vocab=[]), r"tokenizer\.json, model is damaged .*array"),
        (lambda file: file["model"]["vocab"].update({"x\ny": len(file["model"]["vocab"])}), r"the token 'x\\ny', with"),
        (lambda file: file["model"]["vocab"].pop("[MASK]"), r"has no token \[MASK\]"),
        (lambda file: file["model"].update(type="Unigram"), "holds a Unigram model that is not byte-level BPE"),
        (lambda file: file["model"].update(type="WordLevel"), "holds a WordLevel model that is not byte-level BPE"),
        (lambda file: file.update(model=[]), r"tokenizer\.json is damaged .*`model`; give a tokenizer\.json"),
        (lambda file: file.update(added_tokens={}), r"tokenizer\.json is damaged .*`added_tokens`"),
    ],
)
def test_what_we_cannot_do_is_named(tokens, tmp_path, change, message):
    (tmp_path / "tokenizer.json").write_text(json.dumps(changed(tokens, change)))
    with pytest.raises(UserError, match=message) as raised:
        load_tokenizer(tmp_path)
    assert "\n" not in str(raised.value)
