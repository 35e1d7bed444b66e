"""Training of vocabularies: the same bytes every time, exactly the size asked for, and nothing half-written."""

import subprocess
import sys
from collections import Counter
from itertools import pairwise
from pydoc_data.topics import topics

import pytest

from bert_jax.errors import UserError
from bert_jax.text import vocabulary
from bert_jax.text.corpus import Corpus
from bert_jax.text.special_tokens import SPECIAL_TOKENS
from bert_jax.text.tokenizer import load_tokenizer
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
    assert (tokenizer.kind, tokenizer.vocab_size, tokenizer.lowercase) == (kind, 1500, lowercase)
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
    ideographs = "".join(map(chr, range(0x4E00, 0x4E00 + 3000)))
    tokens = vocabulary.train_wordpiece([line, ideographs], 1200, lowercase=True).tokens
    assert len(set(tokens) & set(ideographs + line)) == 1000


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
    (tmp_path / "v.partial").mkdir()
    (tmp_path / "v.partial" / "vocab.txt").write_text("half of")
    build_vocabulary(Corpus([text]), tmp_path / "v", "wordpiece", 500, True)
    assert [file.name for file in tmp_path.iterdir()] == ["v"]
    assert load_tokenizer(tmp_path / "v").vocab_size == 500
