"""WordPiece's spans, judged by the tokenizers library, by what a slice of the text is encoded to, and by hand."""

import itertools
import json
import lzma
import random
import unicodedata
from pathlib import Path
from pydoc_data.topics import topics

import pytest
import tokenizers
from etils import epath
from tokenizers import models, normalizers, pre_tokenizers

from bert_jax.text.special_tokens import SPECIAL_TOKENS
from bert_jax.text.wordpiece import WordPiece

SHARED = Path(__file__).resolve().parents[2].parent / "shared"
VOCABULARY = SHARED / "golden" / "bert-base-uncased-vocab.txt"
needs_shared = pytest.mark.skipif(not VOCABULARY.exists(), reason="needs the published vocabulary and the corpora")
LINES = [line for _, text in sorted(topics.items()) for line in text.splitlines() if line.strip()]
ODD = (
    "aAbB c.,-#中漢한éÅﬁ≠Kßİ日\uf900 \t\n\r\x0b\x1c\x85\u2028\xa0\u200b\ufeff\ufffd\0"
    "\u0301\u0323\u0903\u302e\u1b44\U0001d165\U0001d15e\u0e31"
)


def nasty_texts(count, seed):
    rng = random.Random(seed)
    return ["".join(rng.choices(ODD, k=rng.randint(1, 25))) for _ in range(count)]


def vocabulary():
    """Every character in either place, and some longer pieces, so that few words are unknown."""
    characters = sorted({char for text in [ODD, "i\u0307İ\u0338豈\u1112\u1161\u11ab", *LINES] for char in text})
    everywhere = [form for char in characters for form in (char, unicodedata.normalize("NFD", char)[0])]
    pieces = [*everywhere, "the", "##ing", "un", "##able", "of", "##ab", "ab"]
    return list(dict.fromkeys([*SPECIAL_TOKENS, *pieces, *(f"##{char}" for char in everywhere if char != "日")]))


SETTINGS = [(True, None, True), (False, None, True), (True, False, True), (False, True, False)]


@pytest.fixture(scope="module", params=SETTINGS, ids=str)
def tokenizer(request):
    return WordPiece(vocabulary(), *request.param)


def slices(tokenizer, text):
    encoding = tokenizer.encode_with_offsets(text)
    tokens = [tokenizer.tokens[token_id] for token_id in encoding.ids]
    return [(token, text[start:end]) for token, (start, end) in zip(tokens, encoding.offsets, strict=True)]


def words(tokenizer, encoding):
    """The ids and the span of each word."""
    found = []
    for token_id, (start, end) in zip(encoding.ids, encoding.offsets, strict=True):
        if tokenizer.continues_word[token_id]:
            ids, first, _ = found.pop()
            found.append(([*ids, token_id], first, end))
        else:
            found.append(([token_id], start, end))
    return found


def test_a_words_part_of_the_text_gives_the_words_ids(tokenizer):
    for text in [*nasty_texts(3000, seed=1), *LINES[::20]]:
        for ids, start, end in words(tokenizer, tokenizer.encode_with_offsets(text)):
            assert tokenizer.encode(text[start:end]) == ids, (ascii(text), start, end)


def is_dropped(char):
    return char in "\0\ufffd" or char.isspace() or unicodedata.category(char) in ("Cc", "Cf")


def test_spans_hold_all_that_is_not_dropped_and_end_with_nothing_that_is(tokenizer):
    for text in [*nasty_texts(3000, seed=2), *LINES[::20]]:
        offsets = tokenizer.encode_with_offsets(text).offsets
        covered = {at for start, end in offsets for at in range(start, end)}
        for at, char in enumerate(text):
            stripped = tokenizer.strip_accents and unicodedata.category(char) == "Mn"
            behind = "".join(char for char in text[:at] if not is_dropped(char) or char in " \t\n\r\xa0\u2028")
            if stripped and (not behind or at - 1 not in covered):  # on nothing, or on what is dropped
                continue
            assert (at in covered) or is_dropped(char), (ascii(text), at)
        for start, end in offsets:
            assert start < end
            assert not is_dropped(text[start])
            assert not is_dropped(text[end - 1])


def test_spans_overlap_only_where_one_character_gave_several_pieces(tokenizer):
    for text in [text.replace("\u1b44", "") for text in nasty_texts(3000, seed=3)]:  # which changes places with others
        offsets = tokenizer.encode_with_offsets(text).offsets
        for (_, before), (start, end) in itertools.pairwise(offsets):
            several = unicodedata.normalize("NFD", text[start:end].lower())
            assert before <= start or len(several) > 1, (ascii(text), start)


def test_texts_are_aligned_with_what_they_are_normalized_to(tokenizer):
    for text in nasty_texts(3000, seed=4):
        aligned = tokenizer.align(text)
        assert aligned.text == tokenizer.normalize(text), ascii(text)
        assert len(aligned.spans) == len(aligned.text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("  The\t un\n", [("the", "The"), ("un", "un")]),
        ("u\x07n\x07 the\ufffd", [("un", "u\x07n"), ("the", "the")]),
        ("té te\u0301", [("t", "t"), ("##e", "é"), ("t", "t"), ("##e", "e\u0301")]),
        ("中the文", [("[UNK]", "中"), ("the", "the"), ("[UNK]", "文")]),
        ("the\u0301. \u0301the", [("the", "the\u0301"), (".", "."), ("the", "the")]),
        ("İt", [("i", "İ"), ("##t", "t")]),
        ("tΣ ΑΣ", [("t", "t"), ("##ς", "Σ"), ("[UNK]", "ΑΣ")]),
        ("the-xyz's.", [("the", "the"), ("[UNK]", "-"), ("[UNK]", "xyz"), ("[UNK]", "'"), ("[UNK]", "s"), (".", ".")]),
        ("t" * 201 + ".", [("[UNK]", "t" * 201), (".", ".")]),
        ("a\u0323\u0302e", [("a", "a\u0323\u0302"), ("##e", "e")]),
        ("", []),
        (" \u0301 \0", []),
    ],
)
def test_spans_told_by_hand(text, expected):
    tokens = [*SPECIAL_TOKENS, "the", "un", "a", "e", "i", "t", "##t", "##e", "##ς", "."]
    assert slices(WordPiece(tokens, True), text) == expected


def test_marks_that_change_places_have_the_span_of_all():
    tokenizer = WordPiece([*SPECIAL_TOKENS, "a", "##\u1b44", "##\u302e"], True)
    assert slices(tokenizer, "a\u302e\u1b44") == [
        ("a", "a"),
        ("##\u1b44", "\u302e\u1b44"),
        ("##\u302e", "\u302e\u1b44"),
    ]


def library_of(ours):
    pieces = {token: token_id for token_id, token in enumerate(ours.tokens)}
    theirs = tokenizers.Tokenizer(models.WordPiece(pieces, unk_token="[UNK]", max_input_chars_per_word=200))
    theirs.normalizer = normalizers.BertNormalizer(lowercase=ours.lowercase)
    theirs.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return theirs


def check_against_library(ours, texts):
    theirs = library_of(ours)
    for text in texts:
        found, encoding = theirs.encode(text, add_special_tokens=False), ours.encode_with_offsets(text)
        assert encoding.ids == found.ids
        for (start, end), (first, last) in zip(encoding.offsets, found.offsets, strict=True):
            assert start == first, text
            # Theirs cuts a mark that was dropped off the last letter that it was on.
            assert end == last or {unicodedata.category(mark) for mark in text[last:end]} == {"Mn"}, text
        if ours.lowercase and text.isascii() and text.isprintable():
            for token, part in slices(ours, text):
                assert token == "[UNK]" or part.lower() == token.removeprefix("##"), text


@pytest.mark.parametrize("lowercase", [True, False])
def test_spans_are_those_of_the_tokenizers_library(lowercase):
    texts = [*LINES[::5], "\n".join(LINES[:200]), "e\u0301 naïve\u0301 中文 x", "Ångström\tİstanbul"]
    check_against_library(WordPiece(vocabulary(), lowercase), texts)


@needs_shared
def test_spans_in_real_text_are_those_of_the_tokenizers_library():
    ours = WordPiece.read(epath.Path(VOCABULARY), True)
    for path in sorted((SHARED / "corpus").glob("*.xz")):
        with lzma.open(path, "rt", encoding="utf-8") as file:
            check_against_library(ours, [line for line, _ in zip(file, range(400), strict=False)])


@needs_shared
@pytest.mark.parametrize("name", ["train.json.xz", "dev.json.xz", "test.json.xz", "test_other_articles.json"])
def test_spans_in_squad_are_those_of_the_tokenizers_library(name):
    path = SHARED / "tasks" / "squad2" / name
    if not path.exists():
        pytest.skip("needs the SQuAD files")
    content = path.read_bytes()
    content = lzma.decompress(content) if path.suffix == ".xz" else content
    contexts = [paragraph["context"] for article in json.loads(content)["data"] for paragraph in article["paragraphs"]]
    check_against_library(WordPiece.read(epath.Path(VOCABULARY), True), contexts)
