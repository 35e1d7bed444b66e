"""Checkpoints that the disk or a kill has damaged, at random places: never restored, never deleted, always named."""

import json
import logging
import random
import shutil

import jax
import numpy as np
import pytest
from jax.sharding import SingleDeviceSharding

from bert_jax.errors import UserError
from bert_jax.workdir.checkpoints import Checkpoints


def make_state(step):
    numbers = np.random.default_rng(step).normal(size=(64, 32)).astype(np.float32)
    return jax.device_put({"step": np.int32(step), "params": {"kernel": numbers, "bias": numbers[0]}})


def target():
    one = SingleDeviceSharding(jax.devices()[0])
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=one), make_state(0))


def assert_restores(checkpoints, step):
    jax.tree.map(np.testing.assert_array_equal, checkpoints.restore(step, target()), make_state(step))


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    directory = tmp_path_factory.mktemp("saved") / "checkpoints"
    with Checkpoints(directory, keep=3) as checkpoints:
        for step in (1, 2, 3):
            checkpoints.save(step, make_state(step), {"step": step})
    return directory


@pytest.fixture
def directory(saved, tmp_path):
    return shutil.copytree(saved, tmp_path / "checkpoints")


def files_of(checkpoint):
    return sorted(path for path in checkpoint.rglob("*") if path.is_file())


def hurt(path, how, chance):
    """Damage a file; whether its bytes are others now."""
    data = bytearray(path.read_bytes())
    if how == "lost":
        path.unlink()
    elif how == "cut":
        path.write_bytes(data[: chance.randrange(max(1, len(data)))])
    elif data:
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        path.write_bytes(data)
    return not path.exists() or len(data) > 0


def check_damage_is_seen(directory, caplog, seed):
    """After damage to one file, what comes back is bit for bit what was saved, and no file is gone."""
    chance = random.Random(seed)
    path = chance.choice(files_of(directory / "3"))
    how = chance.choice(["lost", "cut", "flipped"])
    changed = hurt(path, how, chance)
    there = len(files_of(directory / "3"))
    caplog.set_level(logging.WARNING, logger="absl")
    with Checkpoints(directory, keep=3) as checkpoints:
        step = checkpoints.latest_step()
        assert_restores(checkpoints, step)
    aside = directory.with_name("checkpoints.set_aside") / "3.damaged"
    if changed and "state" in path.parts:
        assert step == 2, (path, how)
    if step == 2:
        assert len(files_of(aside)) == there
        assert "3 IS DAMAGED" in caplog.text
        assert str(aside) in caplog.text
        assert "resuming from the checkpoint before it, step 2" in caplog.text
    else:
        assert not aside.exists()


@pytest.mark.parametrize("seed", range(8))
def test_damage_at_a_random_place(directory, caplog, seed):
    check_damage_is_seen(directory, caplog, seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 200))
def test_damage_at_many_random_places(directory, caplog, seed):
    check_damage_is_seen(directory, caplog, seed)


def test_every_file_of_a_state_is_watched(directory):
    state = [path for path in files_of(directory / "3") if "state" in path.parts]
    assert set(json.loads((directory / "3" / "digests.json").read_text())) >= {
        str(path.relative_to(directory / "3")) for path in state
    }
    assert len(state) > 3


def test_two_damaged_ones_and_then_the_one_before(directory):
    for step in (3, 2):
        hurt(files_of(directory / str(step) / "state")[0], "lost", random)
    with Checkpoints(directory, keep=3) as checkpoints:
        assert checkpoints.steps() == [1]
        assert_restores(checkpoints, 1)
        checkpoints.save(3, make_state(3), {})
    hurt(files_of(directory / "3" / "state")[0], "lost", random)
    with Checkpoints(directory, keep=3) as checkpoints:
        assert checkpoints.steps() == [1]
    aside = directory.with_name("checkpoints.set_aside")
    assert sorted(path.name for path in aside.iterdir()) == ["2.damaged", "3.damaged", "3.damaged-2"]


def test_without_a_whole_one_the_run_stops_and_nothing_is_moved(directory):
    for step in (1, 2, 3):
        hurt(files_of(directory / str(step) / "state")[0], "lost", random)
    for _ in range(2):  # the same command again says the same
        with pytest.raises(UserError, match=r"3 is damaged.*restore one from a copy"):
            Checkpoints(directory)
    assert sorted(path.name for path in directory.iterdir()) == ["1", "2", "3"]


def test_a_reader_says_so_and_moves_nothing(directory):
    hurt(files_of(directory / "3" / "state")[0], "cut", random)
    with Checkpoints(directory, read_only=True) as checkpoints:
        with pytest.raises(UserError, match=r"checkpoints/3 is damaged \(state.*move it away"):
            checkpoints.restore(3, target())
        assert_restores(checkpoints, 2)
    assert (directory / "3").exists()


def make_older(checkpoint, *missing):
    """Make it one of an earlier version, whose description lacks these."""
    path = checkpoint / "description" / "metadata"
    description = json.loads(path.read_text())
    path.write_text(json.dumps({key: value for key, value in description.items() if key not in missing}))
    (checkpoint / "digests.json").unlink()


def test_a_checkpoint_of_before_there_were_digests_is_read_and_told(directory, caplog):
    caplog.set_level(logging.WARNING, logger="absl")
    make_older(directory / "3", "digests")
    with Checkpoints(directory, keep=3) as checkpoints:
        assert checkpoints.latest_step() == 3
        assert_restores(checkpoints, 3)
    assert "checkpoints/3 is of an earlier version, without digests" in caplog.text
    caplog.clear()
    with Checkpoints(directory, read_only=True) as checkpoints:
        assert_restores(checkpoints, 3)
        assert "checkpoints/3 is of an earlier version" in caplog.text
        caplog.clear()
        assert_restores(checkpoints, 2)
        assert caplog.text == ""


@pytest.fixture(params=["today", "of the first version with digests"])
def age(request):
    """age(checkpoint) makes its description as old as that."""

    def make(checkpoint):
        if request.param != "today":
            path = checkpoint / "description" / "metadata"
            path.write_text('{"step": 3, "owes_evaluation": false}')

    return make


def test_a_checkpoint_that_has_lost_its_digests_is_damaged(directory, caplog, age):
    caplog.set_level(logging.WARNING, logger="absl")
    age(directory / "3")
    (directory / "3" / "digests.json").unlink()
    checkpoints = Checkpoints(directory, read_only=True)
    with checkpoints, pytest.raises(UserError, match=r"checkpoints/3 is damaged \(digests.json is missing\)"):
        checkpoints.restore(3, target())
    with Checkpoints(directory, keep=3) as checkpoints:
        assert checkpoints.latest_step() == 2
        assert_restores(checkpoints, 2)
    assert "3 IS DAMAGED: digests.json is missing" in caplog.text


@pytest.mark.parametrize(
    "content",
    ["{}", "[]", "null", '{"state/manifest.ocdbt": 1}', '{"state/manifest.ocdbt": ["1", 2]}', "[" * 10**5, '{"a": []}'],
)
def test_digests_that_are_none_are_damage(directory, content):
    (directory / "3" / "digests.json").write_text(content)
    with Checkpoints(directory, keep=3) as checkpoints:
        assert checkpoints.latest_step() == 2
    assert (directory.with_name("checkpoints.set_aside") / "3.damaged").exists()


@pytest.mark.parametrize("name", ["description/metadata", "_CHECKPOINT_METADATA"])
@pytest.mark.parametrize("content", ["", "null", "[]", "{", b"\xff"])
def test_a_description_that_is_none_is_damage(directory, name, content):
    make_older(directory / "3", "digests")  # which would find it otherwise
    (directory / "3" / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with Checkpoints(directory, keep=3) as checkpoints:
        assert checkpoints.latest_step() == 2


def test_a_checkpoint_is_of_the_step_that_its_name_says(directory, caplog):
    caplog.set_level(logging.WARNING, logger="absl")
    (directory / "2").rename(directory / "6")
    checkpoints = Checkpoints(directory, read_only=True)
    with checkpoints, pytest.raises(UserError, match=r"checkpoints/6 is damaged \(it is of step 2\)"):
        checkpoints.restore(6, target())
    with Checkpoints(directory, keep=3) as checkpoints:
        assert checkpoints.steps() == [1, 3]
        assert_restores(checkpoints, 3)
    assert "CHECKPOINT" in caplog.text
    assert "6 IS DAMAGED: it is of step 2" in caplog.text


def test_the_last_torn_one_is_kept_and_named(directory, caplog):
    caplog.set_level(logging.WARNING, logger="absl")
    aside = directory.with_name("checkpoints.set_aside")
    for step in (3, 2):
        (directory / str(step)).rename(directory / f"{step}.orbax-checkpoint-tmp")
        with Checkpoints(directory, keep=3) as checkpoints:
            assert checkpoints.latest_step() == step - 1
        assert [path.name for path in aside.iterdir()] == [f"{step}.torn"]
        assert f"set aside as {aside}/{step}.torn" in caplog.text
