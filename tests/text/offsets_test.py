"""Where tokens are in a text, for every kind of vocabulary; the libraries behind two of them judge.

WordPiece's spans are judged in wordpiece_offsets_test.py.
"""

import functools
import io
import random
import sys
import unicodedata
from pydoc_data.topics import topics

import pytest
import sentencepiece
import tokenizers
from sentencepiece import sentencepiece_pb2
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, trainers

from bert_jax.errors import UserError
from bert_jax.text import trainers as our_trainers
from bert_jax.text.added_tokens import AddedToken
from bert_jax.text.byte_bpe import ByteBPE
from bert_jax.text.load_tokenizer import load_tokenizer
from bert_jax.text.special_tokens import SPECIAL_TOKENS
from bert_jax.text.tokenizer import Tokenizer
from bert_jax.text.unigram import Unigram
from bert_jax.text.wordpiece import WordPiece

LINES = [line for _, text in sorted(topics.items()) for line in text.splitlines() if line.strip()]
NASTY = [
    "",
    "   ",
    "\x00\ufffd\x01",
    "Hello, World! It's  [MASK] and\tthe [SEP]...  ",
    "naïve café Ångström İstanbul İİ ẞtraße ﬁne ΑΣ ΟΔΥΣΣΕΥΣ Σ ΑΣ.Σ the ½ ﷺ ㍿ …",
    "e\u0301\u0327 a\u0300\u0301b \u0301lone \u302e\u302f\u1b44\U0001d165x \U0001d15e\u1b44\u0323",
    "日本語の 中\u0301文 mixed漢字words 한국어 \uf900\U0002f800\U00020000 ｶﾞ",
    "the\x0bthe\x0c\x1cthe\x85the\u2028the\u2029the zero\u200bwidth soft\u00adhyphen\u200d e\u200b\u0301",
    "covid Covid-19 x\u00a0COVID[DRUG]the  Élan E\u0301lan élans ARDS  ARDS \nNote  of notes",
    "emoji 😀👍🏽 x\U0001f600y \ue000private ❤\ufe0f שָׁלוֹם हिन्दी ภาษาไทย",
    "a" * 201 + " " + "é" * 200 + "\u0301 " + "the" * 80,
]
ADDED = [
    ("covid", {}),
    ("covid-19", {}),
    ("Élan", {}),
    ("ARDS", {"single_word": True, "normalized": False}),
    ("Note", {"normalized": False, "lstrip": True, "rstrip": True}),
    ("[DRUG]", {"normalized": False, "special": True}),
]


def nasty_texts(count, seed):
    """Strings of the characters that vocabularies drop, split, join or make others of."""
    rare = [char for char in map(chr, [*range(0xD800), *range(0xE000, 0x30000)]) if unicodedata.name(char, "")]
    odd = "aAbBcΣσİẞKß.,-_$#中한éﬁ½ﷺ \t\n\r\x0b\x1c\x85\u2028\xa0\u3000\u200b\ufeff\ufffd\0\u0301\u0323\u302e\u1b44▁"
    rng = random.Random(seed)
    for _ in range(count):
        pools = rng.choices([odd, rare], weights=[3, 1], k=rng.randint(1, 25))
        yield "".join(rng.choice(pool) for pool in pools)


def wordpiece(*settings):
    characters = sorted({char for char in "".join([*LINES, *NASTY, "ß中日本한"]) if not char.isspace()})
    tokens = [*our_trainers.train_wordpiece(LINES, 900, False).tokens, *characters, *(f"##{one}" for one in characters)]
    return WordPiece(list(dict.fromkeys(tokens)), *settings)


def bpe(lowercase=None, before=None, prefix=False, after=None):
    library = tokenizers.Tokenizer(models.BPE())
    library.normalizer = before
    library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix)
    library.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=800, special_tokens=list(SPECIAL_TOKENS), initial_alphabet=alphabet, show_progress=False
    )
    library.train_from_iterator(LINES, trainer)
    library.post_processor = after
    library.add_tokens([tokenizers.AddedToken(content, **settings) for content, settings in ADDED])
    return ByteBPE(library.to_str().encode(), lowercase)


def unigram(lowercase=None, keep_accents=None, **options):
    model = io.BytesIO()
    special = {"pad_id": 0, "unk_id": 1, "bos_id": -1, "eos_id": -1, "control_symbols": "[CLS],[SEP],[MASK]"}
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(LINES), model_writer=model, vocab_size=1000, minloglevel=2, **special, **options
    )
    return Unigram(model.getvalue(), lowercase, keep_accents=keep_accents)


def with_added(model):
    tokens = [AddedToken(len(model.tokens) + at, one, **settings) for at, (one, settings) in enumerate(ADDED)]
    return Tokenizer(model, added_tokens=tokens)


MAKERS = {
    "uncased": lambda: Tokenizer(wordpiece(True)),
    "cased": lambda: Tokenizer(wordpiece(False)),
    "uncased with accents": lambda: Tokenizer(wordpiece(True, False)),
    "cased, no accents, whole ideographs": lambda: Tokenizer(wordpiece(False, True, False)),
    "uncased, added": lambda: with_added(wordpiece(True)),
    "cased, added": lambda: with_added(wordpiece(False)),
    "our bpe": lambda: Tokenizer(our_trainers.train_bpe(LINES, 800, False)),
    "our uncased bpe": lambda: Tokenizer(our_trainers.train_bpe(LINES, 800, True)),
    "bpe": lambda: Tokenizer(bpe()),
    "bpe, lower first": lambda: Tokenizer(bpe(True)),
    "roberta": lambda: Tokenizer(bpe(prefix=True, after=processors.RobertaProcessing(("[SEP]", 3), ("[CLS]", 2)))),
    "bpe of nfkc": lambda: Tokenizer(bpe(before=normalizers.NFKC())),
    "our sentencepiece": lambda: Tokenizer(our_trainers.train_sentencepiece(LINES, 900, False)),
    "our uncased sentencepiece": lambda: Tokenizer(our_trainers.train_sentencepiece(LINES, 900, True)),
    "albert": lambda: Tokenizer(unigram(True, user_defined_symbols="(,)")),
    "albert with its text": lambda: with_added(unigram(True, False, user_defined_symbols="(,)")),
    "albert with accents": lambda: Tokenizer(unigram(False, True, user_defined_symbols="(,)")),
    "sentencepiece, added": lambda: with_added(unigram(True)),
    "sentencepiece, bytes": lambda: Tokenizer(unigram(byte_fallback=True)),
    "sentencepiece, space behind": lambda: Tokenizer(unigram(treat_whitespace_as_suffix=True)),
    "sentencepiece, no space before": lambda: Tokenizer(unigram(add_dummy_prefix=False)),
    "sentencepiece, text as it is": lambda: Tokenizer(
        unigram(normalization_rule_name="identity", remove_extra_whitespaces=False)
    ),
}


@functools.cache
def made(name):
    return MAKERS[name]()


@pytest.fixture(scope="module", params=MAKERS)
def tokenizer(request):
    return made(request.param)


def check(tokenizer, text):
    """What holds of every text: ids are those of encode, spans ascend, and none begins or ends with a space."""
    encoding = tokenizer.encode_with_offsets(text)
    assert encoding.ids == tokenizer.encode(text), ascii(text)
    starts, ends = zip(*encoding.offsets, strict=True) if encoding.ids else ((), ())
    assert len(starts) == len(encoding.ids)
    assert sorted(starts) == list(starts), ascii(text)
    assert sorted(ends) == list(ends), ascii(text)
    for start, end in encoding.offsets:
        assert 0 <= start <= end <= len(text)
        assert text[start:end].strip(" ") == text[start:end]
    return encoding


def test_ids_are_those_of_encode_and_spans_ascend(tokenizer):
    for text in [*NASTY, *nasty_texts(800, seed=1), *LINES[::40], "\n".join(LINES[:20])]:
        check(tokenizer, text)


def slices(tokenizer, text):
    encoding = tokenizer.encode_with_offsets(text)
    tokens = [tokenizer.tokens[token_id] for token_id in encoding.ids]
    return [(token, text[start:end]) for token, (start, end) in zip(tokens, encoding.offsets, strict=True)]


def test_every_letter_and_digit_is_in_a_span(tokenizer):
    for text in [*NASTY, *nasty_texts(300, seed=2), *LINES[::100]]:
        covered = {at for start, end in tokenizer.encode_with_offsets(text).offsets for at in range(start, end)}
        for at, char in enumerate(text):
            # An Arabic mark alone, as a letter of its own, is nothing without its accents.
            assert at in covered or not char.isalnum() or "ISOLATED FORM" in unicodedata.name(char, ""), (
                ascii(text),
                at,
            )


def test_spans_of_plain_text_are_how_tokens_are_spelt(tokenizer):
    for text in filter(str.isascii, LINES[::20]):
        for token, part in slices(tokenizer, text):
            if token not in ("[UNK]", "<unk>") and not token.startswith("<0x"):
                spelt = token.removeprefix("##").replace("Ġ", "").replace("▁", "")
                assert part.lower() == spelt.lower(), (text, token)


def test_work_grows_with_the_length_of_a_text(tokenizer):
    def lines_run(text):
        count = 0

        def trace(frame, event, arg):
            nonlocal count
            count += 1
            return trace

        before = sys.gettrace()
        sys.settrace(trace)
        try:
            tokenizer.encode_with_offsets(text)
        finally:
            sys.settrace(before)
        return count

    text = " ".join(LINES)[:3_000] + " "
    assert lines_run(text * 10) < 20 * lines_run(text)  # 100 if each token looked at the whole text


def test_a_word_is_encoded_as_within_a_text(tokenizer):
    # The library breaks ties of SentencePiece by rounding; and "Note" was added with the white space about it.
    words = [word for line in LINES[:400] for word in line.split() if word.isalpha() and word != "Note"]
    encoded = [token_id for word in words for token_id in tokenizer.encode_word(word)]
    assert tokenizer.encode(" ".join(["the", *words])) == [*tokenizer.encode("the"), *encoded]
    if tokenizer.kind == "wordpiece":
        assert encoded == [token_id for word in words for token_id in tokenizer.encode(word)]
    assert tokenizer.encode_word("") == []


def test_added_tokens_have_their_own_spans():
    for name in ("uncased, added", "sentencepiece, added", "bpe, lower first"):
        tokenizer = made(name)
        text = "İ [DRUG]  E\u0301lan ÉLAN,  covid-19 ARDS\t Note  İcovid"
        found = [part for token, part in slices(tokenizer, text) if token in [content for content, _ in ADDED]]
        accents = {"uncased, added": ["E\u0301lan", "ÉLAN"], "sentencepiece, added": ["E\u0301lan", "ÉLAN"]}
        assert found == ["[DRUG]", *accents.get(name, []), "covid-19", "ARDS", "Note", "covid"], name


def test_byte_level_spans_are_those_of_the_library_without_spaces():
    trimming = bpe(after=processors.ByteLevel(trim_offsets=True))
    theirs = tokenizers.Tokenizer.from_str(trimming.files()["tokenizer.json"].decode())
    theirs.encode_special_tokens = True
    for text in [*NASTY, *nasty_texts(300, seed=3), *LINES[::40]]:
        found = theirs.encode(text, add_special_tokens=False)
        ours = trimming.encode_with_offsets(text)
        if found.ids != ours.ids:  # an added token that is special is a text to them when the five are
            assert "[DRUG]" in text
            continue
        for token, expected, span in zip(found.tokens, found.offsets, ours.offsets, strict=True):
            # Of spaces alone, and added tokens with white space about them, theirs and ours are different places.
            if token.strip("Ġ") and token != "Note":
                assert span == expected, (ascii(text), token)


def test_part_of_a_character_has_the_characters_span():
    assert slices(made("bpe"), "a 😀")[1:] == [("Ġ", "")] + [(byte, "😀") for byte in "ðŁĺĢ"]
    assert slices(made("sentencepiece, bytes"), "😀a")[1:] == [
        ("<0xF0>", "😀"),
        ("<0x9F>", "😀"),
        ("<0x98>", "😀"),
        ("<0x80>", "😀"),
        ("a", "a"),
    ]


def test_what_was_composed_of_several_characters_has_the_span_of_all():
    composed = [part for _, part in slices(made("bpe of nfkc"), "e\u0301 ｶﾞx \u1112\u1161\u11ab")]
    assert list(dict.fromkeys(composed)) == ["e\u0301", "", "ｶﾞ", "x", "\u1112\u1161\u11ab"]


def test_sentencepiece_spans_are_those_of_the_library_without_white_space():
    for name in ("our sentencepiece", "sentencepiece, bytes", "sentencepiece, space behind"):
        model = made(name)
        content = model._model.files()["tokenizer.model"]
        library = sentencepiece.SentencePieceProcessor(model_proto=content)
        for text in ["  naïve  fine café, 日本 e\u0301 ｶﾞ x", *LINES[::10]]:
            # Of what a character becomes, bytes or three dots, theirs gives it to the last piece.
            if ("bytes" in name and not text.isascii()) or "\N{HORIZONTAL ELLIPSIS}" in text:
                continue
            serialized = library.encode(text, out_type="serialized_proto")
            found = sentencepiece_pb2.SentencePieceText.FromString(serialized).pieces
            parts = [text.encode()[piece.begin : piece.end].decode().strip() for piece in found]
            offsets = model.encode_with_offsets(text).offsets
            assert [text[start:end] for start, end in offsets] == parts


def test_sentencepiece_leaves_what_it_drops_out_of_spans():
    parts = slices(made("our sentencepiece"), "\x07the\x07\x08 \u200bthe\u00a0\u00a0(\x07½")
    assert parts == [("▁the", "the"), ("▁the", "the"), ("▁(", "("), ("1", "½"), ("[UNK]", "½"), ("2", "½")]


def test_bare_ids_are_numbers_in_the_line():
    tokenizer = load_tokenizer("ids:105")
    encoding = tokenizer.encode_with_offsets(" 10 \t99\u30007")
    assert (encoding.ids, encoding.offsets) == ([10, 99, 7], [(1, 3), (5, 7), (8, 9)])
    assert tokenizer.encode_word("99") == [99]
    with pytest.raises(UserError, match="'x' is no id"):
        tokenizer.encode_with_offsets("10 x")
