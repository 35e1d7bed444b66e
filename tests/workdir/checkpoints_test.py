"""Checkpoints as files: the same bits back, on any mesh, and whole ones only, also when the disk is full."""

import logging
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from bert_jax.config import MeshConfig, OptimizerConfig, PhaseConfig
from bert_jax.errors import UserError
from bert_jax.model.pretraining import pretraining_model
from bert_jax.parallel.mesh import make_mesh
from bert_jax.training.optimizer import make_optimizer
from bert_jax.training.state import abstract_state, state_shardings
from bert_jax.workdir.checkpoints import Checkpoints


def make_state(seed=0, sizes=(8, 1, 1), width=16):
    """A small state of our form, with numbers of every kind, sharded over the devices."""
    mesh = make_mesh(MeshConfig(*sizes))
    random = np.random.default_rng(seed)
    kernel = random.normal(size=(width, 8)).astype(np.float32)
    kernel.flat[:5] = np.float32([np.inf, -0.0, 1e-45, np.nan, 3.4e38])  # what an inexact copy would change
    rows = NamedSharding(mesh, P(("data", "fsdp"), "tensor"))
    whole = NamedSharding(mesh, P())
    return {
        "step": jax.device_put(np.int32(seed), whole),
        "params": {"encoder": {"kernel": jax.device_put(kernel, rows), "bias": jax.device_put(kernel[0], whole)}},
        "opt_state": {"adam": {"mu": jax.device_put(-kernel, rows)}},
    }


def target_of(state):
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding), state)


def assert_same_bits(ours, expected):
    def check(mine, theirs):
        assert (mine.dtype, mine.shape) == (theirs.dtype, theirs.shape)
        assert np.asarray(mine).tobytes() == np.asarray(theirs).tobytes()

    jax.tree.map(check, ours, expected)


def test_the_same_bits_come_back(tmp_path):
    state = make_state(7)
    with Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.latest_step() is None
        checkpoints.save(7, state, {"step": 7, "why": "test"})
    with Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.latest_step() == 7
        restored = checkpoints.restore(7, target_of(state))
        assert checkpoints.description(7) == {"why": "test", "step": 7, "digests": "digests.json"}
    assert_same_bits(restored, state)
    assert jax.tree.map(lambda leaf: leaf.sharding, restored) == jax.tree.map(lambda leaf: leaf.sharding, state)


def test_what_all_devices_have_is_in_one_piece(tmp_path):
    """Else each host of a job would write its part and read all others', and a file of each other host besides."""
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, make_state(), {})
    tree = ocp.PyTreeCheckpointer().metadata(tmp_path / "1" / "state").item_metadata.tree
    pieces = {name: array.storage.chunk_shape for name, array in tree["params"]["encoder"].items()}
    assert pieces == {"kernel": (2, 8), "bias": (8,)}
    assert not (tmp_path / "1" / "state" / "array_metadatas").exists()


def test_what_is_changed_after_save_is_not_what_is_saved(tmp_path):
    """Writing goes on in the background while the next step takes over the state's memory."""
    state = make_state(3, width=1024)
    expected = jax.tree.map(np.asarray, state)
    overwrite = jax.jit(lambda state: jax.tree.map(jnp.zeros_like, state), donate_argnums=0)
    with Checkpoints(tmp_path) as checkpoints:
        target = target_of(state)
        checkpoints.save(3, state, {})
        jax.block_until_ready(overwrite(state))
        checkpoints.wait()
        assert_same_bits(checkpoints.restore(3, target), expected)


@pytest.mark.parametrize("sizes", [(2, 2, 2), (1, 1, 8), (1, 8, 1)], ids=str)
def test_another_mesh_reads_the_same_bits(tmp_path, sizes):
    state = make_state(1, (8, 1, 1))
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, state, {})
        checkpoints.wait()
        other = make_state(2, sizes)
        restored = checkpoints.restore(1, target_of(other))
    assert_same_bits(restored, state)
    kernel = restored["params"]["encoder"]["kernel"]
    assert kernel.sharding == other["params"]["encoder"]["kernel"].sharding


def test_the_real_state_goes_onto_another_mesh(tmp_path, model_config):
    model, optimizer = pretraining_model(model_config), make_optimizer(OptimizerConfig(), [PhaseConfig()])

    def target(sizes):
        mesh = make_mesh(MeshConfig(*sizes))
        return abstract_state(model, optimizer, state_shardings(model, optimizer, mesh, shard_over_data=True))

    random = np.random.default_rng(0)
    numbers = jax.tree.map(lambda leaf: random.normal(size=leaf.shape).astype(leaf.dtype), target((8, 1, 1)))
    lies = jax.tree.map(lambda leaf: leaf.sharding, target((2, 2, 2)))
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(5, jax.device_put(numbers, lies), {})
        checkpoints.wait()
        restored = checkpoints.restore(5, target((1, 2, 4)))
        assert_same_bits(restored, numbers)
        assert jax.tree.structure(restored) == jax.tree.structure(target((1, 2, 4)))


def test_the_newest_stay(tmp_path):
    with Checkpoints(tmp_path, keep=2) as checkpoints:
        for step in (1, 2, 3, 10):
            checkpoints.save(step, make_state(step), {"step": step})
    with Checkpoints(tmp_path, keep=2) as checkpoints:
        assert checkpoints.steps() == [3, 10]
        assert checkpoints.latest_step() == 10
        assert int(checkpoints.restore(3, target_of(make_state()))["step"]) == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["10", "3"]


def test_a_step_is_written_once(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, make_state(1), {"first": True})
        checkpoints.wait()
        checkpoints.save(1, make_state(2), {"first": False})
        assert checkpoints.description(1)["first"] is True


def test_parameters_alone(tmp_path):
    state = make_state(4)
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(4, state, {})
        checkpoints.wait()
        restored = checkpoints.restore(4, {"params": target_of(state)["params"]})
    assert restored.keys() == {"params"}
    assert_same_bits(restored["params"], state["params"])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda encoder: encoder | {"kernel": (24, 8)}, ["params/encoder/kernel", "(16, 8)", "(24, 8)"]),
        (lambda encoder: encoder | {"scale": (8,)}, ["params/encoder/scale", "absent", "(8,)"]),
    ],
)
def test_another_architecture_names_the_first_parameter_that_differs(tmp_path, change, words):
    state = make_state(6)
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(6, state, {})
        checkpoints.wait()
        target = target_of(state)
        shapes = change({name: leaf.shape for name, leaf in target["params"]["encoder"].items()})
        sharding = target["step"].sharding
        target["params"]["encoder"] = {
            name: jax.ShapeDtypeStruct(shape, np.float32, sharding=sharding) for name, shape in shapes.items()
        }
        with pytest.raises(UserError) as error:
            checkpoints.restore(6, target)
    assert all(word in str(error.value) for word in [f"{tmp_path}/6", *words])
    assert "\n" not in str(error.value)
    with Checkpoints(tmp_path) as checkpoints:  # and it is still there
        assert_same_bits(checkpoints.restore(6, target_of(state)), state)


def test_what_a_killed_run_left_half_written_is_no_checkpoint(tmp_path):
    torn = tmp_path / "2.orbax-checkpoint-tmp"  # as Orbax calls it until the last file is there
    with Checkpoints(tmp_path, keep=2) as checkpoints:
        checkpoints.save(1, make_state(1), {})
        checkpoints.save(2, make_state(2), {})
    (tmp_path / "2").rename(torn)
    next(torn.rglob("manifest.ocdbt")).unlink()
    with Checkpoints(tmp_path, read_only=True) as checkpoints:
        assert checkpoints.steps() == [1]
    assert torn.exists()  # a reader cleans up nothing
    with Checkpoints(tmp_path, keep=2) as checkpoints:
        assert checkpoints.latest_step() == 1
        checkpoints.save(2, make_state(2), {})
    with Checkpoints(tmp_path, keep=2) as checkpoints:
        assert_same_bits(checkpoints.restore(2, target_of(make_state())), make_state(2))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1", "2"]


def test_a_reader_makes_no_directory(tmp_path):
    with Checkpoints(tmp_path, read_only=True) as checkpoints:
        assert checkpoints.latest_step() is None
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def quiet():
    """Without Orbax's log: each of its threads logs its traceback, and two at once are too much for CPython 3.11.

    (python/cpython#106905: SystemError, AST constructor recursion depth mismatch. The verbs leave those lines out too.)
    """
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def save_many(directory):
    with Checkpoints(directory, keep=10) as checkpoints:
        for step in range(1, 6):
            checkpoints.save(step, make_state(step), {})


# A checkpoint of this state takes 60 to 100 kB: one always fits and five never. At these sizes it is now this file,
# now that, TensorStore's or Orbax's own, that is the first to find none.
@pytest.mark.usefixtures("quiet")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # its event loop, closed under a write
@pytest.mark.parametrize("kilobytes", [128, 136, 144, 152, 160, 168, 200, 232])
def test_a_full_disk_is_one_line_and_the_checkpoint_before_stays(small_disk, kilobytes):
    disk = small_disk(kilobytes)
    with pytest.raises(UserError) as error:
        save_many(disk / "checkpoints")
    assert f"no space left on the disk of {disk}/checkpoints" in str(error.value)
    assert "\n" not in str(error.value)
    with Checkpoints(disk / "checkpoints", read_only=True) as checkpoints:
        last = checkpoints.latest_step()
        assert_same_bits(checkpoints.restore(last, target_of(make_state())), make_state(last))
    moved = shutil.copytree(disk / "checkpoints", disk.parent / "with space")  # the same command, with space again
    with Checkpoints(moved) as checkpoints:
        checkpoints.save(last + 1, make_state(last + 1), {})
    with Checkpoints(moved) as checkpoints:
        assert_same_bits(checkpoints.restore(last + 1, target_of(make_state())), make_state(last + 1))
