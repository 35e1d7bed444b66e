"""Instances as serialized tf.train.Examples: the features of schema.py, padded with 0, in protobuf's wire format.

The bytes are those of Example.SerializeToString(deterministic=True). The format
(https://protobuf.dev/programming-guides/encoding) is nested here in this way, where each level is preceded by a tag
and its length in bytes:

    Example.features > Features.feature, an entry for each name, sorted > key, and value > Feature.int64_list > values
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bert_jax.data.compiled import ZERO, compiled
from bert_jax.data.flat_corpus import FlatCorpus
from bert_jax.data.instances import B_END, B_START, IN_ORDER, Instances, Rules, lay_out
from bert_jax.data.masking import MaskingRules

_BATCH = 256  # records
_LONGEST_VARINT = 5  # bytes of an id below 2^31
_HEADERS = 64  # bytes of a feature that are not values, at most

# A tag is the number of a field and, in its last three bits, 2: a length follows.
_FIRST, _SECOND, _THIRD = np.array([1, 2, 3]) << 3 | 2
_FLOAT_LIST, _INT64_LIST = _SECOND, _THIRD  # of Feature

# In the order of their names, as they are written.
_INPUT_IDS, _INPUT_MASK, _LABELS, _POSITIONS, _WEIGHTS, _NEXT_SENTENCE, _SEGMENT_IDS = np.arange(7)
_NAMES = (
    b"input_ids",
    b"input_mask",
    b"masked_lm_ids",
    b"masked_lm_positions",
    b"masked_lm_weights",
    b"next_sentence_labels",
    b"segment_ids",
)
_NAME_SIZES = np.array([len(name) for name in _NAMES])
_NAME_BYTES = np.array([list(name.ljust(_NAME_SIZES.max())) for name in _NAMES], np.uint8)
_ONE = np.frombuffer(np.float32(1).tobytes(), np.uint8)


class _Packed(NamedTuple):
    """The values of a record's features as bytes."""

    content: NDArray[np.uint8]  # [features, bytes]
    sizes: NDArray[np.int64]  # of each, in bytes


def encoded(
    corpus: FlatCorpus, instances: Instances, order: NDArray[np.int64], rules: Rules, max_predictions_per_seq: int
) -> Iterator[bytes]:
    """Yield the record of each of `instances`, in `order`."""
    longest_feature = _HEADERS + _LONGEST_VARINT * rules.max_seq_length
    packed = _Packed(np.empty((len(_NAMES), longest_feature), np.uint8), np.empty(len(_NAMES), np.int64))
    out = np.empty(_BATCH * len(_NAMES) * longest_feature, np.uint8)
    ends = np.empty(_BATCH, np.int64)
    tokens = np.empty(rules.max_seq_length, np.int32)
    for first in range(0, len(order), _BATCH):
        batch = order[first : first + _BATCH]
        _encode(corpus.tokens, instances, batch, rules.masking, tokens, max_predictions_per_seq, packed, out, ends)
        start = 0
        for end in ends[: len(batch)].tolist():
            yield out[start:end].tobytes()
            start = end


@compiled
def _encode(
    corpus_tokens: NDArray[np.int32],
    instances: Instances,
    numbers: NDArray[np.int64],
    masking: MaskingRules,
    tokens: NDArray[np.int32],
    max_predictions: int,
    packed: _Packed,
    out: NDArray[np.uint8],
    ends: NDArray[np.int64],
) -> None:
    """Write the records of the instances of these `numbers` to `out`, one after another, and where each ends.

    `tokens` and `packed` are buffers, allocated once.
    """
    at = ZERO
    for record, number in enumerate(numbers):
        segments = instances.segments[number]
        length = lay_out(corpus_tokens, segments, masking, tokens)
        start, stop = instances.predictions_start[number], instances.predictions_start[number + 1]
        positions, replacements = instances.positions[start:stop], instances.replacements[start:stop]
        _pack_predictions(tokens, positions, replacements, max_predictions, packed)
        second_length = segments[B_END] - segments[B_START]
        _pack_sequence(tokens, length, second_length + (second_length > 0), packed)
        _pack_ones(_NEXT_SENTENCE, ZERO, ZERO + (instances.relations[number] != IN_ORDER), ZERO + 1, packed)
        at = _put_example(out, at, packed)
        ends[record] = at


@compiled
def _pack_predictions(
    tokens: NDArray[np.int32],
    positions: NDArray[np.int32],
    replacements: NDArray[np.int32],
    length: int,
    packed: _Packed,
) -> None:
    """Pack positions, labels and weights, and put the replacements into `tokens`."""
    labels_size = positions_size = ZERO
    packed.content[_WEIGHTS, : 4 * length] = 0
    for number in range(len(positions)):
        position = positions[number]
        labels_size = _put_varint(packed.content[_LABELS], labels_size, tokens[position])
        positions_size = _put_varint(packed.content[_POSITIONS], positions_size, position)
        for byte in range(4):
            packed.content[_WEIGHTS, 4 * number + byte] = _ONE[byte]
        tokens[position] = replacements[number]
    padding = length - len(positions)
    _pad(_LABELS, labels_size, padding, packed)
    _pad(_POSITIONS, positions_size, padding, packed)
    packed.sizes[_WEIGHTS] = 4 * length


@compiled
def _pack_sequence(tokens: NDArray[np.int32], length: int, second_length: int, packed: _Packed) -> None:
    """Pack the features of the sequence's length; `second_length` is that of B and its [SEP], if there is B."""
    size = ZERO
    for number in range(length):
        size = _put_varint(packed.content[_INPUT_IDS], size, tokens[number])
    _pad(_INPUT_IDS, size, len(tokens) - length, packed)
    _pack_ones(_INPUT_MASK, ZERO, length, len(tokens), packed)
    _pack_ones(_SEGMENT_IDS, length - second_length, length, len(tokens), packed)


@compiled
def _pad(feature: int, size: int, padding: int, packed: _Packed) -> None:
    """Append `padding` zeros to what is packed of a feature."""
    packed.content[feature, size : size + padding] = 0
    packed.sizes[feature] = size + padding


@compiled
def _pack_ones(feature: int, start: int, end: int, length: int, packed: _Packed) -> None:
    """Pack `length` values that are 1 from `start` to `end`, and 0 elsewhere."""
    packed.content[feature, :length] = 0
    packed.content[feature, start:end] = 1
    packed.sizes[feature] = length


@compiled
def _put_example(out: NDArray[np.uint8], at: int, packed: _Packed) -> int:
    """Write an Example to `out` at `at`, and return where it ends. All `_put` functions do so."""
    features_size = ZERO
    for feature in range(len(packed.sizes)):
        features_size += _field_size(_entry_size(feature, packed.sizes[feature]))
    at = _put_field(out, at, _FIRST, features_size)  # Example.features
    for feature in range(len(packed.sizes)):
        at = _put_entry(out, at, feature, packed)
    return at


@compiled
def _entry_size(feature: int, size: int) -> int:
    """Bytes of an entry of Features.feature whose packed values have `size` bytes."""
    return _field_size(_NAME_SIZES[feature]) + _field_size(_field_size(_field_size(size)))


@compiled
def _put_entry(out: NDArray[np.uint8], at: int, feature: int, packed: _Packed) -> int:
    """Write an entry of Features.feature."""
    size = packed.sizes[feature]
    at = _put_field(out, at, _FIRST, _entry_size(feature, size))  # Features.feature
    at = _put_field(out, at, _FIRST, _NAME_SIZES[feature])  # key
    for byte in range(_NAME_SIZES[feature]):  # a loop, since Numba compiles slice = slice for seconds
        out[at + byte] = _NAME_BYTES[feature, byte]
    at += _NAME_SIZES[feature]
    at = _put_field(out, at, _SECOND, _field_size(_field_size(size)))  # value
    at = _put_field(out, at, _FLOAT_LIST if feature == _WEIGHTS else _INT64_LIST, _field_size(size))
    at = _put_field(out, at, _FIRST, size)  # values
    for byte in range(size):
        out[at + byte] = packed.content[feature, byte]
    return at + size


@compiled
def _put_field(out: NDArray[np.uint8], at: int, tag: int, size: int) -> int:
    """Write what precedes a field of `size` bytes."""
    out[at] = tag
    return _put_varint(out, at + 1, size)


@compiled
def _field_size(size: int) -> int:
    """Bytes of a field whose content has `size`: with its tag, and its length as a varint."""
    total = size + 2
    while size >= 128:
        size >>= 7
        total += 1
    return total


@compiled
def _put_varint(out: NDArray[np.uint8], at: int, value: int) -> int:
    """Write a number, seven bits a byte."""
    while value >= 128:
        out[at] = value & 127 | 128
        value >>= 7
        at += 1
    out[at] = value
    return at + 1
