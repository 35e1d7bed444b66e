"""One split of a TensorFlow Datasets dataset, `tfds:NAME/CONFIG:SPLIT`, as records, read without TensorFlow.

TFDS finds the files of the split and their schema; their records are read here, TFRecord or ArrayRecord.
TFDS_DATA_DIR is where datasets are (default: ~/tensorflow_datasets), or the name is a dataset's own directory, local
or gs://. What is not there yet is downloaded if TFDS can do that here.
"""

import re
from collections.abc import Iterator
from typing import Any

from etils import epath

from bert_jax.errors import UserError
from bert_jax.storage.tfrecord_frame import FOOTER_BYTES, FRAMING_BYTES, HEADER_BYTES, data_length, frame_data

PREFIX = "tfds:"
AGAIN = "get the dataset again"

_NAME = re.compile(rf"{PREFIX}(?P<dataset>.+):(?P<split>[a-zA-Z_]\w*(\[[^]]*\])?)")


class TfdsSplit:
    """The records of one split."""

    def __init__(self, name: str, given: str) -> None:
        """Find the dataset that `name` means, and prepare it if it is not there; `given` is what messages call it.

        Raises:
          UserError: there is none, it can be neither found nor downloaded, or it lacks the split.
        """
        parts = _NAME.fullmatch(name)
        if parts is None:
            raise UserError(f"{given} names no split; write tfds:NAME/CONFIG:SPLIT, as in tfds:wiki40b/en:train")
        self.split, self._given = parts["split"], given
        self._builder = _builder(given, parts["dataset"])
        self._files = self._instructions()
        self.position = 0  # bytes read

    @property
    def features(self) -> Any:
        """The fields of an example, TFDS' FeaturesDict."""
        return self._builder.info.features or {}

    @property
    def full_name(self) -> str:
        """Name, configuration and version."""
        return self._builder.info.full_name

    @property
    def size(self) -> int:
        """Bytes of the split's files."""
        return sum(epath.Path(file.filename).stat().length for file in self._files)

    @property
    def examples(self) -> int:
        """How many there are."""
        return sum(len(_wanted(file)) for file in self._files)

    def records(self) -> Iterator[tuple[str, int, bytes | None]]:
        """File, number in it, from 1, and a tf.train.Example's bytes; None for one whose checksum is wrong."""
        self.position = 0
        for file in self._files:
            path, wanted, number = epath.Path(file.filename), _wanted(file), 0
            for number, data in enumerate(self._all_records(path), start=1):
                if number in wanted:
                    yield str(path), number, data
            if number < wanted.stop - 1:
                raise UserError(f"{path} is truncated: of {wanted.stop - 1} records {number} are there; {AGAIN}")

    def _instructions(self) -> list[Any]:
        try:
            return list(self._builder.info.splits[self.split].file_instructions)
        except (KeyError, ValueError, AssertionError) as error:
            there = ", ".join(self._builder.info.splits) or "none"
            why = " ".join(str(error).split())[:200]
            raise UserError(f"{self._given}: there is no such split ({why}); there is {there}") from None

    def _all_records(self, path: epath.Path) -> Iterator[bytes | None]:
        before = self.position
        read = _array_records if ".array_record" in path.name else _tfrecords
        for size, data in read(path):
            self.position += size
            yield data
        self.position = before + path.stat().length


def _wanted(file: Any) -> range:
    """The numbers, from 1, of the records of a file that belong to the split, which may be a slice: train[:10%]."""
    end = file.examples_in_shard if file.take == -1 else file.skip + file.take
    return range(file.skip + 1, end + 1)


def _builder(given: str, dataset: str) -> Any:
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
            f"{given} is not prepared here, and making it needs more ({error}); run launch/setup.sh tfds, "
            f"or run `tfds build {dataset}` where that works and copy its directory"
        ) from None
    except Exception as error:  # whatever the code of a thousand datasets raises: no network, no TensorFlow, no space
        if isinstance(error, OSError) and error.errno is not None:
            raise
        why = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        if epath.Path(dataset).is_dir():
            raise UserError(
                f"{given}: dataset_info.json and features.json there cannot be read ({why}); get the dataset "
                "again, or give the directory that TFDS wrote them to"
            ) from None
        raise UserError(
            f"{given} is not prepared in $TFDS_DATA_DIR (or ~/tensorflow_datasets), and TFDS cannot make it "
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
            raise UserError(f"{path} is damaged after record {number}; {AGAIN}") from None
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
                raise UserError(f"{path}, record {number} is truncated or damaged; {AGAIN}")
            left -= length + FRAMING_BYTES
            yield length + FRAMING_BYTES, frame_data(header + file.read(length + FOOTER_BYTES))
