"""Byte-level BPE: files as Hugging Face writes them, judged by transformers."""

import json
from pydoc_data.topics import topics

import pytest
import tokenizers
import transformers
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, trainers

from bert_jax.errors import UserError
from bert_jax.text.byte_bpe import ByteBPE

ROBERTA_TOKENS = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
TEXTS = ["Hello, world!", "naïve café 日本語 😀", " two  spaces\tand a tab", "x", "", *topics["assert"].splitlines()]


def roberta_like(special_tokens=tuple(ROBERTA_TOKENS), normalizer=None, pre_tokenizer=None):
    """A tokenizer.json like RoBERTa's: trained on real text, with truncation, padding and a template set."""
    library = tokenizers.Tokenizer(models.BPE())
    library.normalizer = normalizer
    library.pre_tokenizer = pre_tokenizer or pre_tokenizers.ByteLevel(add_prefix_space=False)
    library.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=800, special_tokens=list(special_tokens), initial_alphabet=alphabet, show_progress=False
    )
    library.train_from_iterator(topics.values(), trainer)
    if "</s>" in special_tokens:
        library.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    library.enable_truncation(16)
    library.enable_padding(length=16)
    return library


@pytest.fixture(scope="module")
def content():
    return roberta_like().to_str().encode()


def test_ids_equal_those_of_transformers_without_its_special_tokens(content, tmp_path):
    (tmp_path / "tokenizer.json").write_bytes(content)
    theirs = transformers.PreTrainedTokenizerFast(tokenizer_file=str(tmp_path / "tokenizer.json"))
    ours = ByteBPE(content, None)
    for text in TEXTS:
        ids = theirs(text, add_special_tokens=False, padding=False, truncation=False)["input_ids"]
        assert ours.encode(text) == ids
        assert ours.decode(ids) == text
    assert ours.tokens == theirs.convert_ids_to_tokens(range(len(ours.tokens)))


def test_special_tokens_in_a_text_are_ordinary_text(content):
    tokenizer = ByteBPE(content, None)
    ids = tokenizer.encode("a <mask> and </s>")
    assert tokenizer.decode(ids) == "a <mask> and </s>"
    assert not {tokenizer.special_ids.mask, tokenizer.special_ids.sep} & set(ids)


def test_which_tokens_continue_a_word(content):
    tokenizer = ByteBPE(content, None)
    ids = tokenizer.encode(" the assertion")
    pieces = [tokenizer.tokens[token_id] for token_id in ids]
    assert pieces[0] == "Ġthe"
    assert [tokenizer.continues_word[token_id] for token_id in ids] == [piece[0] != "Ġ" for piece in pieces]
    assert any(tokenizer.continues_word[token_id] for token_id in ids)
    assert not any(tokenizer.continues_word[tokenizer.tokens.index(token)] for token in ROBERTA_TOKENS)


def test_case_is_lost_where_the_file_or_the_caller_says_so(content):
    folding = roberta_like(normalizer=normalizers.Lowercase()).to_str().encode()
    keeps, uncased, folds = ByteBPE(content, None), ByteBPE(content, True), ByteBPE(folding, None)
    assert [tokenizer.lowercase for tokenizer in (keeps, uncased, folds)] == [False, True, True]
    assert keeps.encode("The") != keeps.encode("the")
    assert uncased.encode("The") == uncased.encode("the") == keeps.encode("the")
    assert folds.encode("The") == folds.encode("the")


def test_identity_changes_with_merges_and_not_with_padding(content):
    changed = json.loads(content)
    changed["model"]["merges"].reverse()
    unpadded = json.loads(content)
    unpadded["padding"] = unpadded["truncation"] = None
    ours = ByteBPE(content, None)
    assert ByteBPE(json.dumps(changed).encode(), None).identity() != ours.identity()
    assert ByteBPE(json.dumps(unpadded).encode(), None).identity() == ours.identity()
    assert ours.files() == {"tokenizer.json": content}


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (b"{", "x.json is not JSON .*; give a tokenizer.json of the tokenizers library, or another"),
        (b"[" * 100_000, "x.json is not JSON .nested too deeply.; give a tokenizer.json"),
        (b"\xff\xfe", "x.json is not JSON .*; give a tokenizer.json"),
        (b'{"a": "\xff"}', "x.json is not JSON .*utf-8.*; give a tokenizer.json"),
        (b"[]", "x.json is damaged or of another version: Expected `object`, got `array`; give a tokenizer.json"),
        (b'{"<s>": 0, "<pad>": 1}', "x.json is damaged .* missing required field `model`; give a tokenizer.json"),
        (b'{"model": []}', "x.json is damaged .* got `array` at `model`; give a tokenizer.json"),
        (tokenizers.Tokenizer(models.WordPiece()).to_str().encode(), "x.json holds a WordPiece model"),
        (
            roberta_like(pre_tokenizer=pre_tokenizers.Whitespace()).to_str().encode(),
            "x.json holds a BPE model that is not byte-level BPE",
        ),
        (roberta_like(special_tokens=ROBERTA_TOKENS[:4]).to_str().encode(), r"x.json has no token \[MASK\] or <mask>"),
    ],
)
def test_a_bad_file_is_named(bad, message):
    with pytest.raises(UserError, match=message):
        ByteBPE(bad, None, "x.json")


@pytest.mark.parametrize("depth", [500, 900, 990, 1000, 5000])
def test_no_depth_is_too_much(content, depth):
    deep = content.decode().replace('"normalizer":null', '"normalizer":' + "[" * depth + "]" * depth)
    assert deep != content.decode()
    with pytest.raises(UserError, match=r"x\.json (is not JSON|is damaged|cannot be read)"):
        ByteBPE(deep.encode(), None, "x.json")


def test_a_file_that_the_library_refuses_or_that_leaves_out_an_id_is_named(content):
    broken = json.loads(content)
    broken["model"]["merges"] = [["no", "such"]]
    with pytest.raises(UserError, match=r"x\.json cannot be read by the tokenizers library"):
        ByteBPE(json.dumps(broken).encode(), None, "x.json")
    gap = json.loads(content)
    last = max(gap["model"]["vocab"], key=gap["model"]["vocab"].get)
    gap["model"]["vocab"][last] += 1
    with pytest.raises(UserError, match=r"x\.json leaves out ids"):
        ByteBPE(json.dumps(gap).encode(), None, "x.json")
