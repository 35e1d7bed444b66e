"""Where documents of plain text are; how they are cut is in corpus_test.py."""

import pytest

from bert_jax.errors import UserError
from bert_jax.text.corpus import Corpus


def test_every_sentence_has_a_place(tmp_path):
    (tmp_path / "a.txt").write_text("\none\ntwo\n\n\nthree\nfour")
    (tmp_path / "b.txt").write_text("five\n")
    (tmp_path / "c.txt").write_text("six\n\nseven\neight\n")
    found = list(Corpus([f"{tmp_path}/*.txt"]).documents())
    places = [(sentence, document.place(n)) for document in found for n, sentence in enumerate(document.sentences)]
    # What runs on into the next file is said to be at the last line of the file that it began in.
    expected = {"one": "a:2", "two": "a:3", "three": "a:6", "four": "a:7", "five": "a:7", "six": "a:7"}
    expected |= {"seven": "c:3", "eight": "c:4"}
    assert places == [(sentence, f"{tmp_path}/{place.replace(':', '.txt:')}") for sentence, place in expected.items()]


def test_sentences_of_a_paragraph_share_its_line(tmp_path):
    (tmp_path / "a.txt").write_text("Here. There.\nEverywhere.\n")
    (document,) = Corpus([f"{tmp_path}/a.txt"], split_sentences=True).documents()
    assert [document.place(number) for number in range(3)] == [f"{tmp_path}/a.txt:{line}" for line in (1, 1, 2)]


def test_position_runs_from_nothing_to_the_size(tmp_path):
    (tmp_path / "a.txt").write_text("word\n\n" * 50_000)
    (tmp_path / "b.txt").write_text("word\n\n" * 50_000)
    corpus = Corpus([f"{tmp_path}/*.txt"])
    documents = corpus.documents()
    assert corpus.size == 600_000
    seen = [corpus.position for number, _ in enumerate(documents) if number % 10_000 == 0]
    assert seen == sorted(seen)
    assert 0 < seen[1] < seen[4] < 300_001 < seen[9] < corpus.position == 600_000


def test_a_line_in_another_encoding_ends_its_document_and_is_left_out(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"one\ntwo\nth\xfcr\nfour\n\n\xfc\nfive\n")
    found = list(Corpus([f"{tmp_path}/a.txt"], skip_bad_records=2).documents())
    assert [(document.sentences, document.place()) for document in found] == [
        (["one", "two"], f"{tmp_path}/a.txt:1"),
        (["four"], f"{tmp_path}/a.txt:4"),
        (["five"], f"{tmp_path}/a.txt:7"),
    ]
    with pytest.raises(UserError, match=r"a\.txt, line 6 is not UTF-8 text; .*--skip_bad_records=N, 1 were left out"):
        list(Corpus([f"{tmp_path}/a.txt"], skip_bad_records=1).documents())
