"""WordPiece against a plain restatement of the original's rules, against transformers, and the original."""

import functools
import lzma
import random
import unicodedata
from collections import Counter
from pathlib import Path
from pydoc_data.topics import topics

import pytest
import transformers
from etils import epath
from tokenizers import normalizers, pre_tokenizers

from bert_jax.errors import UserError
from bert_jax.text.wordpiece import WordPiece

SHARED = Path(__file__).resolve().parents[2].parent / "shared"
GOOGLE_VOCABULARY = SHARED / "golden" / "bert-base-uncased-vocab.txt"
needs_shared = pytest.mark.skipif(not GOOGLE_VOCABULARY.exists(), reason="needs the shared corpus")

NASTY = [
    "",
    "   ",
    "\x00\ufffd\x01",
    "Hello, World! It's [MASK] and [SEP]...",
    "[MASK][CLS] [PAD] [UNK] ##ing ing##",
    "naïve café Ångström İstanbul ẞtraße ﬁne ΑΣ ΟΔΥΣΣΕΥΣ Σ ΣΑ ΑΣ.Σ",
    "e\u0301\u0327 a\u0300\u0301b \u0301lone \u302e\u302f\u1b44\U0001d165x",
    "\u1b44\u302e\u0301 k\U0001d165\u302fk",
    "日本語のテキスト 中文 mixed漢字words 한국어 \uf900\U0002f800\U00020000",
    "tabs\tand\nnew\rlines\x0bvertical\x0cfeed\x1cfile\x1dgroup\x85next\u2028line\u2029par",
    "zero\u200bwidth soft\u00adhyphen nb\u00a0space ideographic\u3000space bom\ufeffmark joiner\u200d",
    "$100 ^caret `tick` a+b=c <tag> ~tilde |pipe| «quotes» — dash … ¿qué? 100€ ©",
    "emoji 😀👍🏽 x\U0001f600y \ue000private \u0378unassigned",
    "ͅ ͅΑ ǅ ŉ ΐ ᾳ Ω K Å \u1fef \u037e \u2126",
    "שָׁלוֹם العَرَبِيَّة हिन्दी ภาษาไทย",
]


# The original's rules, one character at a time, as facts say them.


def plain_is_space(char):
    return char in (" ", "\t", "\n", "\r") or unicodedata.category(char) == "Zs"


def plain_is_control(char):
    return char not in ("\t", "\n", "\r") and unicodedata.category(char) in ("Cc", "Cf")


def plain_is_ideograph(char):
    blocks = "4E00-9FFF 3400-4DBF 20000-2A6DF 2A700-2B73F 2B740-2B81F 2B820-2CEAF F900-FAFF 2F800-2FA1F"
    bounds = [block.split("-") for block in blocks.split()]
    return any(int(low, 16) <= ord(char) <= int(high, 16) for low, high in bounds)


def plain_is_punctuation(char):
    in_ascii = any(low <= ord(char) <= high for low, high in [(33, 47), (58, 64), (91, 96), (123, 126)])
    return in_ascii or unicodedata.category(char)[0] == "P"


def plain_words(text, lowercase, strip_accents=None, tokenize_chinese_chars=True):
    strip_accents = lowercase if strip_accents is None else strip_accents
    cleaned = ""
    for char in text:
        if ord(char) == 0 or ord(char) == 0xFFFD or plain_is_control(char):
            continue
        cleaned += " " if plain_is_space(char) else char
    parted = [f" {char} " if tokenize_chinese_chars and plain_is_ideograph(char) else char for char in cleaned]
    words = []
    for word in "".join(parted).split():
        word = word.lower() if lowercase else word
        if strip_accents:
            decomposed = unicodedata.normalize("NFD", word)
            word = "".join(char for char in decomposed if unicodedata.category(char) != "Mn")
        words += "".join(f" {char} " if plain_is_punctuation(char) else char for char in word).split()
    return words


def plain_pieces(word, vocabulary):
    if len(word) > 200:
        return ["[UNK]"]
    pieces, start = [], 0
    while start < len(word):
        ends = range(len(word), start, -1)
        found = [("##" if start else "") + word[start:end] for end in ends]
        found = [(piece, end) for piece, end in zip(found, ends, strict=True) if piece in vocabulary]
        if not found:
            return ["[UNK]"]
        piece, start = found[0]
        pieces.append(piece)
    return pieces


def plain_ids(text, tokens, lowercase, **settings):
    vocabulary = {token: token_id for token_id, token in enumerate(tokens)}
    words = plain_words(text, lowercase, **settings)
    return [vocabulary[piece] for word in words for piece in plain_pieces(word, vocabulary)]


@functools.cache
def vocabulary_of_topics():
    """A small vocabulary of real words in either case, with many left to be put together from pieces."""
    words = Counter(word for text in topics.values() for word in plain_words(text, lowercase=False))
    common = sorted(word for word, count in words.items() if count > 30)
    letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZéσςΣß漢字中日本한ㅎ한ﬁ0123456789"
    pieces = [*letters, *(f"##{letter}" for letter in letters), "##ing", "##ed", "##able", "##s", "un"]
    return list(dict.fromkeys(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *common, *pieces]))


def nasty_texts(count, seed):
    """Strings of the characters on which tokenizers differ: marks, spaces, controls, symbols, case, CJK."""
    characters = map(chr, [*range(0xD800), *range(0xE000, 0x110000)])
    rare = [char for char in characters if unicodedata.category(char) not in ("Cn", "Co", "Lo", "So")]
    frequent = "aAbBcΣσİẞKß.,-_$^[]#中한éﬁ \t\n\r\x0b\x0c\x1c\x85\u2028\xa0\u3000\u200b\ufeff\ufffd\0\u0301\u302e"
    rng = random.Random(seed)
    for _ in range(count):
        pools = rng.choices([frequent, rare], weights=[3, 2], k=rng.randint(1, 25))
        yield "".join(rng.choice(pool) for pool in pools)


@pytest.fixture(scope="module", params=[True, False], ids=["uncased", "cased"])
def lowercase(request):
    return request.param


@pytest.fixture(scope="module")
def topic_tokenizer(lowercase):
    return WordPiece(vocabulary_of_topics(), lowercase)


def test_ids_of_nasty_strings_follow_the_rules(topic_tokenizer, lowercase):
    for text in [*NASTY, *nasty_texts(4000, seed=1)]:
        assert topic_tokenizer.encode(text) == plain_ids(text, topic_tokenizer.tokens, lowercase), ascii(text)


def test_ids_of_printable_ascii_follow_the_rules(topic_tokenizer, lowercase):
    rng = random.Random(2)
    for length in [*range(10), *(rng.randint(10, 80) for _ in range(2000))]:
        text = "".join(chr(rng.randint(0x20, 0x7E)) for _ in range(length)) + " the" * (length % 2)
        assert topic_tokenizer.encode(text) == plain_ids(text, topic_tokenizer.tokens, lowercase), text


def test_ids_of_real_text_follow_the_rules(topic_tokenizer, lowercase):
    for name in sorted(topics)[::4]:
        for line in topics[name].splitlines():
            assert topic_tokenizer.encode(line) == plain_ids(line, topic_tokenizer.tokens, lowercase), line


def test_every_character_alone_and_between_letters(topic_tokenizer, lowercase):
    # Beyond the first blocks neighbours behave alike, so every 64th character stands for them.
    cases = [*range(0x3100), *range(0x3100, 0xD800, 64), *range(0xE000, 0x30000, 64), 0xFFFD, 0xFEFF]
    for text in (f"a{chr(codepoint)}b Σ{chr(codepoint)}" for codepoint in cases):
        assert topic_tokenizer.encode(text) == plain_ids(text, topic_tokenizer.tokens, lowercase), ascii(text)


def test_words_up_to_200_characters_are_cut_and_longer_ones_are_unknown(topic_tokenizer, lowercase):
    rng = random.Random(2)
    for length in range(100, 251):
        for word in ("a" * length, "é" * length, "".join(rng.choices("abcdeé", k=length))):
            ids = topic_tokenizer.encode(word)
            assert ids == plain_ids(word, topic_tokenizer.tokens, lowercase)
            characters = length if lowercase else len(word)
            assert (ids == [topic_tokenizer.special_ids.unk]) == (characters > 200)


SETTINGS = [{"strip_accents": strip, "tokenize_chinese_chars": parts} for strip in (True, False) for parts in (0, 1)]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_accents_and_ideographs_are_settings(lowercase, settings):
    tokenizer = WordPiece([*vocabulary_of_topics(), "中文", "É"], lowercase, **settings)
    for text in [*NASTY, *nasty_texts(2000, seed=4)]:
        assert tokenizer.encode(text) == plain_ids(text, tokenizer.tokens, lowercase, **settings), ascii(text)


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_words_are_those_of_the_tokenizers_library_at_every_setting(lowercase, settings):
    names = {
        "strip_accents": settings["strip_accents"],
        "handle_chinese_chars": bool(settings["tokenize_chinese_chars"]),
    }
    clean = normalizers.BertNormalizer(lowercase=lowercase, **names)
    cut = pre_tokenizers.BertPreTokenizer()
    tokenizer = WordPiece(vocabulary_of_topics(), lowercase, **settings)
    for text in [
        "Schön, ÅNGSTRÖM und naïve",
        "में हूँ",
        "中文 mixed漢字words",
        "שָׁלוֹם العَرَبِيَّة ภาษาไทย",
        "İstanbul",
        *topics["assert"].splitlines(),
    ]:
        assert tokenizer.words(text) == [word for word, _ in cut.pre_tokenize_str(clean.normalize_str(text))]


def test_settings_other_than_the_originals_are_part_of_the_identity():
    plain, keeps, joins = (
        WordPiece(vocabulary_of_topics(), True, **settings).identity()
        for settings in ({}, {"strip_accents": False}, {"tokenize_chinese_chars": False})
    )
    assert plain == {"lowercase": True} == WordPiece(vocabulary_of_topics(), True, strip_accents=True).identity()
    assert keeps == {"lowercase": True, "strip_accents": False}
    assert joins == {"lowercase": True, "tokenize_chinese_chars": False}
    assert WordPiece(vocabulary_of_topics(), False, strip_accents=False).identity() == {"lowercase": False}


def test_special_tokens_in_a_text_are_ordinary_text():
    tokenizer = WordPiece(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[", "]", "mask"], lowercase=True)
    assert tokenizer.encode("[MASK]") == [5, 7, 6]


def test_a_full_memory_of_words_changes_nothing(monkeypatch):
    monkeypatch.setattr("bert_jax.text.wordpiece._CACHED_WORDS", 3)
    tokenizer = WordPiece(vocabulary_of_topics(), lowercase=True)
    for line in topics["assert"].splitlines():
        assert tokenizer.encode(line) == plain_ids(line, tokenizer.tokens, lowercase=True)


def test_pieces_that_continue_a_word_and_decoding():
    tokenizer = WordPiece(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "un", "##aff", "##able", "!"], True)
    ids = tokenizer.encode("Unaffable!")
    assert [tokenizer.continues_word[token_id] for token_id in ids] == [False, True, True, False]
    assert tokenizer.decode([2, *ids, 3]) == "[CLS] unaffable ! [SEP]"


def test_only_newlines_end_a_line_of_vocab_txt(tmp_path):
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a\u2028b", "c\x85d", "e"]
    (tmp_path / "vocab.txt").write_bytes("\r\n".join(tokens).encode())
    assert WordPiece.read(epath.Path(tmp_path / "vocab.txt"), True).tokens == tokens


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[PAD]\n[UNK]\n[CLS]\n[SEP]\n", r"vocab\.txt has no token \[MASK\]"),
        (b"\xff\xfe[PAD]\n", r"vocab\.txt is not UTF-8"),
    ],
)
def test_a_bad_vocab_txt_is_named(tmp_path, content, message):
    (tmp_path / "vocab.txt").write_bytes(content)
    with pytest.raises(UserError, match=message):
        WordPiece.read(epath.Path(tmp_path / "vocab.txt"), None)


@needs_shared
def test_ids_equal_those_of_transformers(lowercase):
    ours = WordPiece.read(epath.Path(GOOGLE_VOCABULARY), lowercase)
    theirs = transformers.BertTokenizer(
        str(GOOGLE_VOCABULARY), do_lower_case=lowercase, never_split=[], tokenize_chinese_chars=True
    )
    # Its longest word is 100 characters; the original's is 200.
    theirs.wordpiece_tokenizer.max_input_chars_per_word = 200
    for name in ("lee_news", "enwiki_gensim"):
        for line in shared_text(name).splitlines()[:1500]:
            words = theirs.basic_tokenizer.tokenize(line)
            pieces = [piece for word in words for piece in theirs.wordpiece_tokenizer.tokenize(word)]
            assert ours.encode(line) == theirs.convert_tokens_to_ids(pieces), line


@needs_shared
def test_ids_equal_those_of_the_original_program(original_tokenization, lowercase):
    theirs = original_tokenization.FullTokenizer(str(GOOGLE_VOCABULARY), do_lower_case=lowercase)
    ours = WordPiece.read(epath.Path(GOOGLE_VOCABULARY), lowercase)
    lines = [*NASTY, *nasty_texts(4000, seed=3), *shared_text("jargon").splitlines()]
    for line in lines:
        assert ours.encode(line) == theirs.convert_tokens_to_ids(theirs.tokenize(line)), ascii(line)


def shared_text(name):
    return lzma.open(SHARED / "corpus" / f"{name}.txt.xz", "rt", encoding="utf-8").read()
