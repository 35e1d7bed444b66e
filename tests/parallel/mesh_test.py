"""Meshes that fit and the words for those that do not."""

import dataclasses

import jax
import pytest

from bert_jax.config import MeshConfig, ModelConfig, PhaseConfig
from bert_jax.errors import UserError
from bert_jax.parallel.mesh import batch_shards, check_batch, check_clip_pieces, groups_line, make_mesh, most_shards


@pytest.mark.parametrize(
    ("config", "sizes"),
    [
        (MeshConfig(), (1, 8, 1, 1)),
        (MeshConfig(data=2, fsdp=2, tensor=2), (1, 2, 2, 2)),
        (MeshConfig(data=-1, fsdp=2), (1, 4, 2, 1)),
        (MeshConfig(data=1, fsdp=-1), (1, 1, 8, 1)),
        (MeshConfig(data=2, tensor=-1), (1, 2, 1, 4)),
        (MeshConfig(replica=4), (4, 2, 1, 1)),
        (MeshConfig(data=2, fsdp=2, replica=2), (2, 2, 2, 1)),
    ],
)
def test_the_devices_are_laid_out_as_asked(config, sizes):
    mesh = make_mesh(config)
    assert tuple(mesh.shape.items()) == tuple(zip(("replica", "data", "fsdp", "tensor"), sizes, strict=True))
    assert sorted(device.id for device in mesh.devices.flat) == sorted(device.id for device in jax.devices())
    assert batch_shards(mesh) == sizes[0] * sizes[1] * sizes[2]


@pytest.mark.parametrize(
    ("config", "hidden_size", "replica"),
    [
        (MeshConfig(), 96, 1),
        (MeshConfig(), 20, 2),  # cut over 4
        (MeshConfig(), 25, 8),  # not at all
        (MeshConfig(fsdp=2), 20, 1),  # over 4 of data, which is all
        (MeshConfig(fsdp=2), 10, 2),
        (MeshConfig(data=8), 20, 1),  # as asked
        (MeshConfig(replica=1), 20, 1),
    ],
    ids=str,
)
def test_weights_are_cut_over_as_many_as_divide_them_unless_the_config_says(config, hidden_size, replica):
    assert make_mesh(config, model=ModelConfig(hidden_size=hidden_size)).shape["replica"] == replica


@pytest.mark.parametrize(
    ("devices", "hidden_size", "on_tpu", "elsewhere"),
    [
        (2048, 1024, 128, 1024),
        (128, 1024, 128, 128),
        (128, 768, 128, 128),  # 6 rows of 8
        (2048, 768, 128, 256),
        (96, 768, 96, 96),
        (256, 4096, 256, 256),
        (8, 100, 4, 4),
        (8, 24, 4, 8),  # 3 of 8 rows would be filled up
        (2, 4, 2, 2),  # there is nothing better
        (1, 128, 1, 1),
    ],
)
def test_a_tpus_shards_nearly_fill_their_tiles(devices, hidden_size, on_tpu, elsewhere):
    assert most_shards(devices, hidden_size, "tpu") == on_tpu
    assert most_shards(devices, hidden_size, "cpu") == elsewhere


@dataclasses.dataclass(frozen=True)
class Chip:
    """A device of a TPU, as far as a mesh looks at it."""

    coords: tuple[int, int, int]
    core_on_chip: int = 0
    platform: str = "tpu"
    device_kind: str = "TPU v4"


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (MeshConfig(replica=2, data=4), "are cut over 4 devices, and each of 2 groups has all shards"),
        (MeshConfig(replica=2, data=2, fsdp=2), "are cut over 4 devices, and each of 2 groups has all shards"),
        (MeshConfig(replica=4, data=1, tensor=2), "are cut over 2 devices, and each of 4 groups has all shards"),
        (MeshConfig(data=4, fsdp=2), ""),
    ],
)
def test_groups_are_told_of_with_all_devices_that_weights_are_cut_over(config, words):
    line = groups_line(make_mesh(config))
    assert bool(line) == bool(words)
    assert words in line


def test_groups_on_a_network_that_jax_cannot_cut():
    """An axis of 28 chips, whose factors of 2 it overlooks."""
    chips = [Chip((x, y, z)) for z in range(28) for y in range(4) for x in range(4)]
    mesh = make_mesh(MeshConfig(), chips, ModelConfig(hidden_size=1024))
    assert dict(mesh.shape) == {"replica": 7, "data": 64, "fsdp": 1, "tensor": 1}
    assert set(mesh.devices.flat) == set(chips)


def test_a_mesh_over_some_of_the_devices():
    assert make_mesh(MeshConfig(), jax.devices()[:2]).size == 2


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (MeshConfig(data=3), ["3x1x1", "8 device(s)", "product is 8"]),
        (MeshConfig(data=-1, fsdp=3), ["-1x3x1", "8 device(s)"]),
        (MeshConfig(data=-1, fsdp=-1), ["only one of", "-1"]),
        (MeshConfig(data=-1, tensor=16), ["-1x1x16", "8 device(s)"]),
        (MeshConfig(replica=3), ["replica x data x fsdp x tensor = 3x-1x1x1", "8 device(s)"]),
    ],
)
def test_a_mesh_that_does_not_fit_says_so(config, words):
    with pytest.raises(UserError) as error:
        make_mesh(config)
    assert all(word in str(error.value) for word in ["--config.mesh", *words])
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("rows", "accumulation", "fits", "remedy"),
    [(16, 1, True, ""), (16, 2, True, ""), (100, 1, False, "use 96 or 104"), (8, 2, False, "use 16")],
)
def test_a_batch_divides_over_shards_and_accumulation(rows, accumulation, fits, remedy):
    mesh, phase = make_mesh(MeshConfig(data=4, fsdp=2)), PhaseConfig(global_batch_size=rows)
    if fits:
        check_batch(mesh, phase, accumulation)
        return
    with pytest.raises(UserError, match=f"global_batch_size={rows} .* 8 batch shards .*{remedy}$"):
        check_batch(mesh, phase, accumulation)


def test_fewer_packed_rows_which_would_leave_sequences_out_are_not_proposed():
    mesh, phase = make_mesh(MeshConfig()), PhaseConfig(global_batch_size=80, packed_rows=40)
    with pytest.raises(
        UserError, match=r"packed_rows=40 .*; give --config.phases\[N\].packed_rows=48; .* that divide 40$"
    ):
        check_batch(mesh, phase, 2)


def test_tensor_parallel_devices_hold_the_same_rows():
    check_batch(make_mesh(MeshConfig(data=1, tensor=8)), PhaseConfig(global_batch_size=3), 1)


def test_pieces_divide_over_the_shards():
    mesh = make_mesh(MeshConfig(data=2, fsdp=2, tensor=2))
    for pieces in (1, 4, 12):
        check_clip_pieces(mesh, pieces)
    with pytest.raises(UserError, match=r"clip_pieces=6 .* 4 batch shards; use a multiple of 4"):
        check_clip_pieces(mesh, 6)


def test_layers_that_share_their_weights_have_no_fsdp():
    shared = ModelConfig(num_hidden_layers=4, num_hidden_groups=2)
    for model, sizes in ((shared, (1, 4, 1, 2)), (ModelConfig(num_hidden_layers=4), (1, 2, 2, 2))):
        assert tuple(make_mesh(MeshConfig(data=2, fsdp=2, tensor=2), model=model).shape.values()) == sizes
    assert tuple(make_mesh(MeshConfig(fsdp=4), model=shared).shape.values()) == (1, 8, 1, 1)
