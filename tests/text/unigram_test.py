"""SentencePiece models, foreign ones too, judged by the library itself."""

import io
from pydoc_data.topics import topics

import pytest
import sentencepiece

from bert_jax.errors import UserError
from bert_jax.text.unigram import Unigram

TEXTS = ["Hello, world!", "naïve café", "x", "", "the assert statement", *topics["assert"].splitlines()]


def trained(**options):
    model = io.BytesIO()
    lines = [line for text in topics.values() for line in text.splitlines() if line]
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_writer=model, vocab_size=1000, minloglevel=2, **options
    )
    return model.getvalue()


ALBERT = {
    "pad_id": 0,
    "unk_id": 1,
    "bos_id": -1,
    "eos_id": -1,
    "control_symbols": "[CLS],[SEP],[MASK]",
    "user_defined_symbols": "(,)",
}


@pytest.fixture(scope="module")
def albert():
    return trained(**ALBERT)


def test_ids_tokens_and_special_ids_of_a_model_like_albert(albert):
    library = sentencepiece.SentencePieceProcessor(model_proto=albert)
    tokenizer = Unigram(albert, None)
    for text in TEXTS:
        assert tokenizer.encode(text) == library.encode(text)
        assert tokenizer.decode(tokenizer.encode(text)) == library.decode(library.encode(text))
    assert tokenizer.tokens == [library.id_to_piece(token_id) for token_id in range(1000)]
    assert tokenizer.tokens[:5] == ["<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"]
    assert vars(tokenizer.special_ids) == {"pad": 0, "unk": 1, "cls": 2, "sep": 3, "mask": 4}


def test_special_tokens_in_a_text_are_ordinary_text(albert):
    tokenizer = Unigram(albert, None)
    assert not {0, 2, 3, 4} & set(tokenizer.encode("a [MASK] and [SEP] <pad>"))


def test_which_tokens_continue_a_word(albert):
    tokenizer = Unigram(albert, None)
    ids = tokenizer.encode("the assertions")
    pieces = [tokenizer.tokens[token_id] for token_id in ids]
    assert pieces[0] == "▁the"
    assert [tokenizer.continues_word[token_id] for token_id in ids] == [piece[0] != "▁" for piece in pieces]
    assert any(tokenizer.continues_word[token_id] for token_id in ids)
    assert not any(tokenizer.continues_word[:5])


def test_case_is_lost_where_the_file_or_the_caller_says_so(albert):
    folding = trained(**ALBERT, normalization_rule_name="nmt_nfkc_cf")
    keeps, told, folds = Unigram(albert, None), Unigram(albert, True), Unigram(folding, None)
    assert [tokenizer.lowercase for tokenizer in (keeps, told, folds)] == [False, True, True]
    assert keeps.encode("The") != keeps.encode("the")
    assert told.encode("The") == told.encode("the") == keeps.encode("the")
    assert folds.encode("The") == folds.encode("the")
    assert keeps.identity() != told.identity()


def test_bad_files_are_named(albert):
    with pytest.raises(UserError, match=r"x\.model is not a SentencePiece model"):
        Unigram(b"no model", None, "x.model")
    with pytest.raises(UserError, match=r"x\.model is not a SentencePiece model"):
        Unigram(b"", None, "x.model")
    with pytest.raises(UserError, match=r"x\.model is damaged: it holds pieces that are not UTF-8"):
        Unigram(albert.replace("▁the".encode(), b"\xfd\xfd\xfdthe", 1), None, "x.model")
    with pytest.raises(UserError, match=r"x\.model has no token \[PAD\] or <pad>"):
        Unigram(trained(), None, "x.model")
