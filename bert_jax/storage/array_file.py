"""Arrays of numbers kept as .npy: written whole, and read only where they are what we write."""

import io
from typing import Any, BinaryIO, TypeVar

import numpy as np
from etils import epath
from numpy.typing import NDArray

from bert_jax.storage.cloud import read_whole
from bert_jax.storage.whole_file import whole_file

_HEADER = 128  # bytes before the values: NumPy pads its header to a multiple of 64, and those of our arrays to this

_Number = TypeVar("_Number", np.int32, np.int64)


def write_array(path: epath.PathLike, array: NDArray[Any]) -> None:
    """Write a .npy file. An OSError has its errno."""
    with whole_file(path) as file:
        np.save(_Written(file), array)


def read_array(path: epath.PathLike, dtype: type[_Number], *columns: int) -> NDArray[_Number] | None:
    """The array [rows, *columns] in a file; None if the file is not, byte for byte, what `write_array` makes of one.

    No memory is allocated by what a damaged header holds. An OSError says that there is no file.
    """
    content = read_whole(path)
    try:
        array = np.frombuffer(content, dtype, offset=_HEADER).reshape(-1, *columns)
    except ValueError:  # it is too short, or ends in the middle of a row
        return None
    return array if _npy(array) == content else None


class _Written:
    """A file that NumPy writes to as to any stream: its own way to a disk raises an OSError without errno."""

    def __init__(self, file: BinaryIO) -> None:
        self.write = file.write


def _npy(array: NDArray[_Number]) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()
