"""Arrays of numbers kept as .npy beside the shards: written whole, and read only where they are what we write."""

import io
from typing import TypeVar

import numpy as np
from etils import epath
from numpy.typing import NDArray

from bert_jax.storage.whole_file import whole_file

_HEADER = 128  # bytes before the values: NumPy fills up to there what it says of an array

_Number = TypeVar("_Number", np.int32, np.int64)


def write_array(path: epath.PathLike, array: NDArray[_Number]) -> None:
    """Write a .npy file; an OSError says what happened."""
    with whole_file(path) as file:
        file.write(_npy(array))  # np.save to the file itself tells of a full disk without the errno


def read_array(path: epath.PathLike, dtype: type[_Number], *columns: int) -> NDArray[_Number] | None:
    """The array [rows, *columns] in a file; None if the file is not, byte for byte, what `write_array` makes of one.

    Nothing that a damaged header says is followed, such as a length to make room for.
    """
    content = epath.Path(path).read_bytes()  # at once: from afar each read is a request
    try:
        array = np.frombuffer(content, dtype, offset=_HEADER).reshape(-1, *columns)
    except ValueError:  # it is too short, or ends in the middle of a row
        return None
    return array if _npy(array) == content else None


def _npy(array: NDArray[_Number]) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()
