"""Loading, saving and naming of vocabularies of every kind."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from pydoc_data.topics import topics

import pytest
import transformers

from bert_jax.errors import UserError
from bert_jax.text import vocabulary
from bert_jax.text.load_tokenizer import load_tokenizer
from bert_jax.text.special_tokens import SPECIAL_TOKENS
from bert_jax.text.tokenizer import Tokenizer

LINES = [line for text in topics.values() for line in text.splitlines()]
TEXTS = ["The [MASK] of Ångström, 日本!", *topics["assert"].splitlines()]
MODELS = {
    "wordpiece": ("vocab.txt", vocabulary.train_wordpiece),
    "bpe": ("tokenizer.json", vocabulary.train_bpe),
    "sentencepiece": ("tokenizer.model", vocabulary.train_sentencepiece),
}


@pytest.fixture(scope="module", params=[(kind, lower) for kind in MODELS for lower in (True, False)], ids=str)
def tokenizer(request):
    kind, lowercase = request.param
    return Tokenizer(MODELS[kind][1](LINES, 900, lowercase), made_by={"vocab_size": 900})


def ids(tokenizer):
    return [tokenizer.encode(text) for text in TEXTS]


def test_a_saved_tokenizer_is_loaded_as_it_was(tokenizer, tmp_path):
    tokenizer.save(tmp_path / "deep" / "saved")
    loaded = load_tokenizer(tmp_path / "deep" / "saved")
    assert {key: value for key, value in vars(loaded).items() if key != "_model"} == {
        key: value for key, value in vars(tokenizer).items() if key != "_model"
    }
    assert ids(loaded) == ids(tokenizer)
    assert [loaded.decode(line) for line in ids(loaded)] == [tokenizer.decode(line) for line in ids(tokenizer)]
    loaded.save(tmp_path / "again")
    for file in (tmp_path / "again").iterdir():
        assert file.read_bytes() == (tmp_path / "deep" / "saved" / file.name).read_bytes()


def test_the_description_says_what_it_is(tokenizer, tmp_path):
    tokenizer.save(tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted([MODELS[tokenizer.kind][0], "vocabulary.json"])
    assert json.loads((tmp_path / "vocabulary.json").read_text()) == {
        "kind": tokenizer.kind,
        "vocab_size": 900,
        "fingerprint": tokenizer.fingerprint,
        "lowercase": tokenizer.lowercase,
        "made_by": {"vocab_size": 900},
    }


def test_a_bare_file_is_accepted_as_it_is(tokenizer, tmp_path):
    tokenizer.save(tmp_path)
    bare = load_tokenizer(tmp_path / MODELS[tokenizer.kind][0], do_lower_case=tokenizer.lowercase)
    assert ids(bare) == ids(tokenizer)
    assert bare.fingerprint == tokenizer.fingerprint
    assert bare.made_by == {}


def test_special_ids_and_lists(tokenizer):
    special = (tokenizer.pad_id, tokenizer.unk_id, tokenizer.cls_id, tokenizer.sep_id, tokenizer.mask_id)
    assert special == (0, 1, 2, 3, 4)
    assert tuple(tokenizer.tokens[:5]) == SPECIAL_TOKENS
    assert len(tokenizer.tokens) == len(tokenizer.continues_word) == tokenizer.vocab_size == 900
    assert not any(tokenizer.continues_word[:5])
    assert not {0, 2, 3, 4} & {token_id for line in ids(tokenizer) for token_id in line}


def test_a_bare_vocab_txt_is_uncased_unless_told(tmp_path):
    (tmp_path / "vocab.txt").write_text("\n".join([*SPECIAL_TOKENS, "the", "The"]) + "\n")
    path = tmp_path / "vocab.txt"
    assert load_tokenizer(path).encode("The the") == [5, 5]
    assert load_tokenizer(path, do_lower_case=False).encode("The the") == [6, 5]
    assert load_tokenizer(str(path)).fingerprint != load_tokenizer(path, do_lower_case=False).fingerprint


def test_fingerprints_are_the_same_in_every_process_and_tell_vocabularies_apart(tmp_path):
    fingerprints = set()
    for tokens in (["a", "b"], ["b", "a"], ["a", "b", "c"], ["a", "é"]):
        (tmp_path / "vocab.txt").write_text("\n".join([*SPECIAL_TOKENS, *tokens]) + "\n", encoding="utf-8")
        fingerprints.add(load_tokenizer(tmp_path).fingerprint)
    assert len(fingerprints) == 4
    program = (
        "import sys; from bert_jax.text.load_tokenizer import load_tokenizer as t; print(t(sys.argv[1]).fingerprint)"
    )
    other = subprocess.run(
        [sys.executable, "-c", program, tmp_path],
        env={"PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert other.stdout.strip() == load_tokenizer(tmp_path).fingerprint
    assert other.stdout.strip() in fingerprints


@pytest.mark.parametrize("lowercase", [True, False])
def test_a_hugging_face_directory_is_loaded(tmp_path, lowercase):
    Tokenizer(vocabulary.train_wordpiece(LINES, 900, lowercase)).save(tmp_path / "ours")
    theirs = transformers.BertTokenizerFast(str(tmp_path / "ours" / "vocab.txt"), do_lower_case=lowercase)
    theirs.save_pretrained(tmp_path / "theirs")
    ours = load_tokenizer(tmp_path / "theirs")
    assert ours.kind == "wordpiece"
    assert ours.lowercase == lowercase
    for line in topics["assert"].splitlines():
        assert ours.encode(line) == theirs(line, add_special_tokens=False)["input_ids"]
    # An explicit wish goes before their configuration, and a damaged one is named.
    assert load_tokenizer(tmp_path / "theirs", do_lower_case=not lowercase).lowercase != lowercase
    (tmp_path / "theirs" / "tokenizer_config.json").write_text("{")
    for content, message in [
        (b"{", r"tokenizer_config\.json is not JSON .*; fix it, or give"),
        (b"[" * 100_000, r"tokenizer_config\.json is not JSON \(nested too deeply\)"),
        (b'{"a": "\xff"}', r"tokenizer_config\.json is not JSON .*utf-8"),
        (b"[]", r"tokenizer_config\.json is damaged or of another version: Expected `object`"),
        (b'{"strip_accents": 1}', r"tokenizer_config\.json is damaged .*`bool \| null`, got `int` at `strip_accents`"),
    ]:
        (tmp_path / "theirs" / "tokenizer_config.json").write_bytes(content)
        with pytest.raises(UserError, match=message):
            load_tokenizer(tmp_path / "theirs")


@pytest.mark.parametrize(("lowercase", "strip_accents"), [(True, False), (False, True), (True, True), (False, None)])
@pytest.mark.parametrize("tokenize_chinese_chars", [True, False])
def test_a_hugging_face_directory_says_what_becomes_of_accents_and_ideographs(
    tmp_path, lowercase, strip_accents, tokenize_chinese_chars
):
    words = ["schon", "schön", "Schön", "Schon", "中", "文", "中文", "म", "में"]
    (tmp_path / "vocab.txt").write_text("\n".join([*SPECIAL_TOKENS, *words]) + "\n", encoding="utf-8")
    theirs = transformers.BertTokenizerFast(
        str(tmp_path / "vocab.txt"),
        do_lower_case=lowercase,
        strip_accents=strip_accents,
        tokenize_chinese_chars=tokenize_chinese_chars,
    )
    theirs.save_pretrained(tmp_path / "theirs")
    ours = load_tokenizer(tmp_path / "theirs")
    for text in ("Schön", "schön", "中文", "में"):
        assert ours.encode(text) == theirs(text, add_special_tokens=False)["input_ids"], text
    assert (ours.encode("Schön") == [6]) == (lowercase and strip_accents is False)
    assert (ours.strip_accents, ours.tokenize_chinese_chars) == (bool(strip_accents), tokenize_chinese_chars)
    is_usual = strip_accents in (None, lowercase) and tokenize_chinese_chars
    assert (ours.fingerprint == load_tokenizer(tmp_path / "vocab.txt", lowercase).fingerprint) == is_usual
    ours.save(tmp_path / "saved")
    saved = load_tokenizer(tmp_path / "saved")
    assert (saved.strip_accents, saved.tokenize_chinese_chars) == (ours.strip_accents, tokenize_chinese_chars)
    assert saved.fingerprint == ours.fingerprint
    assert is_usual == (
        not {"strip_accents", "tokenize_chinese_chars"}
        & json.loads((tmp_path / "saved" / "vocabulary.json").read_text()).keys()
    )


@pytest.mark.parametrize(
    ("config", "warned"),
    [
        (
            {"word_tokenizer_type": "mecab", "subword_tokenizer_type": "character"},
            "word_tokenizer_type=mecab, subword_",
        ),
        ({"tokenizer_class": "RoFormerTokenizer"}, "tokenizer_class=RoFormerTokenizer; text is cut here as"),
        ({"tokenizer_class": "BertJapaneseTokenizer"}, "tokenizer_class=BertJapaneseTokenizer; text is cut here as"),
        ({"tokenizer_class": "BertTokenizerFast"}, ""),
        ({"do_basic_tokenize": False}, "do_basic_tokenize=False; text is cut here as the original BERT does"),
        ({"word_tokenizer_type": "basic", "subword_tokenizer_type": "wordpiece", "do_basic_tokenize": True}, ""),
    ],
)
def test_a_hugging_face_directory_whose_words_are_cut_otherwise_is_named(tmp_path, caplog, config, warned):
    (tmp_path / "vocab.txt").write_text("\n".join(SPECIAL_TOKENS) + "\n")
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    load_tokenizer(tmp_path)
    assert (f"{tmp_path}/tokenizer_config.json says {warned}" in caplog.text) == bool(warned)
    assert len(caplog.records) == bool(warned)


@pytest.mark.parametrize(
    ("model_type", "config", "warns"),
    [
        ("roformer", None, True),
        ("roformer", {"do_lower_case": True}, True),
        ("roformer", {"tokenizer_class": "BertTokenizer"}, False),
        ("bert", None, False),
    ],
)
def test_a_roformer_whose_words_are_those_of_its_class_is_named(tmp_path, caplog, model_type, config, warns):
    (tmp_path / "vocab.txt").write_text("\n".join(SPECIAL_TOKENS) + "\n")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": model_type}))
    if config is not None:
        (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    load_tokenizer(tmp_path)
    assert (f"{tmp_path}/config.json says model_type=roformer; text is cut here as" in caplog.text) == warns
    assert len(caplog.records) == warns


def test_fingerprints_of_vocabularies_made_before_stay(tmp_path):
    (tmp_path / "vocab.txt").write_text("\n".join([*SPECIAL_TOKENS, "a", "é", "##b"]) + "\n", encoding="utf-8")
    fingerprints = [load_tokenizer(tmp_path / "vocab.txt", lowercase).fingerprint for lowercase in (True, False)]
    assert fingerprints == ["a090f881d42d4138", "95d058570a12d26e"]
    assert load_tokenizer("ids:105").fingerprint == "dec9ea13939f80da"


def test_our_bpe_directory_is_read_by_hugging_face(tmp_path):
    ours = Tokenizer(vocabulary.train_bpe(LINES, 900, lowercase=False))
    ours.save(tmp_path)
    theirs = transformers.PreTrainedTokenizerFast(tokenizer_file=str(tmp_path / "tokenizer.json"))
    for line in topics["assert"].splitlines():
        assert ours.encode(line) == theirs(line, add_special_tokens=False)["input_ids"]


def test_what_is_no_vocabulary_is_named(tmp_path):
    with pytest.raises(UserError, match=r"vocabulary .*/none does not exist; make one"):
        load_tokenizer(tmp_path / "none")
    with pytest.raises(UserError, match=r"holds no vocab\.txt, tokenizer\.json or \*\.model"):
        load_tokenizer(tmp_path)
    (tmp_path / "words.csv").write_text("a,b")
    with pytest.raises(UserError, match=r"words\.csv is no vocabulary: its name must end in \.txt"):
        load_tokenizer(tmp_path / "words.csv")


def test_a_directory_that_was_changed_or_is_read_otherwise_is_named(tmp_path):
    Tokenizer(vocabulary.train_wordpiece(LINES, 900, True)).save(tmp_path / "v")
    with pytest.raises(UserError, match=r"/v was made with lowercase=True; leave out --do_lower_case"):
        load_tokenizer(tmp_path / "v", do_lower_case=False)
    assert load_tokenizer(tmp_path / "v", do_lower_case=True).lowercase
    for name, change, message in [
        ("vocab.txt", lambda text: text.replace("##e\n", "##Q\n"), "were changed after its vocabulary.json"),
        ("vocabulary.json", lambda text: text[:20], "vocabulary.json is not JSON .*; build the vocabulary again"),
        ("vocabulary.json", lambda text: text.replace('"kind"', '"sort"'), "missing required field `kind`"),
        ("vocabulary.json", lambda text: text.replace(": true", ": 1"), "Expected `bool`, got `int` at `lowercase`"),
        ("vocabulary.json", lambda text: "[" * 100_000, "vocabulary.json is not JSON .nested too deeply.; build"),
        ("vocabulary.json", lambda text: "null", "vocabulary.json is damaged .* got `null`; build the vocabulary"),
    ]:
        shutil.copytree(tmp_path / "v", tmp_path / "changed")
        file = tmp_path / "changed" / name
        file.write_text(change(file.read_text(encoding="utf-8")), encoding="utf-8")
        with pytest.raises(UserError, match=message):
            load_tokenizer(tmp_path / "changed")
        shutil.rmtree(tmp_path / "changed")


def test_the_published_vocabulary_is_accepted_as_it_is():
    path = Path(__file__).resolve().parents[2].parent / "shared" / "golden" / "bert-base-uncased-vocab.txt"
    if not path.exists():
        pytest.skip("needs the published vocabulary")
    tokenizer = load_tokenizer(path)
    special = (tokenizer.pad_id, tokenizer.unk_id, tokenizer.cls_id, tokenizer.sep_id, tokenizer.mask_id)
    assert (tokenizer.vocab_size, special) == (30522, (0, 100, 101, 102, 103))
    assert tokenizer.encode("Hello, world!") == [7592, 1010, 2088, 999]
