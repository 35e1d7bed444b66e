"""Documents from real files of every kind, and from bad ones."""

import bz2
import gzip
import lzma
import platform
import random
from itertools import islice
from pydoc_data.topics import topics

import pytest

from bert_jax.errors import UserError
from bert_jax.text.corpus import Corpus, documents

TEXT = "First line.\n  Second line.  \n\n\n \t\nThird line. It has two sentences.\n"
DOCUMENTS = [["First line.", "Second line."], ["Third line. It has two sentences."]]


def documents_as_the_original_reads_them(files):
    """create_pretraining_data.py's reading of its input files, with every line that is not empty kept."""
    found = [[]]
    for file in files:
        for line in file.read_text(encoding="utf-8").split("\n"):
            if line.strip():
                found[-1].append(line.strip())
            else:
                found.append([])
        if file.read_text(encoding="utf-8").endswith("\n") and found[-1] == []:
            found.pop()  # what follows the last newline is no line
    return [document for document in found if document]


@pytest.mark.parametrize(
    ("suffix", "compress"), [("", bytes), (".gz", gzip.compress), (".bz2", bz2.compress), (".xz", lzma.compress)]
)
def test_documents_are_separated_by_blank_lines_in_every_kind_of_file(tmp_path, suffix, compress):
    file = tmp_path / f"text.txt{suffix}"
    file.write_bytes(compress(TEXT.encode()))
    assert list(documents([str(file)])) == DOCUMENTS


def test_several_files_are_read_as_the_original_reads_them(tmp_path):
    rng = random.Random(0)
    lines = [line for name in sorted(topics)[:20] for line in topics[name].splitlines()]
    for number in range(12):
        text = "\n".join(rng.choices([*lines, "", "  "], k=40))
        (tmp_path / f"{number:02}.txt").write_text(text + rng.choice(["", "\n", "\n\n"]), encoding="utf-8")
    files = sorted(tmp_path.iterdir())
    expected = documents_as_the_original_reads_them(files)
    assert list(documents([str(tmp_path / "*.txt")])) == expected
    assert list(documents([str(file) for file in files])) == expected


def test_globs_are_read_in_the_order_given_and_files_sorted(tmp_path, monkeypatch):
    for name in ("b/2", "b/10", "a/1", "b/c/3"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"{name}\n\n")
    read = lambda *globs: [document[0] for document in documents(globs)]  # noqa: E731
    assert read(f"{tmp_path}/b/*", f"{tmp_path}/a/1") == ["b/10", "b/2", "a/1"]
    assert read(f"{tmp_path}/*/*/[23]", f"{tmp_path}/[bc]/[23]") == ["b/c/3", "b/2"]
    monkeypatch.chdir(tmp_path)
    assert read("*/1", "b/2") == ["a/1", "b/2"]


def test_a_file_whose_name_looks_like_a_glob(tmp_path):
    (tmp_path / "what[1]?.txt").write_text("Here.\n")
    assert list(documents([f"{tmp_path}/what[1]?.txt"])) == [["Here."]]


def test_only_a_newline_ends_a_line(tmp_path):
    (tmp_path / "text.txt").write_bytes("one\u2028still one\x85\x0cstill\rone\r\n\u3000\ntwo".encode())
    assert list(documents([f"{tmp_path}/text.txt"])) == [["one\u2028still one\x85\x0cstill\rone"], ["two"]]


def test_a_byte_order_mark_is_no_text(tmp_path):
    (tmp_path / "text.txt").write_bytes(b"\xef\xbb\xbfFirst.\nSecond.\n")
    assert list(documents([f"{tmp_path}/text.txt"])) == [["First.", "Second."]]


def test_paragraphs_are_cut_into_sentences(tmp_path):
    (tmp_path / "text.txt").write_text("Dr. Smith went home. He slept!  Did he dream?\nA title\n\nThe end.\n")
    sentences = [["Dr. Smith went home.", "He slept!", "Did he dream?", "A title"], ["The end."]]
    assert list(documents([f"{tmp_path}/text.txt"], split_sentences=True)) == sentences


def test_a_no_break_space_before_a_period_ends_no_run(tmp_path):
    (tmp_path / "text.txt").write_text("Plan B\u00a0. It failed.\nIt was late.\n", encoding="utf-8")
    sentences = [["Plan B\u00a0.", "It failed.", "It was late."]]
    assert list(documents([f"{tmp_path}/text.txt"], split_sentences=True)) == sentences


def test_python_docs_between_files_keeps_documents_apart(tmp_path):
    (tmp_path / "text.txt").write_text("First.\nSecond.")
    found = documents([f"{tmp_path}/text.txt", "python-docs"])
    first, topic = islice(found, 2)
    assert first == ["First.", "Second."]
    assert len(topic) >= 2


def test_documents_are_streamed(tmp_path):
    """The first document is there before the end of the file is read, which is damaged."""
    text = b"First.\n\n" + random.Random(0).randbytes(500_000).hex().encode()
    (tmp_path / "text.gz").write_bytes(gzip.compress(text)[:-9])
    found = documents([f"{tmp_path}/text.gz"])
    assert next(found) == ["First."]
    with pytest.raises(UserError, match=r"text\.gz is truncated or damaged after [\d,]+ bytes"):
        list(found)


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        (b"fine\n\nnot \xff fine\n", "text.txt", r"text\.txt, line 3 is not UTF-8 .*iconv"),
        (b"\xe9t\xe9\n", "text.txt", r"text\.txt, line 1 is not UTF-8 .*iconv"),
        (gzip.compress(TEXT.encode() * 99)[:-9], "text.gz", r"text\.gz is truncated or damaged"),
        (bz2.compress(TEXT.encode() * 99)[:-9], "text.bz2", r"text\.bz2 is truncated or damaged"),
        (lzma.compress(TEXT.encode() * 99)[:-9], "text.xz", r"text\.xz is truncated or damaged"),
        (b"no \xff gzip", "text.gz", r"text\.gz is truncated or damaged"),
        (b"no gzip", "text.gz", r"text\.gz is not compressed; take \.gz off its name"),
        (b"no \xff bzip2", "text.bz2", r"text\.bz2 is truncated or damaged"),
        (b"no bzip2", "text.bz2", r"text\.bz2 is not compressed; take \.bz2 off its name"),
        (b"no \xff xz", "text.xz", r"text\.xz is truncated or damaged"),
        (b"no xz", "text.xz", r"text\.xz is not compressed; take \.xz off its name"),
        (b"", "text.txt", r"there is no text in .*text\.txt"),
        (b" \n\n\n", "text.txt", r"there is no text in .*text\.txt"),
    ],
)
def test_a_bad_file_is_named(tmp_path, content, name, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message):
        list(documents([f"{tmp_path}/{name}"]))


def test_a_glob_without_files_is_named_at_once(tmp_path):
    for pattern in (f"{tmp_path}/*.txt", f"{tmp_path}/none.txt", f"{tmp_path}/none/*"):
        with pytest.raises(UserError, match=r"--input .* matches no file") as caught:
            documents([pattern])
        assert pattern in str(caught.value)
    with pytest.raises(UserError, match=r"is a directory; name its files"):
        documents([str(tmp_path)])
    with pytest.raises(UserError, match=r"write a \* for each level"):
        documents([f"{tmp_path}/**/*.txt"])
    with pytest.raises(UserError, match=r"no input"):
        documents([])


def test_identity_tells_other_input_apart_and_not_where_it_lies(tmp_path):
    for directory in ("here", "there"):
        (tmp_path / directory).mkdir()
        (tmp_path / directory / "text.txt").write_text(TEXT)
    here, there = (Corpus([f"{tmp_path}/{directory}/*.txt"]).identity() for directory in ("here", "there"))
    assert here == there
    assert here[0][:2] == ["text.txt", len(TEXT)]
    (tmp_path / "there" / "text.txt").write_text(TEXT.replace("First", "Worst"))
    assert Corpus([f"{tmp_path}/there/*.txt"]).identity() != here
    assert Corpus(["python-docs"]).identity() == [["python-docs", platform.python_version()]]
