"""Training of vocabularies: the same bytes every time, exactly the size asked for, and nothing half-written."""

import subprocess
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path
from pydoc_data.topics import topics

import pytest

from bert_jax.errors import UserError
from bert_jax.text import vocabulary
from bert_jax.text.corpus import Corpus
from bert_jax.text.load_tokenizer import load_tokenizer
from bert_jax.text.special_tokens import SPECIAL_TOKENS
from bert_jax.text.vocabulary import KINDS, build_vocabulary, describe


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    file = tmp_path_factory.mktemp("text") / "topics.txt"
    file.write_text("\n\n".join(topics[name] for name in sorted(topics)), encoding="utf-8")
    return str(file)


def files(directory):
    return {file.name: file.read_bytes() for file in directory.iterdir()}


@pytest.mark.parametrize("kind", KINDS)
def test_every_process_and_number_of_threads_gives_the_same_bytes(text, tmp_path, kind):
    program = (
        "import sys; from bert_jax.text.vocabulary import build_vocabulary as build\n"
        "from bert_jax.text.corpus import Corpus\n"
        "build(Corpus([sys.argv[1]]), sys.argv[2], sys.argv[3], 3000, True)"
    )
    results = []
    for number in ("1", "2", "3"):
        environment = {"PYTHONPATH": ":".join(sys.path), "PYTHONHASHSEED": number, "RAYON_NUM_THREADS": number}
        output = tmp_path / number
        subprocess.run([sys.executable, "-c", program, text, output, kind], env=environment, check=True)
        results.append(files(output))
    assert results[0] == results[1] == results[2]
    assert str(tmp_path) not in results[0]["vocabulary.json"].decode()


@pytest.mark.parametrize("lowercase", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_a_vocabulary_has_the_size_asked_for_and_covers_its_text(text, tmp_path, kind, lowercase):
    made = build_vocabulary(Corpus([text]), tmp_path / "v", kind, 1500, lowercase)
    tokenizer = load_tokenizer(tmp_path / "v")
    assert tokenizer.fingerprint == made.fingerprint
    assert (tokenizer.vocab_size, tokenizer.lowercase) == (1500, lowercase)
    if kind == "unigram":
        assert tokenizer.kind == "sentencepiece"
        assert tokenizer.tokens[:13] == ["<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]", *'()"-.–£€']
    else:
        assert tokenizer.kind == kind
        assert tuple(tokenizer.tokens[:5]) == SPECIAL_TOKENS
    assert tokenizer.made_by["input"][0][0] == "topics.txt"
    sentence = "The value of the expression is assigned to a name."
    pieces = tokenizer.encode(sentence)
    assert tokenizer.unk_id not in pieces
    assert len(pieces) < 20
    assert (tokenizer.encode(sentence.lower()) == pieces) == lowercase
    assert "1500 tokens such as" in describe(tokenizer, Corpus([text]))
    unknown = sum(tokenizer.encode(line).count(tokenizer.unk_id) for line in topics["assert"].splitlines())
    assert unknown == 0


def test_wordpiece_holds_every_character_at_both_places_and_then_the_commonest_pairs():
    lines = ["low low low lower lower newest newest widest xylophone"]
    tokens = vocabulary.train_wordpiece(lines, 60, lowercase=True).tokens
    letters = sorted(set("lowernewestwidestxylophone"))[:15]
    assert tokens[5 : 5 + len(letters)] == [letter for letter in letters if letter in tokens[5:20]]
    counts = Counter()
    for word in lines[0].split():
        pieces = [word[0], *(f"##{letter}" for letter in word[1:])]
        counts.update(pairwise(pieces))
    (left, right), _ = counts.most_common(1)[0]
    first_merge = next(token for token in tokens[5:] if len(token.removeprefix("##")) > 1)
    assert counts[(left, right)] == 5
    assert first_merge in {a + b.removeprefix("##") for (a, b), count in counts.items() if count == 5}


def test_wordpiece_leaves_out_the_rarest_characters():
    line = "the cat sat on the mat " * 2000
    often, rarely = "\u00df", "\u4e2d"
    tokens = vocabulary.train_wordpiece([line, often * 3, rarely], 33, lowercase=True).tokens
    assert {often, f"##{often}", "the", "cat", "mat"} <= set(tokens)
    assert rarely not in tokens


IDEOGRAPHS = [chr(0x4E00 + number) for number in range(2900)]
# Of Zipf's kind: a fifth of it is of the rarest 1,900 ideographs.
CHINESE = ["".join(IDEOGRAPHS[: 2900 * share // 10]) for share in range(1, 11)] * 20


def unknown_share(tokenizer, lines):
    ids = [token_id for line in lines for token_id in tokenizer.encode(line)]
    return ids.count(1) / len(ids)


def test_wordpiece_has_as_many_characters_as_the_text(caplog):
    assert vocabulary.train_wordpiece(CHINESE, 2905, lowercase=True).tokens[5:] == IDEOGRAPHS
    mixed = [*CHINESE, "the theatre thereafter and the anthem " * 200]
    tokenizer = vocabulary.train_wordpiece(mixed, 2960, lowercase=True)
    assert unknown_share(tokenizer, mixed) == 0
    assert {"the", "and", *IDEOGRAPHS} <= set(tokenizer.tokens)
    assert "get no token" not in caplog.text


def test_wordpiece_tells_which_characters_have_no_room(caplog):
    caplog.set_level("INFO")
    tokenizer = vocabulary.train_wordpiece(CHINESE, 1305, lowercase=True)
    assert len(set(tokenizer.tokens) & set(IDEOGRAPHS)) == 1300
    share = unknown_share(tokenizer, CHINESE)
    assert 0.3 < share < 0.4
    assert "single characters take 1305 of the 1305 tokens" in caplog.text
    assert f"1600 characters, {100 * share:.2g}% of the text, get no token (--vocab_size=2905 has room" in caplog.text
    # What it says is true, and the rarest characters of a text are logged, too, if not as a warning.
    caplog.clear()
    assert vocabulary.train_wordpiece([*CHINESE, "ж"], 2905, lowercase=True).tokens[5:] == IDEOGRAPHS
    assert "1 characters, 0.00031% of the text, get no token (they are too rare)" in caplog.text


def test_an_alphabet_must_have_room(tmp_path):
    (tmp_path / "text.txt").write_text("".join(map(chr, range(ord("a"), ord("z") + 1))) * 2 + "\n")
    with pytest.raises(UserError, match=r"--vocab_size=50 is too few: .* ask for 57 or more"):
        build_vocabulary(Corpus([f"{tmp_path}/text.txt"]), tmp_path / "v", "wordpiece", 50, True)


@pytest.mark.parametrize(("kind", "least"), [("wordpiece", 10), ("bpe", 261), ("sentencepiece", 9)])
def test_a_text_that_does_not_give_the_size_is_an_error_that_names_one_that_works(tmp_path, kind, least):
    (tmp_path / "text.txt").write_text("abba cab abba cab\n" * 50)
    build = lambda size: build_vocabulary(Corpus([f"{tmp_path}/text.txt"]), tmp_path / "v", kind, size, True)  # noqa: E731
    with pytest.raises(UserError, match=r"--vocab_size=5000 is too many: the text gives \d+ tokens at most") as caught:
        build(5000)
    most = int(str(caught.value).split("ask for ")[1].split()[0])
    with pytest.raises(UserError, match=f"--vocab_size=4 is too few: .* ask for {least} or more"):
        build(4)
    assert not (tmp_path / "v").exists()
    assert build(most).vocab_size == most


def test_the_same_command_again_leaves_it_and_another_refuses(text, tmp_path, caplog):
    output = tmp_path / "v"
    build_vocabulary(Corpus([text]), output, "wordpiece", 500, True)
    before = {file.name: (file.read_bytes(), file.stat().st_mtime_ns) for file in output.iterdir()}
    build_vocabulary(Corpus([text]), output, "wordpiece", 500, True)
    (tmp_path / "other.txt").write_text("Other words.\n")
    other_input = [f"{tmp_path}/other.txt"]
    for inputs, kind, size, lowercase, different in [
        ([text], "bpe", 500, True, "kind"),
        ([text], "wordpiece", 501, False, "vocab_size and lowercase"),
        (other_input, "wordpiece", 500, True, "input"),
    ]:
        with pytest.raises(UserError, match=f"/v holds a vocabulary made with other {different}; choose another"):
            build_vocabulary(Corpus(inputs), output, kind, size, lowercase)
    assert {file.name: (file.read_bytes(), file.stat().st_mtime_ns) for file in output.iterdir()} == before


def test_a_directory_that_is_no_vocabulary_is_left_alone(text, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match=r"exists and is no vocabulary; choose another or delete it"):
        build_vocabulary(Corpus([text]), tmp_path, "wordpiece", 500, True)
    assert files(tmp_path) == {"notes.txt": b"mine"}


def test_a_text_without_a_word_is_an_error(tmp_path):
    (tmp_path / "text.txt").write_text("\u200b\n\u200d\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"--vocab_size=500 is too many: the text gives 5 tokens"):
        build_vocabulary(Corpus([f"{tmp_path}/text.txt"]), tmp_path / "v", "wordpiece", 500, True)


def test_what_a_killed_run_left_aside_is_replaced_and_an_empty_directory_used(text, tmp_path):
    (tmp_path / "v").mkdir()
    (tmp_path / ".v.bert_jax" / "new").mkdir(parents=True)
    (tmp_path / ".v.bert_jax" / "new" / "vocab.txt").write_text("half of")
    (tmp_path / ".v.bert_jax" / "bert_jax.txt").write_text("prepared here")
    build_vocabulary(Corpus([text]), tmp_path / "v", "wordpiece", 500, True)
    assert [file.name for file in tmp_path.iterdir()] == ["v"]
    assert load_tokenizer(tmp_path / "v").vocab_size == 500


@pytest.mark.parametrize("kind", KINDS)
def test_a_word_of_a_megabyte_is_out_of_the_way(text, tmp_path, caplog, kind):
    good = Path(text).read_text(encoding="utf-8")
    word = "x" * 1_000_000
    (tmp_path / "with.txt").write_text(f"{good}\n\nBefore {word} after.\n", encoding="utf-8")
    tokenizer = build_vocabulary(Corpus([f"{tmp_path}/with.txt"]), tmp_path / "with", kind, 1500, True)
    assert tokenizer.vocab_size == 1500
    if kind == "wordpiece":
        (tmp_path / "without.txt").write_text(f"{good}\n\nBefore after.\n", encoding="utf-8")
        without = build_vocabulary(Corpus([f"{tmp_path}/without.txt"]), tmp_path / "without", kind, 1500, True)
        assert tokenizer.fingerprint == without.fingerprint
        fate = "200 characters, the first of them 'xxxxxxxxxxxxxxxxxxxx'..., are left out: in WordPiece each is unknown"
    else:
        fate = "10000 characters, the first of them 'xxxxxxxxxxxxxxxxxxxx'..., are cut into pieces of that length"
    assert f"1 words of more than {fate}" in caplog.text
    assert caplog.text.count("words of more than") == 1


@pytest.mark.parametrize("alone", [True, False])
def test_sentencepiece_learns_from_long_lines(tmp_path, alone):
    long = " ".join(f"word{number} " * 15_000 for number in range(3))  # 270 kB
    others = [] if alone else ["And there are short lines.", "They have other words."] * 100
    (tmp_path / "text.txt").write_text("\n".join([long, *others]), encoding="utf-8")
    size = 13 if alone else 29
    tokenizer = build_vocabulary(Corpus([f"{tmp_path}/text.txt"]), tmp_path / "v", "sentencepiece", size, True)
    assert tokenizer.unk_id not in tokenizer.encode("word0 word1 word2")
    assert alone or any("word" in token for token in tokenizer.tokens)


def test_sentencepiece_learns_from_lines_with_its_reserved_character():
    lines = ["The \u2581\u2585 chart Ж Ж"] * 100
    assert any("ж" in token for token in vocabulary.train_sentencepiece(lines, 14, lowercase=True).tokens)


@pytest.mark.parametrize("nothing", ["\u200b\n", "\u2585\n"])
def test_sentencepiece_on_a_text_without_a_character_is_one_line(tmp_path, nothing):
    (tmp_path / "text.txt").write_text(nothing, encoding="utf-8")
    with pytest.raises(UserError, match="sentencepiece finds nothing in the text but white space and controls"):
        build_vocabulary(Corpus([f"{tmp_path}/text.txt"]), tmp_path / "v", "sentencepiece", 500, True)


@pytest.mark.parametrize("kind", KINDS)
def test_a_mistake_in_the_text_is_reported_whatever_the_library_makes_of_it(tmp_path, kind):
    (tmp_path / "text.txt").write_bytes(b"A line.\n" * 100 + b"caf\xe9\n")
    with pytest.raises(UserError, match=r"text\.txt, line 101 is not UTF-8 .*; convert it"):
        build_vocabulary(Corpus([f"{tmp_path}/text.txt"]), tmp_path / "v", kind, 500, True)


def test_uncased_wordpiece_tells_that_vowels_go_and_keeps_them_if_asked(tmp_path, caplog):
    documents = ["Schön.\nΌδος, ещё й.", "में हूँ", "में\nमैं हूँ"] * 20
    (tmp_path / "text.txt").write_text("\n\n".join(documents), encoding="utf-8")
    corpus = Corpus([f"{tmp_path}/text.txt"])
    drops = build_vocabulary(corpus, tmp_path / "drops", "wordpiece", 38, True)
    assert drops.encode("में") == drops.encode("म")
    (warning,) = [line.getMessage() for line in caplog.records if line.levelname == "WARNING"]
    assert warning.startswith("suspicious input: 40 documents with vowel signs or other letters that go with the acc")
    assert warning.endswith(f"--nostrip_accents keeps them): {tmp_path}/text.txt:4, 6, 12 ...")
    caplog.clear()
    keeps = build_vocabulary(corpus, tmp_path / "keeps", "wordpiece", 50, True, strip_accents=False)
    assert not caplog.records
    assert keeps.decode(keeps.encode("SCHÖN में")) == "schön में"
    assert keeps.encode("में") != keeps.encode("मैं")
    loaded = load_tokenizer(tmp_path / "keeps")
    assert (loaded.fingerprint, loaded.strip_accents, loaded.lowercase) == (keeps.fingerprint, False, True)
    cased = build_vocabulary(corpus, tmp_path / "cased", "wordpiece", 50, False)
    assert not caplog.records
    assert cased.encode("में") != cased.encode("म")


def test_ideographs_need_not_be_words(tmp_path):
    (tmp_path / "text.txt").write_text("中文 中文 文\n" * 50, encoding="utf-8")
    corpus = Corpus([f"{tmp_path}/text.txt"])
    joined = build_vocabulary(corpus, tmp_path / "v", "wordpiece", 9, True, tokenize_chinese_chars=False)
    assert joined.tokens[5:] == ["中", "文", "##文", "中文"]
    assert joined.encode("中文") == [8]
    with pytest.raises(UserError, match="made with other tokenize_chinese_chars; choose another"):
        build_vocabulary(corpus, tmp_path / "v", "wordpiece", 9, True)


@pytest.mark.parametrize("settings", [{"strip_accents": True}, {"strip_accents": False}, {"tokenize_chinese_chars": 0}])
@pytest.mark.parametrize("kind", ["bpe", "sentencepiece"])
def test_settings_of_wordpiece_are_of_no_other_kind(text, tmp_path, kind, settings):
    with pytest.raises(UserError, match=f"WordPiece's, and --kind={kind} neither drops accents nor"):
        build_vocabulary(Corpus([text]), tmp_path / "v", kind, 500, True, **settings)


def test_a_vocabulary_made_before_there_were_these_settings_is_the_same(text, tmp_path):
    made = build_vocabulary(Corpus([text]), tmp_path / "v", "wordpiece", 500, True)
    assert set(made.made_by) == {"kind", "vocab_size", "lowercase", "input"}
    again = build_vocabulary(Corpus([text]), tmp_path / "v", "wordpiece", 500, True, strip_accents=True)
    assert again.fingerprint == made.fingerprint
