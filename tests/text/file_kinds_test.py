"""Files that are no text, real ones where something here makes them: each is named, with what to do about it."""

import bz2
import gzip
import io
import json
import lzma
import pickle
import sqlite3
import sys
import tarfile
import zipfile
import zlib
from pathlib import Path
from pydoc_data.topics import topics

import numpy as np
import pyarrow
import pyarrow.feather
import pyarrow.orc
import pyarrow.parquet
import pytest

from bert_jax.errors import UserError
from bert_jax.text.corpus import Corpus

TEXT = ("A line of it, and one more of them.\n" * 100).encode()
TABLE = pyarrow.table({"text": ["Some words.", "Other words."] * 9})


def archive(name, content=TEXT, **options):
    """A tar."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", **options) as tar:
        info = tarfile.TarInfo(name)
        info.size = len(content)
        tar.addfile(info, io.BytesIO(content))
    return file.getvalue()


def zipped(name):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as content:
        content.writestr(name, TEXT)
    return file.getvalue()


def written(write):
    file = io.BytesIO()
    write(file)
    return file.getvalue()


def stream(file):
    with pyarrow.ipc.new_stream(file, TABLE.schema) as writer:
        writer.write_table(TABLE)


def without_magic(tar):
    """As tar wrote it before POSIX: no "ustar", and the header's sum as it is then."""
    header = bytearray(tar[:512])
    header[257:265] = bytes(8)
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + tar[512:]


# Ten digits as TensorFlow's TFRecordWriter writes them.
RECORD = bytes.fromhex("0a00000000000000aea3bf3a30313233343536373839f03abfaf")

BINARY = [
    ("a.txt", pyarrow.Codec("zstd").compress(TEXT, asbytes=True), "is a zstd file, not text; decompress it with zstd"),
    ("a.txt.zst", pyarrow.Codec("zstd").compress(TEXT, asbytes=True), "is a zstd file"),
    ("a.txt.gz", pyarrow.Codec("zstd").compress(TEXT, asbytes=True), "is a zstd file"),
    ("a.jsonl", pyarrow.Codec("lz4").compress(TEXT, asbytes=True), "is an lz4 file"),
    ("a.txt", lzma.compress(TEXT, lzma.FORMAT_ALONE), "is an lzma file"),
    ("a.txt", zipped("a.txt"), r"is a zip \(as .docx, .xlsx, .odt and .epub are\), not text; unpack it"),
    ("a.docx", zipped("word/document.xml"), "is a zip"),
    ("a.gz", zipped("a.txt"), "a.gz is a zip"),
    ("a.txt", archive("a.txt"), "is a tar archive, not text; unpack it"),
    ("a.tar", without_magic(archive("a.txt")), "is a tar archive"),
    ("a.tar.gz", gzip.compress(archive("a.txt")), "holds a tar archive, not text; unpack it"),
    ("a.tar.xz", lzma.compress(archive("a.txt", format=tarfile.GNU_FORMAT)), "holds a tar archive"),
    ("a.txt", written(lambda file: pyarrow.parquet.write_table(TABLE, file)), "is a Parquet file, .* JSON Lines"),
    ("a.jsonl", written(lambda file: pyarrow.parquet.write_table(TABLE, file)), "is a Parquet file"),
    ("a.arrow", written(stream), "is an Arrow file, as datasets of Hugging Face are"),
    ("a.txt", written(lambda file: pyarrow.feather.write_feather(TABLE, file)), "is an Arrow file"),
    ("a.txt", written(lambda file: pyarrow.orc.write_table(TABLE, file)), "is an ORC file"),
    ("a.txt", written(lambda file: np.save(file, np.arange(9))), "is a NumPy array"),
    ("a.npz", written(lambda file: np.savez(file, a=np.arange(9))), "is a zip"),
    ("a.txt", pickle.dumps(["text"]), "is a pickle"),
    ("a.tfrecord", RECORD, "is TFRecords, not text; give the TFDS dataset"),
    ("a.txt", b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", "is a PDF, not text; save what it says as plain text"),
    ("a.txt", rb"{\rtf1\ansi Words.}", "is RTF"),
    ("a.doc", bytes.fromhex("d0cf11e0a1b11ae1") + bytes(600), "is a document of an old Microsoft Office"),
    ("a.warc.gz", gzip.compress(b"WARC/1.0\r\nWARC-Type: response\r\n"), "holds a WARC"),
    ("a.txt", Path(sys.executable).read_bytes()[:5000], "is a program"),
    ("a.txt", b"\x89PNG\r\n\x1a\n" + zlib.compress(TEXT), "is a picture, sound or film"),
    ("a.txt", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "is Git LFS' note .* git lfs pull"),
    ("a.txt", "Text.\n".encode("utf-16"), "is UTF-16, not text; convert it with iconv -f UTF-16 -t UTF-8"),
    ("a.txt", "Text.\n".encode("utf-16-be"), "is UTF-16; convert it with iconv -f UTF-16BE"),
    ("a.txt", "Text.\n".encode("utf-16-le") * 999, "is UTF-16; convert it with iconv -f UTF-16LE"),
    ("a.txt", "Text.\n".encode("utf-32"), "is UTF-32"),
    ("a.txt", gzip.compress(TEXT), "is gz data; give it a name that ends in .gz"),
    ("a.jsonl", bz2.compress(TEXT), "is bz2 data; give it a name that ends in .bz2"),
    ("a.gz", lzma.compress(TEXT), "is xz data; give it a name that ends in .xz"),
    ("a.txt.xz", lzma.compress(lzma.compress(TEXT)), "holds xz data; decompress it once with unxz"),
    ("a.txt.gz", gzip.compress(gzip.compress(TEXT)), "holds gz data; decompress it once with gunzip"),
    ("a.xml", pickle.dumps(["text"]), "is a pickle"),
    ("a.txt", b'<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/">\n', "looks like a MediaWiki dump; .*xml"),
    ("a.bz2", bz2.compress(b'<?xml version="1.0"?>\n<mediawiki xml:lang="en">\n'), "looks like a MediaWiki dump"),
]


@pytest.mark.parametrize(
    ("name", "content", "message"), BINARY, ids=[f"{name}-{says[:20]}" for name, _, says in BINARY]
)
def test_what_is_no_text_is_named(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message) as caught:
        list(Corpus([f"{tmp_path}/{name}"]).documents())
    assert str(caught.value).startswith(f"{tmp_path}/{name} ")
    assert "\n" not in str(caught.value)


def test_a_database_is_named(tmp_path):
    with sqlite3.connect(tmp_path / "a.txt") as database:
        database.execute("create table t (text)")
    with pytest.raises(UserError, match="is an SQLite database"):
        list(Corpus([f"{tmp_path}/a.txt"]).documents())


@pytest.mark.parametrize(
    "text",
    [
        *(topics[name] for name in sorted(topics)[:30]),
        *(
            "PARENTS and children.",
            "ORC is a beast.",
            "ORC\nand more",
            "RIFFs of a guitar.",
            "MZ is short.",
            "LZIP packs.",
            "GIF89 is old.",
        ),
        *(
            "BZh is none.",
            "PAR1 is a format.",
            "WARC is, too.",
            "PK wrote.",
            "7z packs.",
            "Rar! he said.",
            "%PD",
            "ID3",
        ),
        *(
            "{rtf} is markup.",
            "<mediawikis> are many.",
            "version 3 of git-lfs",
            "日本語の文章です。",
            "ÿþ",
            "\ufeffText.",
            "1 2 3",
        ),
        json.dumps({"a": 1}),
    ],
)
def test_text_is_text(tmp_path, text):
    (tmp_path / "a.txt").write_text(text, encoding="utf-8")
    (document, *_) = Corpus([f"{tmp_path}/a.txt"]).documents()
    assert document.sentences
