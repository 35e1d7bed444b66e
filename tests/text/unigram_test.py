"""SentencePiece models, foreign ones too, judged by the library itself; ALBERT's by transformers."""

import io
import json
from pathlib import Path
from pydoc_data.topics import topics

import pytest
import sentencepiece
import transformers
from etils import epath

from bert_jax.errors import UserError
from bert_jax.interchange.huggingface_tokenizer import write_tokenizer
from bert_jax.text.load_tokenizer import load_tokenizer
from bert_jax.text.tokenizer import Tokenizer
from bert_jax.text.unigram import Unigram

PUBLISHED = Path(__file__).parents[3] / "shared" / "golden" / "albert" / "30k-clean.model"
needs_published = pytest.mark.skipif(not PUBLISHED.exists(), reason="no published ALBERT model beside the project")
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
    keeps, uncased, folds = Unigram(albert, None), Unigram(albert, True), Unigram(folding, None)
    assert [tokenizer.lowercase for tokenizer in (keeps, uncased, folds)] == [False, True, True]
    assert keeps.encode("The") != keeps.encode("the")
    assert uncased.encode("The") == uncased.encode("the") == keeps.encode("the")
    assert folds.encode("The") == folds.encode("the")
    assert keeps.identity() != uncased.identity()


@needs_published
def test_ids_of_the_published_albert():
    tokenizer = load_tokenizer(PUBLISHED)
    assert tokenizer.encode("this is a test") == [48, 25, 21, 1289]
    ids = [31, 23, 386, 19, 561, 3050, 15, 17, 48, 25, 4997, 9]  # "▁9", "2000" and ",", of which the file has "2000,"
    assert tokenizer.encode("i was born in 92000, and this is false.") == ids
    assert tokenizer.encode(" I was  born in\t92000, and this is falsé.\n") == ids


QUOTED = ["``quoted'' ``", "it''s '''three''' ```", "a `` b '' É''", "` ` ' '", "``E\u0301''"]


def albert_texts():
    texts = [
        *TEXTS,
        "Ångström ﬁne ½ İ ΑΣ 9, 19,3, a1, 2²,x",
        "  12,345, \u00a0 हिन्दी e\u0301\u0327 ছজ 力加勝 ᴵᴺᵀᵃ  ",
        "日本,",
    ]
    numbers = [f"{number}, x{number},{number * 7},y" for number in range(0, 3000, 7)]
    return [*texts, *numbers, *[line for text in topics.values() for line in text.splitlines()[:3]]]


@needs_published
@pytest.mark.parametrize("keep_accents", [False, True])
@pytest.mark.parametrize("do_lower_case", [True, False])
def test_ids_are_those_of_transformers_albert(tmp_path, do_lower_case, keep_accents):
    """Read from a directory as transformers saves it, from our copy of that, and from our export."""
    theirs = transformers.AlbertTokenizer(str(PUBLISHED), do_lower_case=do_lower_case, keep_accents=keep_accents)
    theirs.save_pretrained(tmp_path)
    ours = load_tokenizer(tmp_path)
    assert (ours.lowercase, ours.keep_accents) == (do_lower_case, keep_accents)
    ours.save(tmp_path / "saved")
    write_tokenizer(ours, epath.Path(tmp_path) / "export", 64)
    again = [load_tokenizer(tmp_path / name) for name in ("saved", "export")]
    for text in [*albert_texts(), *QUOTED]:
        assert ours.encode(text) == theirs(text, add_special_tokens=False)["input_ids"], text
        assert ours.encode_with_offsets(text).ids == ours.encode(text)
        assert [tokenizer.encode(text) for tokenizer in again] == [ours.encode(text)] * 2


@needs_published
def test_tex_quotes_are_usual_ones_in_transformers_alone(tmp_path):
    original = load_tokenizer(PUBLISHED)
    (tmp_path / "spiece.model").write_bytes(PUBLISHED.read_bytes())
    (tmp_path / "config.json").write_text('{"model_type": "albert"}')
    ours = load_tokenizer(tmp_path)
    assert ours.fingerprint == original.fingerprint  # it is the same vocabulary
    write_tokenizer(ours, epath.Path(tmp_path) / "export", 64)
    write_tokenizer(original, epath.Path(tmp_path) / "originals", 64)
    exported, originals = (transformers.AutoTokenizer.from_pretrained(tmp_path / e) for e in ("export", "originals"))
    for text in QUOTED:
        assert exported(text, add_special_tokens=False)["input_ids"] == ours.encode(text), text
        assert originals(text, add_special_tokens=False)["input_ids"] == original.encode(text), text
        assert load_tokenizer(tmp_path / "originals").encode(text) == original.encode(text)
    assert ours.encode("``a''") == original.encode('"a"') != original.encode("``a''")
    text = "see ``e\u0301 a''"
    spans = [text[start:end] for start, end in ours.encode_with_offsets(text).offsets]
    assert [span for span in spans if span] == ["see", "``", "e\u0301", "a", "''"]


def test_alberts_settings_are_kept_and_those_of_other_models_not_changed(albert, tmp_path):
    (tmp_path / "spiece.model").write_bytes(albert)
    other = load_tokenizer(tmp_path / "spiece.model")  # without ALBERT's signs behind the special tokens
    assert (other.lowercase, other.keep_accents) == (False, None)
    assert other.encode("Naïve  9,") == Unigram(albert, None).encode("Naïve  9,")
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "AlbertTokenizer"}')
    named = load_tokenizer(tmp_path)
    assert (named.lowercase, named.keep_accents) == (True, False)
    named.save(tmp_path / "saved")
    saved = load_tokenizer(tmp_path / "saved")
    assert (saved.fingerprint, saved.encode("Naïve 9,")) == (named.fingerprint, named.encode("naive 9,"))
    # A vocabulary described when there was no such setting means what it did.
    description = json.loads((tmp_path / "saved" / "vocabulary.json").read_text())
    del description["keep_accents"]
    plain = Unigram(albert, None)
    before = Tokenizer(plain)
    description |= {"lowercase": False, "fingerprint": before.fingerprint}
    (tmp_path / "saved" / "vocabulary.json").write_text(json.dumps(description))
    assert load_tokenizer(tmp_path / "saved").encode("Naïve  9,") == plain.encode("Naïve  9,")


def test_words_of_ngrams_begin_at_signs_and_digits_too(albert):
    tokenizer = Unigram(albert, None)
    continues = dict(zip(tokenizer.tokens, tokenizer.continues_ngram_word, strict=True))
    signs_and_special = {"(", ".", ",", "<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"}
    assert not any(value for piece, value in continues.items() if piece[0] in "▁0é" or piece in signs_and_special)
    assert all(value for piece, value in continues.items() if piece.isascii() and piece.isalpha())
    assert sum(continues.values()) < sum(tokenizer.continues_word)


def test_bad_files_are_named(albert):
    with pytest.raises(UserError, match=r"x\.model is not a SentencePiece model"):
        Unigram(b"no model", None, "x.model")
    with pytest.raises(UserError, match=r"x\.model is not a SentencePiece model"):
        Unigram(b"", None, "x.model")
    with pytest.raises(UserError, match=r"x\.model is damaged: it holds pieces that are not UTF-8"):
        Unigram(albert.replace("▁the".encode(), b"\xfd\xfd\xfdthe", 1), None, "x.model")
    with pytest.raises(UserError, match=r"x\.model has no token \[PAD\] or <pad>"):
        Unigram(trained(), None, "x.model")
