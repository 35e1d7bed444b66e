"""Our checkpoint files against TensorFlow itself: it reads what we write, and we what it writes."""

import jax.numpy as jnp
import numpy as np
import pytest

from bert_jax.errors import UserError
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


def test_missing_files(tmp_path, arrays):
    with pytest.raises(UserError, match=r"absent\.ckpt\.index does not exist"):
        TensorBundle(tmp_path / "absent.ckpt")
    write_bundle(tmp_path / "model.ckpt", arrays)
    (tmp_path / "model.ckpt.data-00000-of-00001").unlink()
    with pytest.raises(UserError, match="data-00000-of-00001 is missing"):
        TensorBundle(tmp_path / "model.ckpt").read("half")
