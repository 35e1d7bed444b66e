import math

import pytest
from jax._src.pallas.mosaic import tpu_info

from bert_jax.errors import UserError
from bert_jax.planning.topologies import CHIPS, KNOWN, parse_topology

JAX_NAMES = {"v2": "TPU_V2", "v3": "TPU_V3", "v4": "TPU_V4", "v5e": "TPU_V5E", "v5p": "TPU_V5P", "v6e": "TPU_V6E"}


@pytest.mark.parametrize(
    ("name", "chips", "devices"),
    [
        ("v2:2x2", 4, 8),
        ("v3:8x8", 64, 128),  # the paper's
        ("v4:4x4x4", 64, 64),
        ("v5e:1x1", 1, 1),
        ("v5p:2x2x1", 4, 4),
        ("tpu7x:2x2x1", 4, 8),
        ("cpu:8", 1, 8),
    ],
)
def test_chips_are_paid_for_and_devices_are_seen(name, chips, devices):
    topology = parse_topology(name)
    assert (topology.chips, topology.devices) == (chips, devices)


@pytest.mark.parametrize("name", ["v9:2x2", "v3", "v3:", "v3:8*8", "v3:0x8", "tpu", "", "cpu:-1", "V3:8x8"])
def test_an_unknown_name_is_answered_with_the_known_ones(name):
    with pytest.raises(UserError) as caught:
        parse_topology(name)
    assert KNOWN in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["v3:8", "v3:8x8x8", "v3:3x3", "v4:2x2", "v5e:32x16", "v5e:1x2"])
def test_a_shape_that_no_slice_has(name):
    with pytest.raises(UserError, match="a slice of"):
        parse_topology(name)


def test_a_gpu_is_refused():
    with pytest.raises(UserError, match="cannot compile for a GPU"):
        parse_topology("gpu:8")


@pytest.mark.skipif(not hasattr(tpu_info, "_get_tpu_info_impl"), reason="this JAX ships its rates elsewhere")
@pytest.mark.parametrize("name", JAX_NAMES)
def test_rates_agree_with_those_that_jax_ships(name):
    chip, theirs = CHIPS[name], tpu_info._get_tpu_info_impl(tpu_info.ChipVersion[JAX_NAMES[name]], 1)
    cores = tpu_info.ChipVersion[JAX_NAMES[name]].num_physical_tensor_cores_per_chip
    # Theirs are rounded otherwise: 140 and 123 TFLOP/s of v3, decimal and binary gigabytes, 825 and 900 GB/s.
    assert chip.core_peak * chip.cores == pytest.approx(theirs.bf16_ops_per_second * cores, rel=0.13)
    assert chip.memory_bytes == pytest.approx(theirs.hbm_capacity_bytes * cores, rel=0.08)
    assert chip.memory_rate == pytest.approx(theirs.mem_bw_bytes_per_second * cores, rel=0.13)


@pytest.mark.parametrize("name", ["v2", "v3", "v4", "v5e", "v5p"])
def test_the_clock_is_the_peak_over_the_multipliers(name):
    units = {"v2": 2, "v3": 4, "v4": 8, "v5e": 4, "v5p": 8}[name]  # matrix units of a chip, each 128 x 128
    chip = CHIPS[name]
    assert chip.hertz == pytest.approx(chip.core_peak * chip.cores / (units * 128**2 * 2), rel=0.01)


def test_every_chip_has_a_published_peak():
    assert all(math.isfinite(chip.core_peak) for chip in CHIPS.values())
