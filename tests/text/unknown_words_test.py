"""Text that a vocabulary does not know: how much of it, why, and where; and text that it knows well enough."""

import re
from pydoc_data.topics import topics

import pytest

from bert_jax.text.corpus import Corpus
from bert_jax.text.corpus_checks import CorpusChecks
from bert_jax.text.document import Document
from bert_jax.text.findings import CAPITALS, CHARACTERS, LONG_WORD, NO_CAPITALS, PIECES, UNKNOWN
from bert_jax.text.load_tokenizer import load_tokenizer
from bert_jax.text.unknown_words import UnknownWords

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789.,"
SMALL = [*SPECIAL, *LETTERS, *(f"##{letter}" for letter in LETTERS), "the", "of"]
PROSE = ["the rain of march.", "the sun of may, and more.", "paris and the seine."]


def report(path, vocabulary, documents, do_lower_case=None):
    """What is found in a file of these documents, by a vocab.txt of these tokens or the vocabulary of that name."""
    (path / "a.txt").write_text("\n\n".join("\n".join(document) for document in documents) + "\n", encoding="utf-8")
    if isinstance(vocabulary, list):
        (path / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
        vocabulary = path / "vocab.txt"
    checks = CorpusChecks(load_tokenizer(vocabulary, do_lower_case))
    list(Corpus([f"{path}/a.txt"]).documents(checks))
    return checks.report()


def unknown(found):
    return {kind for kind in found.suspicious if kind.startswith("unknown")}


def test_all_unknown_because_capitals_are_made_small(tmp_path):
    found = report(tmp_path, [*SPECIAL, "ACG", "CGT"], [["ACG CGT"], ["CGT ACG"]])
    assert found.unknown_share == 1.0
    assert unknown(found) == {NO_CAPITALS}
    cause = found.suspicious[NO_CAPITALS]
    assert (cause.count, cause.examples) == (4, ["ACG", "CGT"])
    assert cause.places == [f"{tmp_path}/a.txt:{line}" for line in (1, 1, 3, 3)]
    assert unknown(report(tmp_path, [*SPECIAL, "ACG", "CGT"], [["ACG CGT"], ["CGT ACG"]], do_lower_case=False)) == set()


@pytest.mark.parametrize(
    ("documents", "do_lower_case", "cause", "example"),
    [
        ([["The Rain of March."], ["PARIS and the Seine."]], False, CAPITALS, "The"),
        ([["thé rain öf märch."], ["the rain of märz."]], False, CAPITALS, "thé"),
        ([["the rain"], ["ACGT" * 60, "GATTACA" * 40]], True, LONG_WORD, "ACGT" * 7 + "AC"),
        ([["the rain"], ["acgt" * 60, "gattaca" * 40]], False, LONG_WORD, "acgt" * 7 + "ac"),
        ([["the rain of 雨の日。"], ["the sun"]], True, CHARACTERS, "雨 (Cjk Unified Ideograph-96E8)"),
        ([["Дождь в марте."], ["the sun"]], True, CHARACTERS, "д (Cyrillic Small Letter De)"),
        ([["Дождь в марте."], ["the sun"]], False, CHARACTERS, "Д (Cyrillic Capital Letter De)"),
    ],
)
def test_the_cause_is_named(tmp_path, documents, do_lower_case, cause, example):
    found = report(tmp_path, SMALL, documents, do_lower_case)
    assert unknown(found) == {cause}
    assert found.suspicious[cause].examples[0] == example
    assert unknown(report(tmp_path, SMALL, [PROSE, ["The Seine."]], do_lower_case=True)) == set()


def test_a_vocabulary_of_words_without_pieces(tmp_path):
    found = report(tmp_path, [*SPECIAL, "rain", "sun"], [["rain rains"], ["sun suns", "sun in rain"]])
    assert unknown(found) == {PIECES}
    assert found.suspicious[PIECES].examples == ["rains", "suns", "in"]


def test_several_causes_and_a_rare_one_not_named(tmp_path):
    found = report(tmp_path, SMALL, [["The Rain 雨 日 の", "and the sun"] * 20, ["acgt" * 60, "the rain"]], False)
    assert unknown(found) == {CAPITALS, CHARACTERS}


@pytest.mark.parametrize("kind", ["bpe", "sentencepiece"])
def test_other_kinds(tmp_path, kind, chain):
    output = tmp_path / kind
    size = {"bpe": 400, "sentencepiece": 300}[kind]
    chain.run("build_vocab", f"--input={chain.corpus}", f"--output={output}", f"--kind={kind}", f"--vocab_size={size}")
    found = report(tmp_path, output, [["Дождь в марте."], ["И снег."]])
    assert unknown(found) == ({CHARACTERS} if kind == "sentencepiece" else set())


def test_ids_that_are_unknown(tmp_path):
    found = report(tmp_path, "ids:64,pad=59,unk=60,cls=61,sep=62,mask=63", [["1 2 60"], ["3 60"]])
    assert unknown(found) == {UNKNOWN}
    assert found.unknown_share == 0.4


def test_what_a_vocabulary_knows_is_not_suspicious(tmp_path):
    documents = [[line for line in topics[name].splitlines() if line.strip()] for name in sorted(topics)]
    words = set(re.findall(r"\w+|[^\w\s]", "\n".join("\n".join(lines) for lines in documents).lower()))
    found = report(tmp_path, [*SPECIAL, *sorted(words)], documents)
    assert 0 <= found.unknown_share < 0.01
    assert unknown(found) == set()


def test_the_sample_is_bounded_and_stands_for_the_whole():
    """Only the last tenth of a million sentences is unknown, every second sentence of it."""

    class Counted:
        kind, unk_id, lowercase, tokens = "wordpiece", 1, True, ["[PAD]", "[UNK]"]
        encoded = 0

        def encode(self, text):
            self.encoded += 1
            return [1] if text == "bad" else [0]

    tokenizer = Counted()
    sample = UnknownWords(tokenizer)
    for number in range(100_000):
        bad = number >= 90_000
        sample.sample(Document(["good", "bad"] * 5 if bad else ["good"] * 10, "a.txt", range(1, 11)))
    assert tokenizer.encoded < 4000
    assert 0.03 < sample.share() < 0.07
