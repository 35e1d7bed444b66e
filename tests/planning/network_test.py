import pytest

from bert_jax.planning.network import HOP_SECONDS, transfer_seconds
from bert_jax.planning.topologies import parse_topology

BF16_GRADIENTS = 2 * 335_000_000  # of BERT-large


@pytest.mark.parametrize(
    ("name", "milliseconds"),
    [("v3:32x32", 3.35), ("v5e:16x16", 7.4), ("v4:4x4x4", 5.0), ("v5p:8x8x8", 2.5), ("v6e:16x16", 3.7)],
)
def test_an_all_reduce_of_bert_large_over_a_closed_torus(name, milliseconds):
    topology = parse_topology(name)
    seconds = transfer_seconds(topology, "all-reduce", BF16_GRADIENTS, topology.devices)
    assert seconds * 1e3 == pytest.approx(milliseconds, rel=0.05)


def test_an_open_axis_has_half_the_rate():
    closed, open_ = parse_topology("v5e:16x16"), parse_topology("v5e:8x8")
    ratio = transfer_seconds(open_, "all-gather", 10**10, 0) / transfer_seconds(closed, "all-gather", 10**10, 0)
    assert ratio == pytest.approx(2, rel=0.02)


def test_an_all_gather_is_half_an_all_reduce():
    topology = parse_topology("v3:8x8")
    both = [transfer_seconds(topology, kind, 10**9, 128) for kind in ("all-gather", "all-reduce")]
    assert both[1] == 2 * both[0]


def test_few_of_the_devices_have_one_axis():
    topology = parse_topology("v3:8x8")
    assert transfer_seconds(topology, "all-gather", 10**9, 8) > transfer_seconds(topology, "all-gather", 10**9, 128)


def test_the_two_cores_of_a_chip_exchange_through_its_memory():
    topology = parse_topology("v3:8x8")
    assert transfer_seconds(topology, "all-gather", 900_000_000, 2) == pytest.approx(1e-3)


def test_one_device_waits_for_nobody():
    assert transfer_seconds(parse_topology("v5e:1x1"), "all-reduce", 10**9, 1) == 0.0
    assert transfer_seconds(parse_topology("cpu:8"), "all-reduce", 10**9, 8) == 0.0


def test_a_small_one_takes_its_hops():
    assert transfer_seconds(parse_topology("v3:8x8"), "all-reduce", 4, 128) == pytest.approx(
        2 * 14 * HOP_SECONDS, rel=0.01
    )
