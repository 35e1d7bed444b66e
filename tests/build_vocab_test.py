"""The verb as users run it: python -m bert_jax.build_vocab."""

import json
import subprocess
import sys
from pydoc_data.topics import topics

import pytest

from bert_jax.text.load_tokenizer import load_tokenizer

LOST_LETTERS = "vowel signs or other letters that go with the accents"
MEANING = "the vocabulary drops all combining marks; one made with build_vocab --nostrip_accents keeps them"


def build_vocab(*flags):
    return run("build_vocab", *flags)


def run(verb, *flags):
    return subprocess.run(
        [sys.executable, "-m", f"bert_jax.{verb}", *flags],
        env={"PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
    )


@pytest.fixture
def text(tmp_path):
    (tmp_path / "topics.txt").write_text("\n\n".join(map(topics.get, sorted(topics))), encoding="utf-8")
    return f"{tmp_path}/*.txt"


def test_a_vocabulary_is_built_once(text, tmp_path):
    flags = (f"--input={text}", f"--output={tmp_path}/vocab", "--kind=wordpiece", "--vocab_size=1000")
    first = build_vocab(*flags)
    assert first.returncode == 0, first.stderr
    assert f"{tmp_path}/vocab: uncased, 1000 tokens such as" in first.stderr
    assert "tokens per white-space separated word" in first.stderr
    description = json.loads((tmp_path / "vocab" / "vocabulary.json").read_text())
    assert description["made_by"]["lowercase"] is True
    tokens = (tmp_path / "vocab" / "vocab.txt").read_text().split("\n")
    assert tokens[:5] == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    again = build_vocab(*flags)
    assert again.returncode == 0
    assert "already holds this vocabulary" in again.stderr
    other = build_vocab(*flags, "--nolowercase")
    assert other.returncode == 1
    assert other.stderr.splitlines() == [
        f"error: --output {tmp_path}/vocab holds a vocabulary made with other lowercase; "
        "give --lowercase to use it, choose another --output or delete it"
    ]


@pytest.mark.parametrize("kind", ["wordpiece", "bpe", "sentencepiece", "unigram"])
def test_case_follows_the_kind_unless_it_is_given(text, tmp_path, kind):
    """BERT's uncased models and ALBERT ignore it, RoBERTa does not."""
    for given, expected in ((None, kind != "bpe"), ("--lowercase", True), ("--nolowercase", False)):
        output = tmp_path / f"{kind}{given}"
        flags = [f"--input={text}", f"--output={output}", f"--kind={kind}", "--vocab_size=500"]
        built = build_vocab(*flags, *filter(None, [given]))
        assert f"{output}: {'uncased' if expected else 'cased'}, 500 tokens" in built.stderr
        description = json.loads((output / "vocabulary.json").read_text())
        assert (description["made_by"]["lowercase"], load_tokenizer(output).lowercase) == (expected, expected)


def test_byte_bpe_made_without_case_is_refused_where_case_is_the_default(text, tmp_path):
    flags = [f"--input={text}", f"--output={tmp_path}/vocab", "--kind=bpe", "--vocab_size=500"]
    build_vocab(*flags, "--lowercase")
    refused = build_vocab(*flags)
    assert (refused.returncode, len(refused.stderr.splitlines())) == (1, 1)
    assert "made with other lowercase; give --lowercase to use it, choose another" in refused.stderr
    assert "already holds this vocabulary" in build_vocab(*flags, "--lowercase").stderr


@pytest.fixture
def hindi(tmp_path):
    pairs = ["में हूँ।\nSCHÖN मैं।", "मैं हूँ।\nSchön हूँ।", "हूँ मैं में।\nSchon में।"]
    (tmp_path / "hindi.txt").write_text("\n\n".join(f"{number} {pair}" for number in range(9) for pair in pairs))
    return tmp_path / "hindi.txt"


@pytest.mark.parametrize("keeps", [False, True])
def test_vowels_that_go_with_the_accents_are_told_by_both_verbs(hindi, tmp_path, keeps):
    vocab = (
        f"--output={tmp_path}/vocab",
        *(["--nostrip_accents", "--vocab_size=50"] if keeps else ["--vocab_size=30"]),
    )
    records = (f"--vocab={tmp_path}/vocab", f"--output={tmp_path}/records", "--max_seq_length=32", "--num_workers=1")
    for verb, flags in (("build_vocab", vocab), ("build_records", records)):
        done = run(verb, f"--input={hindi}", *flags)
        assert done.returncode == 0, done.stderr
        assert (f"27 documents with {LOST_LETTERS} ({MEANING}): " in done.stderr) == (not keeps)
    description = json.loads((tmp_path / "vocab" / "vocabulary.json").read_text())
    assert description.get("strip_accents") == (False if keeps else None)
    tokens = (tmp_path / "records" / "tokenizer" / "vocab.txt").read_text().split("\n")
    assert ("schön" in tokens, "schon" in tokens) == (keeps, True)
    if not keeps:
        strict = run("build_records", f"--input={hindi}", *records, "--strict")
        assert strict.returncode == 1
        assert f"--strict: 27 documents with {LOST_LETTERS}, the first at {hindi}:1" in strict.stderr


@pytest.mark.parametrize(
    ("flags", "status", "message"),
    [
        (["--output=v"], 2, "--input"),
        (["--input=no/such*.txt", "--output=v"], 1, "--input no/such*.txt matches no file"),
        (["--input=python-docs", "--output=v", "--kind=words"], 2, "--kind"),
        (["--input=python-docs", "--output=v", "--vocab_size=0"], 1, "--vocab_size=0 must be positive"),
        (["--input=python-docs", "--output=v", "--vocab_size=1000000000"], 2, "is not integer <= 10000000"),
        (["--input=python-docs", "--output=v", "--kind=bpe", "--strip_accents"], 1, "--kind=bpe neither drops accents"),
    ],
)
def test_wrong_flags_are_one_line(flags, status, message):
    result = build_vocab(*flags)
    assert result.returncode == status
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1
