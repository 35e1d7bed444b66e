"""What a record is: BERT's seven features, under the original program's names, as tf.train.Example.

Declared once, as TFDS features; the bytes are the ones TFDS and TensorFlow read and write. The conversion
below uses the same protobuf classes as TFDS, without its checks for nested and ragged features, which take most of
the time.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from google.protobuf.message import DecodeError
from tensorflow_datasets.proto import tf_example_pb2

from bert_jax.errors import UserError


def record_features(max_seq_length: int, max_predictions_per_seq: int) -> tfds.features.FeaturesDict:
    """The declaration of a record; every feature is padded with 0 to its full length."""

    def tensor(length: int, dtype: Any) -> tfds.features.Tensor:
        return tfds.features.Tensor(shape=(length,), dtype=dtype)

    return tfds.features.FeaturesDict(
        {
            "input_ids": tensor(max_seq_length, np.int64),
            "input_mask": tensor(max_seq_length, np.int64),  # 1 where there is a token, 0 on padding
            "segment_ids": tensor(max_seq_length, np.int64),  # 0: [CLS] A [SEP], 1: B [SEP]
            "masked_lm_positions": tensor(max_predictions_per_seq, np.int64),  # ascending
            "masked_lm_ids": tensor(max_predictions_per_seq, np.int64),  # what was there before masking
            "masked_lm_weights": tensor(max_predictions_per_seq, np.float32),  # 1 a prediction, 0 padding
            "next_sentence_labels": tensor(1, np.int64),  # 0: B follows A, 1: B is from elsewhere
        }
    )


def record_sizes(data: bytes) -> tuple[int, int]:
    """max_seq_length and max_predictions_per_seq of a serialized record; UserError if it is none of BERT's."""
    features = _features(data)
    lengths = [len(features[name].int64_list.value) for name in ("input_ids", "masked_lm_positions")]
    if not all(lengths):
        raise UserError("the record has no input_ids or no masked_lm_positions")
    return lengths[0], lengths[1]


def is_alberts(data: bytes) -> bool:
    """Whether a serialized record is of ALBERT's script, which adds a feature that nothing here reads."""
    return "token_boundary" in _features(data)


class RecordFormat:
    """Converts records of one size between bytes and arrays. Thread-safe."""

    def __init__(self, max_seq_length: int, max_predictions_per_seq: int) -> None:
        self.features = record_features(max_seq_length, max_predictions_per_seq)
        self._fields = [
            (name, feature.shape[0], np.float32 if feature.np_dtype == np.float32 else np.int32)
            for name, feature in self.features.items()
        ]

    def serialize(self, record: Mapping[str, Sequence[Any]]) -> bytes:
        """A record's full-length lists of Python numbers as a serialized tf.train.Example; always the same bytes."""
        example = tf_example_pb2.Example()
        features = example.features.feature
        for name, _, dtype in self._fields:
            values = features[name].float_list if dtype is np.float32 else features[name].int64_list
            values.value[:] = record[name]
        return example.SerializeToString(deterministic=True)

    def parse(self, data: bytes) -> dict[str, np.ndarray]:
        """A record's features: int32 arrays, and float32 masked_lm_weights. int64 is only the storage format.

        Raises:
          UserError: it is no tf.train.Example, or a feature is missing, has another length or numbers beyond 32 bits.
        """
        features = _features(data)
        record = {}
        for name, length, dtype in self._fields:
            values = features[name].float_list if dtype is np.float32 else features[name].int64_list
            numbers = values.value[:]  # a list, of which NumPy makes an array sooner
            if len(numbers) != length:
                raise UserError(f"feature {name!r} has {len(numbers)} values where {length} are expected")
            try:
                record[name] = np.array(numbers, dtype=dtype)
            except OverflowError:
                raise UserError(f"feature {name!r} holds {max(numbers, key=abs)}, which is beyond 32 bits") from None
        return record

    def zeros(self, *records: int) -> dict[str, np.ndarray]:
        """What stands for a record that is not there, or for so many: padding alone, no weight on any prediction."""
        return {name: np.zeros((*records, length), dtype) for name, length, dtype in self._fields}


def stack(records: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """The records' features, each [number of records, length]."""
    return {name: np.stack([record[name] for record in records]) for name in records[0]}


def faults(records: Mapping[str, np.ndarray], vocab_size: int) -> dict[int, str]:
    """What is wrong with numbers that a model would take for others: row of a damaged record -> what it holds.

    Args:
      records: their features, each [records, length], as `stack` makes them.
      vocab_size: one more than the largest id.
    """
    length = records["input_ids"].shape[1]
    ends = {"input_ids": vocab_size, "segment_ids": 2, "masked_lm_positions": length, "masked_lm_ids": vocab_size}
    found: dict[int, str] = {}
    for name, end in (ends | {"next_sentence_labels": 2}).items():
        values = records[name]
        unsigned = values.view(np.uint32)  # negative numbers become the largest: one comparison for both ends
        if unsigned.max(initial=0) >= end:
            for row, column in np.argwhere(unsigned >= end).tolist():
                found.setdefault(row, f"{name} holds {values[row, column]}, which is not from 0 to {end - 1}")
    tokens = _ones(records, "input_mask", found)
    _ones(records, "masked_lm_weights", found)
    on_padding = (records["masked_lm_positions"] >= tokens) & (records["masked_lm_weights"] > 0)
    for row in np.flatnonzero(on_padding.any(1)).tolist():
        found.setdefault(row, "masked_lm_positions holds one of padding")
    return found


def _ones(records: Mapping[str, np.ndarray], name: str, found: dict[int, str]) -> np.ndarray:
    """How many ones each record has, [records, 1]; a record in which other than zeros follows on them is `found`."""
    values = records[name]
    number = values.sum(1, keepdims=True, dtype=values.dtype)  # one dtype throughout: half the time
    wrong = values != (np.arange(values.shape[1], dtype=values.dtype) < number)
    if wrong.any():
        for row in np.flatnonzero(wrong.any(1)).tolist():
            found.setdefault(row, f"{name} is not so many times 1, and then 0")
    return number


def _features(data: bytes) -> Mapping[str, Any]:
    try:
        return tf_example_pb2.Example.FromString(data).features.feature
    except DecodeError:
        raise UserError("the record is no tf.train.Example") from None
