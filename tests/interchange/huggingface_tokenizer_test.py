"""Exported tokenizers as transformers loads them: the ids are ours on real text, in three kinds of vocabulary."""

import io
import json
import unicodedata
from collections import Counter
from pydoc_data.topics import topics

import pytest
import sentencepiece
import tokenizers
import transformers
from etils import epath

from bert_jax.interchange.huggingface_tokenizer import write_tokenizer
from bert_jax.text.load_tokenizer import load_tokenizer
from bert_jax.text.tokenizer import Tokenizer
from bert_jax.text.trainers import train_unigram
from bert_jax.text.wordpiece import WordPiece

SPECIAL_TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
LINES = [line for _, text in sorted(topics.items()) for line in text.splitlines() if line.strip()]
ODD = [
    "Naïve café, Ångström: ẞtraße ﬁne; 日本語 mixed漢字words 한국어!",
    "$100 ^caret a+b=c ~tilde |pipe| «quotes» — dash … 100€ ©",
    "tabs\tand  many   spaces ",
    "x" * 150,
]


EQUALLY_LIKELY = ("---", "===", "***", "~~~")  # in pieces of one sign and of several, whatever their order

# Σ as the last letter of a word is ς in lower case, with whatever stands about it.
SIGMAS = [
    "ΟΔΟΣ",
    "ΟΔΟΣ ΤΗΣ ΟΔΟΎ, ΌΛΟΣ. Σ ΣΣΣ",
    "ΑΣ.Σ ΑΣ'Σ ΑΣ' ΑΣ-Σ",
    "ΑΣ\u0301 Α\u0301Σ\u0301Α ΑΣ\u00adΑ ΑΣ\u00ad",
    "ΑΣ中Α ΑΣ2 ΑΣ\u0345 2Σ ʰΣ ΑʰΣ",
]
CONTROLS = ["ΑΣ\u0001Α Α\u0001Σ ΑΣ\ufffdΑ Α\0Σ\0", "ΑΣ\tΑ ΑΣ\nΑ Α\tΣ"]  # all but white space are dropped by WordPiece


def make_wordpiece(directory, lowercase, **settings):
    text = " ".join([*LINES, *ODD])
    words = [word for word, _ in Counter((text.lower() if lowercase else text).split()).most_common(700)]
    characters = sorted(set(text.lower() if lowercase else text) - set(" \t\n"))
    characters += sorted(set(unicodedata.normalize("NFD", "".join(SIGMAS).lower())) - {*characters, *" \t\n"})
    pieces = dict.fromkeys([*SPECIAL_TOKENS, *characters, *("##" + char for char in characters), *words])
    if settings:
        (directory / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": lowercase, **settings}))
    (directory / "vocab.txt").write_text("".join(f"{piece}\n" for piece in pieces))
    return load_tokenizer(directory if settings else directory / "vocab.txt", do_lower_case=lowercase)


def make_bpe(directory, lowercase):
    library = tokenizers.Tokenizer(tokenizers.models.BPE())
    library.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    library.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=900,
        special_tokens=SPECIAL_TOKENS,
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    library.train_from_iterator(LINES, trainer)
    library.enable_padding(length=7)  # a foreign file may have such a habit
    library.save(str(directory / "tokenizer.json"))
    return load_tokenizer(directory / "tokenizer.json", do_lower_case=lowercase)


def make_sentencepiece(directory, lowercase):
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([*LINES, *ODD]),
        model_writer=model,
        vocab_size=900,
        pad_id=0,
        unk_id=1,
        bos_id=-1,
        eos_id=-1,
        control_symbols="[CLS],[SEP],[MASK]",
        user_defined_symbols="<entity>",
        normalization_rule_name="nmt_nfkc_cf" if lowercase else "nmt_nfkc",
        minloglevel=2,
        num_threads=1,
    )
    (directory / "tokenizer.model").write_bytes(model.getvalue())
    return load_tokenizer(directory / "tokenizer.model")


def make_unigram(directory, lowercase):
    tokenizer = Tokenizer(train_unigram([*LINES, *ODD], 900, lowercase, keep_accents=not lowercase))
    tokenizer.save(directory)
    (directory / "vocabulary.json").unlink()
    settings = {"tokenizer_class": "AlbertTokenizer", "do_lower_case": lowercase, "keep_accents": not lowercase}
    (directory / "tokenizer_config.json").write_text(json.dumps(settings))
    return load_tokenizer(directory)


MAKERS = [make_wordpiece, make_bpe, make_sentencepiece, make_unigram]


@pytest.fixture(scope="module", params=MAKERS, ids=lambda make: make.__name__)
def make(request):
    return request.param


def add_tokens(tokenizer, directory, lowercase):
    """The tokenizer that `make` left in `directory`, with tokens added as transformers would save them."""
    flags = {"Namespace": {"single_word": True, "normalized": False}, "of the": {}, "[DRUG]": {"normalized": False}}
    if tokenizer.kind == "bpe":
        library = tokenizers.Tokenizer.from_file(str(directory / "tokenizer.json"))
        library.add_tokens([tokenizers.AddedToken(content, **said) for content, said in flags.items()])
        library.save(str(directory / "tokenizer.json"))
        return load_tokenizer(directory / "tokenizer.json", do_lower_case=lowercase)
    decoder = {
        tokenizer.vocab_size + number: {"content": content, "special": content == "[DRUG]", **said}
        for number, (content, said) in enumerate(flags.items())
    }
    settings = {"do_lower_case": lowercase, "added_tokens_decoder": decoder}
    if tokenizer.keep_accents is not None:
        settings["keep_accents"] = tokenizer.keep_accents
    (directory / "tokenizer_config.json").write_text(json.dumps(settings))
    return load_tokenizer(directory)


CASES = [(True, False), (False, False), (True, True), (False, True)]


@pytest.fixture(scope="module", params=CASES, ids=["uncased", "cased", "uncased-added", "cased-added"])
def exported(request, make, tmp_path_factory):
    directory = epath.Path(tmp_path_factory.mktemp("tokenizer"))
    lowercase, with_added_tokens = request.param
    tokenizer = make(directory, lowercase)
    if with_added_tokens:
        tokenizer = add_tokens(tokenizer, directory, lowercase)
        assert set(tokenizer.encode("out of the box [DRUG]")) >= {tokenizer.vocab_size - 2, tokenizer.vocab_size - 1}
    write_tokenizer(tokenizer, directory / "export", max_length=64)
    (directory / "export" / "config.json").write_text('{"model_type": "bert"}')  # of which classes are chosen, too
    return tokenizer, directory / "export"


def test_transformers_gives_our_ids(exported):
    tokenizer, directory = exported
    theirs = transformers.AutoTokenizer.from_pretrained(str(directory))
    odd = [*ODD, *SIGMAS, *(CONTROLS if tokenizer.kind == "wordpiece" else [])]
    for line in [*LINES[:3000], *odd]:
        their_ids, our_ids = theirs(line, add_special_tokens=False)["input_ids"], tokenizer.encode(line)
        if tokenizer.kind == "sentencepiece" and any(cut in line for cut in EQUALLY_LIKELY):
            their_ids, our_ids = sorted(their_ids), sorted(our_ids)
        assert their_ids == our_ids, line
    assert len(theirs) == tokenizer.vocab_size
    assert theirs.model_max_length == 64


def pair_of_texts(tokenizer):
    """The ids and segments of the two texts that the tests give."""
    first, second = tokenizer.encode("the object"), tokenizer.encode("is called")
    ids = [tokenizer.cls_id, *first, tokenizer.sep_id, *second, tokenizer.sep_id]
    return ids, [0] * (len(first) + 2) + [1] * (len(second) + 1)


@pytest.mark.parametrize(("lowercase", "strip_accents"), [(True, False), (False, True), (True, True), (False, None)])
@pytest.mark.parametrize("tokenize_chinese_chars", [True, False])
def test_accents_and_ideographs_are_treated_as_before(tmp_path, lowercase, strip_accents, tokenize_chinese_chars):
    settings = {"strip_accents": strip_accents, "tokenize_chinese_chars": tokenize_chinese_chars}
    tokenizer = make_wordpiece(epath.Path(tmp_path), lowercase, **settings)
    write_tokenizer(tokenizer, epath.Path(tmp_path) / "export", max_length=64)
    theirs = transformers.AutoTokenizer.from_pretrained(str(tmp_path / "export"))
    for line in [*LINES[:200], *ODD, *SIGMAS, *CONTROLS]:
        assert theirs(line, add_special_tokens=False)["input_ids"] == tokenizer.encode(line), line
    assert load_tokenizer(tmp_path / "export").fingerprint == tokenizer.fingerprint


def test_rows_that_no_text_gets_stay_rows(tmp_path):
    tokens = [*SPECIAL_TOKENS, "\u2028", "\x85", "hello", "world", "hello", "end"]
    (tmp_path / "vocab.txt").write_text("".join(f"{token}\n" for token in tokens), encoding="utf-8")
    tokenizer = load_tokenizer(tmp_path / "vocab.txt")
    write_tokenizer(tokenizer, epath.Path(tmp_path) / "export", max_length=64)
    theirs = transformers.AutoTokenizer.from_pretrained(str(tmp_path / "export"))
    assert theirs("hello world end", add_special_tokens=False)["input_ids"] == [9, 8, 10]
    assert tokenizer.encode("hello world end") == [9, 8, 10]
    assert load_tokenizer(tmp_path / "export").fingerprint == tokenizer.fingerprint


def test_the_final_sigma_is_found_among_all_characters(tmp_path):
    """Where a character is the same to both without a sigma (Unicode's tables differ), it is beside one, too."""
    tokenizer = make_wordpiece(epath.Path(tmp_path), lowercase=True)
    write_tokenizer(tokenizer, epath.Path(tmp_path) / "export", max_length=64)
    theirs = tokenizers.Tokenizer.from_file(str(tmp_path / "export" / "tokenizer.json"))

    def words(text):
        cleaned = theirs.normalizer.normalize_str(text)
        return [word for word, _ in theirs.pre_tokenizer.pre_tokenize_str(cleaned)]

    ours = WordPiece(SPECIAL_TOKENS, lowercase=True).words
    compared = finals = 0
    for char in map(
        chr, [*range(0x3100), *range(0xA640, 0xAB70), *range(0xFB00, 0x10000), *range(0x10400, 0x1F000, 3)]
    ):
        text = f"ΑΣ{char} Α{char}Σ ΑΣ{char}Β {char}Σ ΣΣ{char}"
        if words(text.replace("Σ", "Τ")) == ours(text.replace("Σ", "Τ")) and unicodedata.category(char) != "Cn":
            assert words(text) == ours(text), ascii(char)
            compared += 1
            finals += "ς" in "".join(ours(text))
    assert min(compared, finals) > 20_000


def test_two_texts_become_a_pair_as_in_pretraining(exported):
    tokenizer, directory = exported
    theirs = transformers.AutoTokenizer.from_pretrained(str(directory))
    pair = theirs("the object", "is called", padding="max_length", max_length=32)
    ids, segments = pair_of_texts(tokenizer)
    assert pair["input_ids"] == ids + [tokenizer.pad_id] * (32 - len(ids))
    assert pair["token_type_ids"][: len(ids)] == segments
    assert sum(pair["attention_mask"]) == len(ids)


# Prints the release, the ids of the lines of a JSON file, those of one pair of texts, and of a masked one.
READ_BY_TRANSFORMERS = """
import json, sys, transformers
theirs = transformers.AutoTokenizer.from_pretrained(sys.argv[1])
ids = [theirs(line, add_special_tokens=False)["input_ids"] for line in json.load(open(sys.argv[2]))]
pair = dict(theirs("the object", "is called", padding="max_length", max_length=32))
masked = theirs(f"the {theirs.mask_token} of")["input_ids"]
print(json.dumps([transformers.__version__, len(theirs), ids, pair, masked]))
"""


@pytest.mark.slow
def test_the_newest_transformers_gives_our_ids_and_segments(exported, transformers_5, tmp_path):
    tokenizer, directory = exported
    lines = [*LINES[:3000], *ODD]
    (tmp_path / "lines.json").write_text(json.dumps(lines))
    version, size, theirs, pair, masked = transformers_5.run(READ_BY_TRANSFORMERS, directory, tmp_path / "lines.json")
    assert version.startswith("5.")
    assert size == tokenizer.vocab_size
    for line, their_ids in zip(lines, theirs, strict=True):
        our_ids = tokenizer.encode(line)
        if tokenizer.kind == "sentencepiece" and any(cut in line for cut in EQUALLY_LIKELY):
            their_ids, our_ids = sorted(their_ids), sorted(our_ids)
        assert their_ids == our_ids, line
    ids, segments = pair_of_texts(tokenizer)
    assert pair["input_ids"] == ids + [tokenizer.pad_id] * (32 - len(ids))
    assert pair["token_type_ids"][: len(ids)] == segments
    assert sum(pair["attention_mask"]) == len(ids)
    assert masked.count(tokenizer.mask_id) == 1


def test_special_tokens_are_known_by_name(exported):
    tokenizer, directory = exported
    theirs = transformers.AutoTokenizer.from_pretrained(str(directory))
    for name in ("pad", "unk", "cls", "sep", "mask"):
        assert getattr(theirs, f"{name}_token_id") == getattr(tokenizer, f"{name}_id")
    masked = theirs(f"the {theirs.mask_token} of")["input_ids"]
    assert masked.count(tokenizer.mask_id) == 1


def test_the_export_is_a_vocabulary_for_us_too(exported):
    tokenizer, directory = exported
    again = load_tokenizer(directory)
    if tokenizer.kind != "bpe":  # whose file says more afterwards
        assert again.fingerprint == tokenizer.fingerprint
    if tokenizer.kind == "wordpiece":
        assert load_tokenizer(directory / "tokenizer.json").fingerprint == tokenizer.fingerprint
    assert [again.encode(line) for line in LINES[:300]] == [tokenizer.encode(line) for line in LINES[:300]]
    assert again.tokens == tokenizer.tokens


@pytest.mark.parametrize("lowercase", [True, False])
def test_the_slow_tokenizer_reads_vocab_txt(tmp_path, lowercase):
    tokenizer = make_wordpiece(epath.Path(tmp_path), lowercase)
    write_tokenizer(tokenizer, epath.Path(tmp_path) / "export", max_length=64)
    theirs = transformers.BertTokenizer.from_pretrained(str(tmp_path / "export"))
    for line in LINES[:500]:
        assert theirs.encode(line, add_special_tokens=False) == tokenizer.encode(line)


def test_a_sentencepiece_model_of_another_kind_is_exported_alone(tmp_path, caplog):
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(LINES),
        model_writer=model,
        model_type="bpe",
        vocab_size=500,
        pad_id=0,
        unk_id=1,
        bos_id=-1,
        eos_id=-1,
        control_symbols="[CLS],[SEP],[MASK]",
        minloglevel=2,
    )
    (tmp_path / "tokenizer.model").write_bytes(model.getvalue())
    write_tokenizer(load_tokenizer(tmp_path / "tokenizer.model"), epath.Path(tmp_path) / "export", max_length=64)
    assert not (tmp_path / "export" / "tokenizer.json").exists()
    assert "not a unigram model" in caplog.text
    assert load_tokenizer(tmp_path / "export").vocab_size == 500


# Makes a BERT's tokenizer of a directory with a vocab.txt, adds tokens, saves it, and prints the ids of a file's lines.
SAVED_BY_TRANSFORMERS = """
import json, sys, transformers
settings = json.loads(sys.argv[4])
theirs = transformers.BertTokenizer.from_pretrained(sys.argv[1], **settings)
theirs.add_tokens(["covid", "of the", "Élan", transformers.AddedToken("Note", single_word=True, normalized=False)])
theirs.add_special_tokens({"additional_special_tokens": ["[DRUG]"]})
theirs.save_pretrained(sys.argv[2])
print(json.dumps([theirs(line, add_special_tokens=False)["input_ids"] for line in json.load(open(sys.argv[3]))]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("settings", [{}, {"do_lower_case": False}, {"strip_accents": False}], ids=str)
def test_what_the_newest_transformers_saves_is_read(transformers_5, tmp_path, settings):
    lowercase = settings.get("do_lower_case", True)
    make_wordpiece(epath.Path(tmp_path), lowercase)
    lines = [*LINES[:2000], *ODD, "COVID covids", "Élan élan Elan ÉLAN", "a [DRUG] [drug]", "Notes Note note"]
    (tmp_path / "lines.json").write_text(json.dumps([line for line in lines if max(map(len, line.split())) <= 100]))
    theirs = transformers_5.run(
        SAVED_BY_TRANSFORMERS, tmp_path, tmp_path / "saved", tmp_path / "lines.json", json.dumps(settings)
    )
    assert sorted(file.name for file in (tmp_path / "saved").iterdir()) == ["tokenizer.json", "tokenizer_config.json"]
    ours = load_tokenizer(tmp_path / "saved")
    assert ours.kind == "wordpiece"
    for line, ids in zip(json.loads((tmp_path / "lines.json").read_text()), theirs, strict=True):
        assert ours.encode(line) == ids, line
    assert {token_id for ids in theirs for token_id in ids} >= set(range(ours.first_added_id, ours.vocab_size))
    # And our own export, saved by it, is the same vocabulary again.
    write_tokenizer(ours, epath.Path(tmp_path) / "export", max_length=64)
    program = "import sys, transformers as t; t.AutoTokenizer.from_pretrained(sys.argv[1]).save_pretrained(sys.argv[2])"
    transformers_5.run(f"{program}; print(0)", tmp_path / "export", tmp_path / "again")
    assert load_tokenizer(tmp_path / "again").fingerprint == ours.fingerprint
