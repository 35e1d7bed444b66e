"""JSON Lines through the corpus' front: every form of text, and what is no text named with file and line."""

import gzip
import json
import re

import pytest

from bert_jax.errors import UserError
from bert_jax.text.corpus import Corpus
from bert_jax.text.corpus_checks import CorpusChecks
from bert_jax.text.findings import Finding


def write(path, *lines):
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines) + "\n")
    return str(path)


def read(*inputs, **options):
    return [(document.sentences, document.place()) for document in Corpus(inputs, **options).documents()]


def test_a_line_is_a_document(tmp_path):
    file = write(tmp_path / "a.jsonl", {"text": " First.\nSecond. \n\n Third."}, "", {"id": 3, "text": "日本\u2028語"})
    assert read(file) == [(["First.", "Second.", "Third."], f"{file}:1"), (["日本\u2028語"], f"{file}:3")]


def test_lists_of_sentences_and_of_ids(tmp_path):
    file = write(tmp_path / "a.jsonl", {"x": ["One.", "Two."]}, {"x": [7, 8]}, {"x": [[7, 8], [9]]})
    found = [sentences for sentences, _ in read(file, text_field="x")]
    assert found == [["One.", "Two."], ["7 8"], ["7 8", "9"]]


def test_compressed_and_beside_plain_text_that_does_not_run_on_into_it(tmp_path):
    (tmp_path / "a.txt").write_text("Plain.")
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(b'{"text": "Packed."}\n'))
    (tmp_path / "c.txt").write_text("After.\n")
    assert [sentences for sentences, _ in read(f"{tmp_path}/*")] == [["Plain."], ["Packed."], ["After."]]


def test_paragraphs_are_cut_into_sentences(tmp_path):
    file = write(tmp_path / "a.jsonl", {"text": "Dr. Smith slept. He dreamt.\nThe end."})
    assert read(file, split_sentences=True)[0][0] == ["Dr. Smith slept.", "He dreamt.", "The end."]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"text": "a"', r"a\.jsonl, line 2 is not JSON"),
        ("[1, 2]", r"a\.jsonl, line 2 is no JSON object"),
        ('{"body": "a", "id": 1}', r"line 2 has no field 'text' but body, id; name the one .* with --text_field"),
        ('{"text": 5}', r"line 2: 'text' is neither text, nor a list of sentences, nor ids"),
        ('{"text": [1, "a"]}', r"line 2: 'text' is neither"),
        ('{"text": [true]}', r"line 2: 'text' is neither"),
        ('{"text": "half \\ud83d of it"}', r"line 2 has half of a surrogate pair"),
        ("[" * 100_000, r"line 2 is not JSON \(nested too deeply\); fix or remove it"),
        ('{"text": ' + "[" * 100_000, r"line 2 is not JSON"),
        ('{"id": ' + "9" * 10_000 + "}", r"line 2 is not JSON"),
        (
            "{" + ", ".join(f'"field {n}": 1' for n in range(1000)) + "}",
            r"no field 'text' but field 0, .{,200} \.\.\.; name",
        ),
        ('{"two\\nlines": 1}', r"no field 'text' but two lines; name"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(tmp_path, line, message):
    file = write(tmp_path / "a.jsonl", {"text": "fine \ud83d\ude00"}, line)
    with pytest.raises(UserError, match=message):
        read(file)
    assert read(file, skip_bad_records=1) == [(["fine \U0001f600"], f"{file}:1")]


def test_bad_records_are_logged_and_one_more_than_may_be_is_an_error(tmp_path, caplog):
    good = {"text": "Fine."}
    file = write(tmp_path / "a.jsonl", *([good, "bad"] * 20))
    with pytest.raises(UserError, match=r"line 40 is not JSON .*--skip_bad_records=N, 19 were left out before"):
        read(file, skip_bad_records=19)
    caplog.clear()
    checks = CorpusChecks()
    corpus = Corpus([file], skip_bad_records=20)
    for _ in range(2):  # each time anew
        assert len(list(corpus.documents(checks))) == 20
    assert checks.report().dropped == {"bad records": Finding(40, [f"{file}:{line}" for line in (2, 4, 6, 8, 10)])}
    said = [record.getMessage() for record in caplog.records]
    assert [re.search(r"line (\d+) is not JSON", line)[1] for line in said[:10]] == [str(2 * n) for n in range(1, 11)]
    assert said[10:] == ["left out: 20 records that could not be read, the first 10 logged above"] * 2


def test_the_field_belongs_to_what_the_text_is(tmp_path):
    file = write(tmp_path / "a.jsonl", {"text": "a", "title": "b"})
    assert Corpus([file]).identity() != Corpus([file], text_field="title").identity()
