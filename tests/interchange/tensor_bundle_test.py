"""Our checkpoint files against TensorFlow itself: it reads what we write, and we what it writes."""

import re

import jax.numpy as jnp
import numpy as np
import pytest

from bert_jax.errors import UserError
from bert_jax.interchange import tensor_bundle
from bert_jax.interchange.tensor_bundle import TensorBundle, write_bundle


@pytest.fixture(scope="module")
def tf():
    return pytest.importorskip("tensorflow")


@pytest.fixture
def arrays():
    random = np.random.default_rng(0)
    return {
        "bert/pooler/dense/kernel": random.standard_normal((7, 5), dtype=np.float32),
        "bert/pooler/dense/bias": random.standard_normal(5),
        "bert/pooler/dense": random.integers(-9, 9, (2, 3, 4), np.int32),
        "global_step": np.array(1_000_000, np.int64),
        "half": random.standard_normal(300).astype(np.float16),
        "brain": random.standard_normal(300).astype(jnp.bfloat16),
        "nothing": np.zeros((0, 3), np.float32),
        "ä": np.float32([1.5]),
    }


def save(tf, prefix, arrays, slices=None):
    """What tf.train.Saver does when it is run."""
    names = list(arrays)
    tf.raw_ops.SaveV2(
        prefix=str(prefix),
        tensor_names=names,
        shape_and_slices=slices or [""] * len(names),
        tensors=[tf.constant(array) for array in arrays.values()],
    )


def read(prefix):
    bundle = TensorBundle(prefix)
    return {name: bundle.read(name) for name in bundle.shapes}


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array, strict=True)


def test_they_come_back(tmp_path, arrays):
    write_bundle(tmp_path / "model.ckpt", arrays)
    assert_same(read(tmp_path / "model.ckpt"), arrays)


def test_equal_arrays_make_equal_bytes(tmp_path, arrays):
    write_bundle(tmp_path / "one", arrays)
    write_bundle(tmp_path / "two", dict(reversed(arrays.items())))
    for file in ("index", "data-00000-of-00001"):
        assert (tmp_path / f"one.{file}").read_bytes() == (tmp_path / f"two.{file}").read_bytes()


def test_tensorflow_reads_ours(tf, tmp_path, arrays):
    write_bundle(tmp_path / "model.ckpt", arrays)
    reader = tf.train.load_checkpoint(str(tmp_path / "model.ckpt"))
    assert reader.get_variable_to_shape_map() == {name: list(array.shape) for name, array in arrays.items()}
    assert_same({name: np.asarray(reader.get_tensor(name)) for name in arrays}, arrays)


def test_we_read_tensorflows(tf, tmp_path, arrays):
    save(tf, tmp_path / "model.ckpt", arrays)
    assert_same(read(tmp_path / "model.ckpt"), arrays)


def test_an_index_of_several_blocks(tf, tmp_path):
    arrays = {
        f"bert/encoder/layer_{number}/" + "output/dense/" * 10 + "bias": np.float32([number]) for number in range(9000)
    }
    save(tf, tmp_path / "model.ckpt", arrays)
    assert (tmp_path / "model.ckpt.index").stat().st_size > 2**18  # bytes of TensorFlow's blocks
    assert_same(read(tmp_path / "model.ckpt"), arrays)


def test_data_in_several_files(tf, tmp_path, arrays):
    pieces = [dict(list(arrays.items())[:3]), dict(list(arrays.items())[3:])]
    prefixes = [str(tmp_path / f"piece{number}") for number in range(2)]
    for prefix, piece in zip(prefixes, pieces, strict=True):
        save(tf, prefix, piece)
    tf.raw_ops.MergeV2Checkpoints(checkpoint_prefixes=prefixes, destination_prefix=str(tmp_path / "model.ckpt"))
    assert (tmp_path / "model.ckpt.data-00001-of-00002").exists()
    assert_same(read(tmp_path / "model.ckpt"), arrays)


def test_a_variable_in_slices_is_named(tf, tmp_path):
    save(tf, tmp_path / "model.ckpt", {"kernel": np.zeros((4, 3), np.float32)}, slices=["8 3 0,4:0,3"])
    bundle = TensorBundle(tmp_path / "model.ckpt")
    with pytest.raises(UserError, match="kernel is no array of numbers in one piece"):
        bundle.read("kernel")


def test_text_is_named(tf, tmp_path):
    save(tf, tmp_path / "model.ckpt", {"words": np.array([b"a", b"b"])})
    with pytest.raises(UserError, match="words is no array of numbers"):
        read(tmp_path / "model.ckpt")


@pytest.mark.parametrize("place", [0, 40, -60, -1])
def test_a_damaged_index(tmp_path, arrays, place):
    write_bundle(tmp_path / "model.ckpt", arrays)
    index = tmp_path / "model.ckpt.index"
    content = bytearray(index.read_bytes())
    content[place] ^= 1
    index.write_bytes(content)
    with pytest.raises(UserError, match=r"model\.ckpt\.index is damaged"):
        TensorBundle(tmp_path / "model.ckpt")


@pytest.mark.parametrize("length", [0, 47, 200])
def test_a_truncated_index(tmp_path, arrays, length):
    write_bundle(tmp_path / "model.ckpt", arrays)
    index = tmp_path / "model.ckpt.index"
    index.write_bytes(index.read_bytes()[:length])
    with pytest.raises(UserError, match=r"model\.ckpt\.index is damaged"):
        TensorBundle(tmp_path / "model.ckpt")


def test_damaged_data_are_named(tmp_path, arrays):
    write_bundle(tmp_path / "model.ckpt", arrays)
    data = tmp_path / "model.ckpt.data-00000-of-00001"
    data.write_bytes(data.read_bytes()[:-1])
    bundle = TensorBundle(tmp_path / "model.ckpt")
    np.testing.assert_array_equal(bundle.read("half"), arrays["half"])
    with pytest.raises(UserError, match="ä is damaged or cut off"):
        bundle.read("ä")


def write_index(prefix, change):
    """An index with its entries changed, whole and with the right checksums."""
    items = dict(tensor_bundle._read_table(tensor_bundle.epath.Path(f"{prefix}.index").read_bytes()))
    entry = tensor_bundle._Entry.FromString(items[b"half"])
    change(entry)
    items[b"half"] = entry.SerializeToString(deterministic=True)
    tensor_bundle.epath.Path(f"{prefix}.index").write_bytes(tensor_bundle._table(sorted(items.items())))


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"size": 601}, "half has 601 bytes"),
        ({"size": -1}, "half has -1 bytes"),
        ({"size": 2**62}, "half has 4611686018427387904 bytes"),
        ({"offset": -1}, "half is damaged or cut off (the file ends before it)"),
        ({"offset": 2**62}, "half is damaged or cut off (the file ends before it)"),
        ({"offset": 3}, "half is damaged or cut off (CRC mismatch)"),
        ({"dtype": 1}, "half has 600 bytes"),
        ({"dtype": 7}, "half is no array of numbers"),
        ({"shard_id": 1}, "data-00001-of-00001 is missing"),
        ({"shard_id": -1}, "is missing"),
        ({"shape": {"dim": [{"size": 2**40}, {"size": 2**40}]}}, "half has 600 bytes"),
        ({"shape": {"dim": [{"size": -300}]}}, "half has 600 bytes"),
        ({"shape": {"dim": [{"size": -1}, {"size": -300}]}}, "half has 600 bytes"),
    ],
)
def test_an_index_that_lies(tmp_path, arrays, change, complaint):
    write_bundle(tmp_path / "model.ckpt", arrays)

    def lie(entry):
        for field, value in change.items():
            entry.ClearField(field)
            entry.MergeFrom(tensor_bundle._Entry(**{field: value}))

    write_index(tmp_path / "model.ckpt", lie)
    bundle = TensorBundle(tmp_path / "model.ckpt")
    np.testing.assert_array_equal(bundle.read("brain"), arrays["brain"])
    with pytest.raises(UserError, match=re.escape(complaint)) as error:
        bundle.read("half")
    assert str(tmp_path) in str(error.value)


def test_a_big_endian_machines(tmp_path, arrays):
    write_bundle(tmp_path / "model.ckpt", arrays)
    index = tensor_bundle.epath.Path(tmp_path / "model.ckpt.index")
    items = dict(tensor_bundle._read_table(index.read_bytes()))
    header = tensor_bundle._Header.FromString(items[b""])
    header.endianness = 1
    items[b""] = header.SerializeToString(deterministic=True)
    index.write_bytes(tensor_bundle._table(sorted(items.items())))
    with pytest.raises(UserError, match=r"model\.ckpt\.index was written on a big-endian machine; save it again"):
        TensorBundle(tmp_path / "model.ckpt")


def index_of_blocks(handles, block):
    """A table whose directory names `block`, at its beginning, as often as there are handles."""
    directory = tensor_bundle._block([(b"k%05d" % number, handle) for number, handle in enumerate(handles)])
    places = tensor_bundle._varints(0, 0, len(block), len(directory) - 5)
    return block + directory + tensor_bundle._FOOTER.pack(places, tensor_bundle._MAGIC)


def entries(*items):
    """A block of (bytes shared with the key before, key's other bytes, value)."""
    content = b"".join(tensor_bundle._varints(n, len(key), len(value)) + key + value for n, key, value in items)
    content += b"\0\0\0\0\1\0\0\0"
    return content + tensor_bundle._TRAILER.pack(0, tensor_bundle.masked_crc(content + b"\0"))


def test_a_small_index_that_unfolds_to_a_large_one(tmp_path):
    """Names that share a megabyte, a block that is named again and again, numbers without an end."""
    shared = entries((0, b"x" * 1_000_000, b""), *[(1_000_000, b"%06d" % number, b"") for number in range(100_000)])
    again = entries((0, b"", b""))
    endless = entries((0, b"k", b"")) + b"\xff" * 1_000_000
    for name, table in {
        "shared": index_of_blocks([tensor_bundle._varints(0, len(shared) - 5)], shared),
        "again": index_of_blocks([tensor_bundle._varints(0, len(again) - 5)] * 90_000, again),
        "endless": index_of_blocks([b"\xff" * 1_000_000], endless),
    }.items():
        (tmp_path / f"{name}.index").write_bytes(table)
        with pytest.raises(UserError, match=rf"{name}\.index is damaged"):
            TensorBundle(tmp_path / name)


def test_missing_files(tmp_path, arrays):
    with pytest.raises(UserError, match=r"absent\.ckpt\.index does not exist"):
        TensorBundle(tmp_path / "absent.ckpt")
    write_bundle(tmp_path / "model.ckpt", arrays)
    (tmp_path / "model.ckpt.data-00000-of-00001").unlink()
    with pytest.raises(UserError, match="data-00000-of-00001 is missing"):
        TensorBundle(tmp_path / "model.ckpt").read("half")
