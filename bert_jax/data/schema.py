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
          UserError: it is no tf.train.Example, or a feature is missing or has another length.
        """
        features = _features(data)
        record = {}
        for name, length, dtype in self._fields:
            values = features[name].float_list if dtype is np.float32 else features[name].int64_list
            if len(values.value) != length:
                raise UserError(f"feature {name!r} has {len(values.value)} values where {length} are expected")
            record[name] = np.array(values.value, dtype=dtype)
        return record

    def zeros(self) -> dict[str, np.ndarray]:
        """What stands for a record that is not there: padding alone, no weight on any prediction."""
        return {name: np.zeros(length, dtype) for name, length, dtype in self._fields}


def _features(data: bytes) -> Mapping[str, Any]:
    try:
        return tf_example_pb2.Example.FromString(data).features.feature
    except DecodeError:
        raise UserError("the record is no tf.train.Example") from None
