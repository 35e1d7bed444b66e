"""Datasets that TFDS itself has written, in both of its formats, read back in a process that has no TensorFlow."""

import json
import os
import shutil
import struct
import subprocess
import sys

import numpy as np
import pytest

from bert_jax.errors import UserError
from bert_jax.storage.tfrecord_frame import masked_crc
from bert_jax.text.corpus import Corpus

TEXTS = [f"Document {number} begins.\n\nIt ends, 日本." for number in range(30)]
WIKI40B = (
    "\n_START_ARTICLE_\nTitle\n_START_PARAGRAPH_\nOne._NEWLINE_Two.\n_START_SECTION_\nHead\n_START_PARAGRAPH_\nThree."
)


@pytest.fixture(scope="module")
def datasets(tmp_path_factory):
    """A directory for each format, as TFDS_DATA_DIR."""
    import tensorflow_datasets as tfds

    class Small(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            features = {
                "text": tfds.features.Text(),
                "title": tfds.features.Text(),
                "number": tfds.features.Scalar(np.int64),
            }
            return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

        def _split_generators(self, manager):
            return {"train": self._generate_examples(TEXTS), "test": self._generate_examples([WIKI40B, ""])}

        def _generate_examples(self, texts):
            for number, text in enumerate(texts):
                yield number, {"text": text, "title": f"title {number}", "number": number}

    root = tmp_path_factory.mktemp("tfds")
    for file_format in ("tfrecord", "array_record"):
        Small(data_dir=root / file_format, file_format=file_format).download_and_prepare()
    return root


PROGRAM = """
import json, sys
from bert_jax.text.corpus import Corpus
from bert_jax.storage.tfrecord_frame import masked_crc
corpus = Corpus([sys.argv[1]], text_field=sys.argv[2])
print(json.dumps([document.sentences for document in corpus.documents()]))
assert corpus.position == corpus.size > 0
assert "tensorflow" not in sys.modules
"""


def read(data_dir, name, field="text"):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, name, field],
        env={**os.environ, "PYTHONPATH": ":".join(sys.path), "TFDS_DATA_DIR": str(data_dir)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("file_format", ["tfrecord", "array_record"])
def test_every_document_once_by_name(datasets, file_format):
    found = read(datasets / file_format, "tfds:small:train")
    assert sorted(found) == sorted([text.split("\n")[0], "It ends, 日本."] for text in TEXTS)
    titles = read(datasets / file_format, "tfds:small:1.0.0:train", "title")
    assert sorted(titles) == sorted([f"title {number}"] for number in range(30))


@pytest.mark.parametrize("file_format", ["tfrecord", "array_record"])
def test_slices_of_a_split_by_directory(datasets, file_format):
    corpus = [Corpus([f"tfds:{datasets}/{file_format}/small/1.0.0:{split}"]) for split in ("train[:10]", "train[10:]")]
    first, rest = ([document.sentences for document in part.documents()] for part in corpus)
    assert (len(first), len(rest)) == (10, 20)
    assert sorted(first + rest) == sorted([text.split("\n")[0], "It ends, 日本."] for text in TEXTS)
    assert corpus[0].identity() != corpus[1].identity()


def test_wiki40b_s_marks_and_headings_are_no_text(datasets):
    corpus = Corpus([f"tfds:{datasets}/tfrecord/small/1.0.0:test"])
    (document,) = corpus.documents()
    assert document.sentences == ["One.", "Two.", "Three."]
    assert "small-test.tfrecord" in document.place()


@pytest.mark.parametrize(
    ("name", "field", "message"),
    [
        ("tfds:no_such_dataset:train", "text", r"is not prepared .*Dataset no_such_dataset not found.*`tfds build"),
        ("tfds:{}/tfrecord/small/1.0.0", "text", r"names no split; write tfds:NAME/CONFIG:SPLIT"),
        ("tfds:{}/tfrecord/small/1.0.0:dev", "text", r"there is no such split .* there is train, test"),
        ("tfds:{}/tfrecord/small/1.0.0:train", "body", r"no field 'body' but number, text, title; .*--text_field"),
        ("tfds:{}/tfrecord/small/1.0.0:train", "number", r"the field 'number' is no text; .*--text_field"),
    ],
)
def test_what_is_not_there_is_one_line(datasets, name, field, message):
    with pytest.raises(UserError, match=message) as caught:
        list(Corpus([name.format(datasets)], text_field=field).documents())
    assert "\n" not in str(caught.value)


def test_a_dataset_that_cannot_be_made_here_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    monkeypatch.setitem(sys.modules, "apache_beam", None)  # which wiki40b needs
    with pytest.raises(UserError, match=r"tfds:wiki40b/en:train is not prepared here, and making it needs more"):
        Corpus(["tfds:wiki40b/en:train"])


@pytest.mark.parametrize("name", ["dataset_info.json", "features.json"])
@pytest.mark.parametrize("content", ["no JSON", "[" * 100_000, "{}", None])
def test_a_damaged_description_is_one_line(datasets, tmp_path, name, content):
    shutil.copytree(datasets / "tfrecord" / "small" / "1.0.0", tmp_path / "1.0.0")
    (tmp_path / "1.0.0" / name).unlink()
    if content is not None:
        (tmp_path / "1.0.0" / name).write_text(content)
    with pytest.raises(
        UserError, match=r"dataset_info\.json and features\.json there cannot be read .*get the dataset"
    ):
        Corpus([f"tfds:{tmp_path}/1.0.0:train"])


def damaged(datasets, path, file_format, damage):
    """A copy of the dataset; `damage` changes the bytes of its only file of train."""
    shutil.copytree(datasets / file_format / "small" / "1.0.0", path / "1.0.0")
    (file,) = (path / "1.0.0").glob("small-train.*")
    data = bytearray(file.read_bytes())
    damage(data)
    file.write_bytes(data)
    return file


def flip_in_a_text(data):
    data[data.index(b"It ends") + 1] ^= 1


def no_utf8(data):
    """A record whose CRC is right and whose text is not UTF-8."""
    size = struct.unpack_from("<Q", data)[0]
    data[data.index(b"It ends")] = 0xFF
    data[12 + size : 16 + size] = struct.pack("<I", masked_crc(bytes(data[12 : 12 + size])))


def test_a_damaged_record_is_named_or_left_out(datasets, tmp_path):
    for damage, message in ((flip_in_a_text, "is truncated or damaged"), (no_utf8, "is no UTF-8 text; name another")):
        file = damaged(datasets, tmp_path / damage.__name__, "tfrecord", damage)
        corpus = f"tfds:{file.parent}:train"
        with pytest.raises(UserError, match=rf"{file.name}, record 1 {message}.* --skip_bad_records=N"):
            list(Corpus([corpus]).documents())
        assert len(list(Corpus([corpus], skip_bad_records=1).documents())) == 29


@pytest.mark.parametrize(
    ("file_format", "damage", "message"),
    [
        ("tfrecord", lambda data: data.__delitem__(slice(-9, None)), r"record 30 is truncated or damaged"),
        ("tfrecord", lambda data: data.__setitem__(slice(0, 12), HUGE), r"record 1 is truncated or damaged"),
        ("tfrecord", lambda data: data.clear(), r"is truncated: of 30 records 0 are there"),
        ("array_record", lambda data: data.__delitem__(slice(-99, None)), r"is truncated: of 30 records 0 are there"),
        (
            "array_record",
            lambda data: data.__setitem__(slice(120, 140), bytes(20)),
            r"is damaged after record \d+",
        ),
    ],
)
def test_a_damaged_file_is_one_line_whatever_may_be_skipped(datasets, tmp_path, file_format, damage, message):
    file = damaged(datasets, tmp_path, file_format, damage)
    with pytest.raises(UserError, match=rf"{file.name}.* {message}|{file.name},? {message}.*; get the dataset again"):
        list(Corpus([f"tfds:{file.parent}:train"], skip_bad_records=99).documents())


HUGE = struct.pack("<Q", 2**62) + struct.pack("<I", masked_crc(struct.pack("<Q", 2**62)))
