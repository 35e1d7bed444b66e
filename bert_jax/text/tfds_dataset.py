"""`tfds:NAME/CONFIG:SPLIT`: the text of a TensorFlow Datasets dataset, of each example its text field."""

import re
from collections.abc import Iterator
from typing import Any

from google.protobuf.message import DecodeError

from bert_jax.errors import UserError
from bert_jax.text.document import Document, unreadable
from bert_jax.text.tfds_split import AGAIN, PREFIX, TfdsSplit

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
        self._name, self._field = name, text_field
        self._split = TfdsSplit(name, f"--input {name}")
        fields = self._split.features
        if text_field not in fields:
            raise UserError(
                f"--input {name} has no field {text_field!r} but {', '.join(sorted(fields))}; "
                "name the one that holds the text with --text_field"
            )

    @property
    def size(self) -> int:
        """Bytes of the split's files."""
        return self._split.size

    @property
    def position(self) -> int:
        """Bytes read of them."""
        return self._split.position

    def identity(self) -> list[list[Any]]:
        """Name, version, split, number of examples, bytes and field."""
        split = self._split
        return [[PREFIX, split.full_name, split.split, split.examples, split.size, self._field]]

    def documents(self) -> Iterator[Document]:
        """An example a document."""
        from tensorflow_datasets.proto import tf_example_pb2

        for path, number, data in self._split.records():
            yield self._document(tf_example_pb2.Example, data, path, number)

    def _document(self, example: Any, data: bytes | None, file: str, number: int) -> Document:
        try:
            if data is None:
                raise DecodeError
            feature = example.FromString(data).features.feature[self._field]
            text = feature.bytes_list.value[0].decode() if feature.bytes_list.value else ""
        except (DecodeError, UnicodeDecodeError) as error:
            is_text = isinstance(error, UnicodeDecodeError)
            what = (
                "no UTF-8 text; name another field with --text_field" if is_text else f"truncated or damaged; {AGAIN}"
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
