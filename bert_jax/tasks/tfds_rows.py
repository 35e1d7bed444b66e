"""The examples of `tfds:NAME/CONFIG:SPLIT` as rows, read without TensorFlow."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from bert_jax.errors import UserError
from bert_jax.text.tfds_split import AGAIN, TfdsSplit


def read_tfds(name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Place and fields of each example, in the order of the files; class labels by their names, if they have any.

    Raises:
      UserError: the split cannot be found or made, a record is damaged, or its text is not UTF-8.
    """
    split = TfdsSplit(name, name)
    for path, number, data in split.records():
        where = f"{path}, record {number}"
        if data is None:
            raise UserError(f"{where} is truncated or damaged; {AGAIN}")
        yield where, {key: value for key, value in _fields(split.features, data, where).items() if value is not None}


def _fields(features: Any, data: bytes, where: str) -> dict[str, Any]:
    try:
        example = features.deserialize_example_np(data)
    except Exception as error:  # protobuf's, NumPy's and TFDS' own, by what is wrong
        raise UserError(f"{where} does not fit features.json ({_first_line(error)}); {AGAIN}") from None
    try:
        return {key: _plain(value, features[key]) for key, value in example.items()}
    except UnicodeDecodeError:
        raise UserError(f"{where} has text that is not UTF-8; {AGAIN}") from None


def _plain(value: Any, feature: Any) -> Any:
    """A field as JSON would have it; None for what is no text, number or list of them."""
    if isinstance(value, dict):
        inner = getattr(feature, "feature", feature)  # of a sequence of dicts
        return {key: _plain(part, inner[key]) for key, part in value.items()}
    value = np.asarray(value)
    if value.dtype.kind not in "biufSO":
        return None
    if value.dtype.kind in "SO":
        return _texts(value.tolist())
    return _named(value.tolist(), getattr(feature, "feature", feature))


def _texts(value: Any) -> Any:
    if isinstance(value, list):
        return [_texts(part) for part in value]
    return value.decode() if isinstance(value, bytes) else value


def _named(value: Any, feature: Any) -> Any:
    """The names of classes; a number that has none, as -1 in an unlabelled test set, stays."""
    names = getattr(feature, "names", None)
    if not names or names == [str(number) for number in range(len(names))]:
        return value
    if isinstance(value, list):
        return [_named(part, feature) for part in value]
    return names[value] if 0 <= value < len(names) else value


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]
