import errno

import numpy as np
import pytest

from bert_jax.storage.array_file import read_array, write_array


@pytest.mark.parametrize("array", [np.arange(12).reshape(4, 3), np.arange(5, dtype=np.int32), np.zeros((0, 3), int)])
def test_what_is_written_is_read(tmp_path, array):
    write_array(tmp_path / "a.npy", array)
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), array)
    np.testing.assert_array_equal(read_array(tmp_path / "a.npy", array.dtype.type, *array.shape[1:]), array)


def test_a_full_disk_is_told_as_such(small_disk):
    disk = small_disk(100)
    with pytest.raises(OSError, match=r"a\.npy") as raised:  # NumPy's own way to a file forgets why
        write_array(disk / "a.npy", np.zeros((100, 1000), np.float32))
    assert raised.value.errno == errno.ENOSPC
    assert list(disk.iterdir()) == []
