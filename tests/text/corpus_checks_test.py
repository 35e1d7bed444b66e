"""What looks like a mistake in real files, with its place; and what does not."""

import json
import random
import unicodedata
from pydoc_data.topics import topics

import pytest

from bert_jax.errors import UserError
from bert_jax.storage.json_file import check_schema
from bert_jax.text import findings
from bert_jax.text.corpus import Corpus
from bert_jax.text.corpus_checks import CorpusChecks
from bert_jax.text.document import Document
from bert_jax.text.duplicates import _BATCH, Duplicates
from bert_jax.text.findings import Finding
from bert_jax.text.load_tokenizer import load_tokenizer
from bert_jax.text.special_tokens import SPECIAL_TOKENS
from bert_jax.text.tokenizer import Tokenizer
from bert_jax.text.wordpiece import WordPiece

GOOD = [["A first sentence of it.", f"Then the second, number {n}."] for n in range(8)]


def report(path, documents, name="a.txt", tokenizer=None):
    """The report on a file of these documents, and the file's name."""
    file = path / name
    file.write_text("\n\n".join("\n".join(document) for document in documents) + "\n", encoding="utf-8")
    looking = CorpusChecks(tokenizer)
    found = list(Corpus([str(file)]).documents(looking))
    assert [document.sentences for document in found] == documents  # nothing is changed
    return looking.report().suspicious, file


def test_good_text_in_many_scripts_is_not_suspicious(tmp_path):
    lines = ["El año pasado — «sí», 25 °C, 10\u00a0£.", "日本語の文章です。", "هذا نص عربي.", "זה טקסט.", "यह हिन्दी है।"]
    documents = [
        *GOOD,
        lines,
        ["<mathematics> is markup of none.", "{x} is a set, and [x] a list."],
        ["{", 'printf("words and words and words");', "}"],
        ["Naïve café: 3.14 × 2 = 6.28 (see p. 12–14), “quoted” 'text' and Âge, Ã!", "Emoji 😀👩‍👩‍👧."],
    ]
    documents += [topics[name].split("\n") for name in sorted(topics)[:20] if "\n\n" not in topics[name].strip()]
    assert report(tmp_path, [[line.strip() for line in d if line.strip()] for d in documents])[0] == {}


@pytest.mark.parametrize(
    ("sentences", "kind", "line"),
    [
        (["Fine here.", "A form\x0cfeed."], findings.CONTROL, 2),
        (["Fine here.", "Fine.", "A later \x85 one with é."], findings.CONTROL, 3),
        (["Null \x00 byte.", "Fine."], findings.CONTROL, 1),
        (["It was caf\ufffd time.", "Fine."], findings.MISREAD, 1),
        (["Fine.", "It was cafÃ© time."], findings.MISREAD, 2),
        (["Fine.", "Itâ€™s here."], findings.MISREAD, 2),
        (["12.5 13.7 99.1 | 4,5", "---------- 12 %"], findings.NO_LETTERS, 1),
        (["Fine.", "long " * 2500], findings.LONG_LINE, 2),
        (["A first sentence of it.", "Then the second, number 3."], findings.DUPLICATE, 1),
        (["<!DOCTYPE html>", "<html><body>Words in it.</body></html>"], findings.HTML, 1),
        (["<html lang='en'>Words in it.", "And more of them."], findings.HTML, 1),
        (['{"text": "Some words of it.", "id": "words"}', "And more."], findings.JSON, 1),
        (["[", "{", '"text": "Some words of it and more and more."', "}", "]"], findings.JSON, 1),
    ],
)
def test_a_bad_document_is_found_at_its_line(tmp_path, sentences, kind, line):
    found, file = report(tmp_path, [*GOOD, [sentence.strip() for sentence in sentences]])
    assert found == {kind: Finding(1, [f"{file}:{3 * len(GOOD) + line}"])}


def test_letters_that_a_vocabulary_drops_with_the_accents(tmp_path):
    documents = [*GOOD, ["Ελληνικά, naïve.", "हिन्दी में", "ไทย ที่"], ["Schön.", "ещё й"]]
    characters = sorted(set(unicodedata.normalize("NFD", "".join(line for one in documents for line in one).lower())))
    tokens = [*SPECIAL_TOKENS, *characters, *(f"##{char}" for char in characters)]
    for settings in ({"lowercase": True}, {"lowercase": False, "strip_accents": True}):
        found, file = report(tmp_path, documents, tokenizer=Tokenizer(WordPiece(tokens, **settings)))
        assert found[findings.LOST_LETTERS] == Finding(1, [f"{file}:{3 * len(GOOD) + 2}"])
    for settings in ({"lowercase": False}, {"lowercase": True, "strip_accents": False}):
        found, _ = report(tmp_path, documents, tokenizer=Tokenizer(WordPiece(tokens, **settings)))
        assert findings.LOST_LETTERS not in found
    assert report(tmp_path, documents)[0] == {}


def test_a_blank_line_after_every_sentence(tmp_path):
    documents = [[f"Sentence {number} stands alone."] for number in range(60)]
    found, file = report(tmp_path, documents + GOOD)
    assert found == {findings.ONE_SENTENCE: Finding(60, [f"{file}:{1 + 2 * n}" for n in range(5)])}
    assert report(tmp_path, documents[:5] + GOOD)[0] == {}  # some are


def test_very_long_documents(tmp_path):
    document = [" ".join(["a line that is long enough but not too long"] * 100)] * 2500
    found, file = report(tmp_path, [document, *GOOD])
    assert found == {findings.LONG_DOCUMENT: Finding(1, [f"{file}:1"])}


def test_empty_documents_are_counted_and_dropped(tmp_path):
    file = tmp_path / "a.jsonl"
    file.write_text("\n".join(json.dumps({"text": text}) for text in ["Words. And\nmore.", "", " \n", "Other\nwords."]))
    looking = CorpusChecks()
    assert len(list(Corpus([str(file)]).documents(looking))) == 2
    assert looking.report().suspicious == {findings.EMPTY: Finding(2, [f"{file}:2", f"{file}:3"])}


def test_characters_of_ids_say_nothing(tmp_path):
    documents = [[f"{n} 2 3", "4 5 6"] for n in range(9)]
    assert report(tmp_path, documents, tokenizer=load_tokenizer("ids:99"))[0] == {}
    assert report(tmp_path, documents)[0][findings.NO_LETTERS].count == 9


def test_duplicates_over_many_batches_are_those_of_a_set():
    rng = random.Random(0)
    texts = [str(rng.randrange(150_000)).encode() for _ in range(3 * _BATCH + 1000)]
    duplicates, found = Duplicates(), []
    for number, text in enumerate(texts):
        found += duplicates.add(text, Document(["x"], "file", [number]))
    found += duplicates.rest()
    seen, expected = set(), []
    for number, text in enumerate(texts):
        if text in seen:
            expected.append(("file", number))
        seen.add(text)
    assert found == expected
    assert duplicates._known.nbytes == 8 * len(seen)


def test_long_texts_that_differ_in_the_middle_alone_are_different():
    duplicates = Duplicates()
    for number in range(100):
        duplicates.add(b"a" * 1000 + b"%04d" % number + b"z" * 1000, Document(["x"], "f", [number]))
    assert duplicates.rest() == []


def test_warnings_and_the_strict_error_name_the_first(tmp_path, caplog):
    looking = CorpusChecks()
    for number in range(7):
        looking.check(
            Document(["A form\x0cfeed.", f"And {number}."], "/data/a.txt", range(3 * number + 1, 3 * number + 3))
        )
    looking.check(Document(["A form\x0cfeed.", "And 0."], "/data/b.txt", [1, 2]))
    found = looking.report()
    findings.warn(found)
    messages = [record.getMessage() for record in caplog.records if "suspicious" in record.getMessage()]
    assert len(messages) == 2
    assert "8 documents with control characters" in messages[1]
    assert messages[1].endswith("(they are dropped from the text): /data/a.txt:1, 4, 7 ...")
    with pytest.raises(
        UserError, match=r"--strict: 1 documents that came before, the first at /data/b\.txt:1, and 1 other"
    ):
        findings.refuse(found)
    findings.refuse(findings.InputReport(0, {}, {}))


def test_a_report_of_an_earlier_version_is_still_read_and_logged(caplog):
    """As records_report.json and plan.json had it before there were unknown words, examples and templates."""
    old = {"documents_read": 2, "dropped": {"empty": {"count": 1, "places": ["a:1"]}}}
    old["suspicious"] = {
        "documents of a kind": {"count": 1, "places": ["a:2"]},
        findings.EMPTY: old["dropped"]["empty"],
    }
    report = check_schema(old, findings.InputReport, "plan.json", "build again")
    assert findings.as_json(report) == old
    findings.warn(report)
    assert "1 documents of a kind" in caplog.text
    with pytest.raises(UserError, match="--strict: 1 documents of a kind, the first at a:2"):
        findings.refuse(report)


@pytest.mark.slow
def test_templates_are_counted_and_the_rare_ones_of_very_many_forgotten():
    checks = CorpusChecks()
    for number in range(250_000):
        checks.check(Document(["Words."], "a.xml", [number], templates=[(f"name {number}", 1), ("cite web", 2)]))
    counts = checks.report().templates_left_out
    assert next(iter(counts.items())) == ("cite web", 500_000)
    assert len(counts) == 100
