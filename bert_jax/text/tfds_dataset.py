"""`tfds:NAME/CONFIG:SPLIT`: the text of a TensorFlow Datasets dataset, read without TensorFlow.

TFDS finds the files of the split and their schema; their records are read here, TFRecord or ArrayRecord, and of each
tf.train.Example its text field. TFDS_DATA_DIR is where datasets are (default: ~/tensorflow_datasets), or the
name is a dataset's own directory, local or gs://. What is not there yet is downloaded if TFDS can do that here.
"""

import re
from collections.abc import Iterator
from typing import Any

from etils import epath
from google.protobuf.message import DecodeError

from bert_jax.errors import UserError
from bert_jax.storage.tfrecord_frame import FOOTER_BYTES, FRAMING_BYTES, HEADER_BYTES, data_length, frame_data
from bert_jax.text.document import Document, unreadable

PREFIX = "tfds:"

_NAME = re.compile(rf"{PREFIX}(?P<dataset>.+):(?P<split>[a-zA-Z_]\w*(\[[^]]*\])?)")
_AGAIN = "get the dataset again"
# wiki40b marks its sections by lines of their own, each but a paragraph followed by a line of heading.
_WIKI40B_HEADING = re.compile(r"_START_(?:ARTICLE|SECTION)_\n[^\n]*")
_WIKI40B_MARKS = re.compile(r"_START_PARAGRAPH_|_NEWLINE_")


class TfdsDataset:
    """One split of a dataset."""

    def __init__(self, name: str, text_field: str) -> None:
        """Find the dataset that `name`, "tfds:NAME/CONFIG:SPLIT", means, and prepare it if it is not there.

        Raises:
          UserError: there is none, it can be neither found nor downloaded, or it lacks the split or the field.
        """
        parts = _NAME.fullmatch(name)
        if parts is None:
            raise UserError(f"--input {name} names no split; write tfds:NAME/CONFIG:SPLIT, as in tfds:wiki40b/en:train")
        self._name, self._split, self._field = name, parts["split"], text_field
        self._builder = _builder(name, parts["dataset"])
        self._files = self._instructions()
        self._position = 0
        fields = self._builder.info.features or {}
        if text_field not in fields:
            raise UserError(
                f"--input {name} has no field {text_field!r} but {', '.join(sorted(fields))}; "
                "name the one that holds the text with --text_field"
            )

    @property
    def size(self) -> int:
        """Bytes of the split's files."""
        return sum(epath.Path(file.filename).stat().length for file in self._files)

    @property
    def position(self) -> int:
        """Bytes read of them."""
        return self._position

    def identity(self) -> list[list[Any]]:
        """Name, version, split, number of examples, bytes and field."""
        examples = sum(len(_wanted(file)) for file in self._files)
        return [[PREFIX, self._builder.info.full_name, self._split, examples, self.size, self._field]]

    def documents(self) -> Iterator[Document]:
        """An example a document."""
        from tensorflow_datasets.proto import tf_example_pb2

        self._position = 0
        for file in self._files:
            path, wanted, number = epath.Path(file.filename), _wanted(file), 0
            for number, data in enumerate(self._records(path), start=1):
                if number in wanted:
                    yield self._document(tf_example_pb2.Example, data, str(path), number)
            if number < wanted.stop - 1:
                raise UserError(f"{path} is truncated: of {wanted.stop - 1} records {number} are there; {_AGAIN}")

    def _document(self, example: Any, data: bytes | None, file: str, number: int) -> Document:
        try:
            if data is None:
                raise DecodeError
            feature = example.FromString(data).features.feature[self._field]
            text = feature.bytes_list.value[0].decode() if feature.bytes_list.value else ""
        except (DecodeError, UnicodeDecodeError) as error:
            is_text = isinstance(error, UnicodeDecodeError)
            what = (
                "no UTF-8 text; name another field with --text_field" if is_text else f"truncated or damaged; {_AGAIN}"
            )
            return unreadable(file, number, f"{file}, record {number} is {what}")
        if feature.WhichOneof("kind") not in ("bytes_list", None):
            raise UserError(
                f"--input {self._name}: the field {self._field!r} is no text; name another with --text_field"
            )
        if "_START_" in text:
            text = _WIKI40B_MARKS.sub("\n", _WIKI40B_HEADING.sub("", text))
        lines = [line for line in map(str.strip, text.split("\n")) if line]
        return Document(lines, file, [number] * max(1, len(lines)), "" if lines else "empty")

    def _instructions(self) -> list[Any]:
        try:
            return list(self._builder.info.splits[self._split].file_instructions)
        except (KeyError, ValueError, AssertionError) as error:
            there = ", ".join(self._builder.info.splits) or "none"
            why = " ".join(str(error).split())[:200]
            raise UserError(f"--input {self._name}: there is no such split ({why}); there is {there}") from None

    def _records(self, path: epath.Path) -> Iterator[bytes | None]:
        before = self._position
        read = _array_records if ".array_record" in path.name else _tfrecords
        for size, data in read(path):
            self._position += size
            yield data
        self._position = before + path.stat().length


def _wanted(file: Any) -> range:
    """The numbers, from 1, of the records of a file that belong to the split, which may be a slice: train[:10%]."""
    end = file.examples_in_shard if file.take == -1 else file.skip + file.take
    return range(file.skip + 1, end + 1)


def _builder(name: str, dataset: str) -> Any:
    """The dataset, prepared."""
    import tensorflow_datasets as tfds

    try:
        if epath.Path(dataset).is_dir():
            return tfds.builder_from_directory(dataset)
        builder = tfds.builder(dataset)
        if not builder.info.splits:
            builder.download_and_prepare(file_format="array_record")
    except ImportError as error:
        raise UserError(
            f"--input {name} is not prepared here, and making it needs more ({error}); install bert_jax[tfds], "
            f"or run `tfds build {dataset}` where that works and copy its directory"
        ) from None
    except Exception as error:  # whatever the code of a thousand datasets raises: no network, no TensorFlow, no space
        if isinstance(error, OSError) and error.errno is not None:
            raise
        why = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        if epath.Path(dataset).is_dir():
            raise UserError(
                f"--input {name}: dataset_info.json and features.json there cannot be read ({why}); get the dataset "
                "again, or give the directory that TFDS wrote them to"
            ) from None
        raise UserError(
            f"--input {name} is not prepared in $TFDS_DATA_DIR (or ~/tensorflow_datasets), and TFDS cannot make it "
            f"here ({why}); correct the name, or run `tfds build {dataset}` where that works and copy its directory"
        ) from None
    return builder


def _array_records(path: epath.Path) -> Iterator[tuple[int, bytes]]:
    """The records of an ArrayRecord file, which checks them itself, with their sizes."""
    from array_record.python.array_record_module import ArrayRecordReader

    reader = ArrayRecordReader(str(path))
    for number in range(reader.num_records()):
        try:
            data = reader.read()
        except RuntimeError:  # whose message goes on about chunks and their hashes
            raise UserError(f"{path} is damaged after record {number}; {_AGAIN}") from None
        yield len(data), data


def _tfrecords(path: epath.Path) -> Iterator[tuple[int, bytes | None]]:
    """The records of a TFRecord file in order, with their sizes; None for one whose CRC is not its content's."""
    left, number = path.stat().length, 0
    with path.open("rb") as file:
        while header := file.read(HEADER_BYTES):
            number += 1
            length = data_length(header)
            # Compared before anything is read: a damaged length may be of more than there is memory.
            if length is None or length + FRAMING_BYTES > left:
                raise UserError(f"{path}, record {number} is truncated or damaged; {_AGAIN}")
            left -= length + FRAMING_BYTES
            yield length + FRAMING_BYTES, frame_data(header + file.read(length + FOOTER_BYTES))
