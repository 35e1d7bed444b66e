import pytest

from bert_jax.planning.compilation import Compiled
from bert_jax.planning.estimate import NETWORK, step_time
from bert_jax.planning.hlo import Hlo
from bert_jax.planning.network import transfer_seconds
from bert_jax.planning.topologies import parse_topology

SLICE = parse_topology("v5e:2x2")
GATHERED = 400_000_000  # bytes
TRANSFER = transfer_seconds(SLICE, "all-gather", GATHERED, 4)


def text(cycles, waits_after=True):
    start = (
        f"  %all-gather-start.1 = (f32[25000000], f32[{GATHERED // 4}]) all-gather-start(%param), replica_groups=[1,4]"
    )
    done = f"  %all-gather-done.1 = f32[{GATHERED // 4}] all-gather-done(%all-gather-start.1)"
    work = [
        f'  %copy.1 = f32[8] copy(%param), metadata={{op_name="jvp(attention)/mul"}}, "estimated_cycles":"{cycles}"',
        '  %rng.1 = (u64[2], u32[819000]) rng-bit-generator(%param), metadata={op_name="jvp(feed_forward)/rng"}',
    ]
    lines = [start, *work, done] if waits_after else [start, done, *work]
    return "\n".join(["ENTRY %main (param: f32[8]) -> f32[8] {", "  %param = f32[8] parameter(0)", *lines, "}"])


def timed(written, topology=SLICE):
    return step_time(Compiled(written, {}, {}, None, 0.0), Hlo(written), topology)


def test_cycles_and_random_bits_are_time_of_their_part():
    time = timed(text(1_500_000))
    assert time.seconds_by_part["attention"] == pytest.approx(1e-3)  # at 1.5 GHz
    assert time.seconds_by_part["feed-forward"] == pytest.approx(4e-6, rel=1e-3)  # 4 bytes each at 819 GB/s
    assert time.cycles == 1_500_000


def test_a_collective_is_hidden_by_what_runs_beside_it():
    time = timed(text(1_500_000))
    assert time.collectives[0].seconds == pytest.approx(TRANSFER)
    assert time.collectives[0].hidden_seconds == pytest.approx(1e-3, rel=0.01)
    assert time.seconds_by_part[NETWORK] == pytest.approx(TRANSFER - 1e-3, rel=0.01)
    assert time.bound == "network"


def test_enough_work_hides_all_of_it():
    time = timed(text(1_500_000_000))
    assert time.seconds_by_part[NETWORK] == 0.0
    assert time.bound == "memory"  # a copy is no matrix product


def test_a_collective_that_is_waited_for_at_once_is_not_hidden():
    assert timed(text(1_500_000, waits_after=False)).seconds_by_part[NETWORK] == pytest.approx(TRANSFER)


def test_a_collective_in_pieces_is_one_that_their_work_hides():
    """As the compiler writes it for v5e: it stands in each of the fusions that it runs beside."""
    gather = f'f32[{GATHERED // 4}] all-gather(%in), replica_groups=[1,4], frontend_attributes={{chain_id="7"}}'
    targets = {"a": "AsyncCollectiveStart", "b": "Other", "c": "Other", "d": "AsyncCollectiveDone"}
    computations = [
        f"%fused_{name} (in: f32[8]) -> f32[8] {{\n  %all-gather.{name} = {gather}\n"
        f'  ROOT %call.{name} = f32[8] custom-call(%all-gather.{name}), custom_call_target="{target}"\n}}'
        for name, target in targets.items()
    ]
    run = [f'  %f.{name} = f32[8] fusion(%param), calls=%fused_{name}, "estimated_cycles":"750000"' for name in targets]
    main = "\n".join(["ENTRY %main (param: f32[8]) -> f32[8] {", "  %param = f32[8] parameter(0)", *run, "}"])
    time = timed("\n".join([*computations, main]))
    (collective,) = time.collectives
    assert collective.seconds == pytest.approx(TRANSFER)
    assert collective.hidden_seconds == pytest.approx(3 * 0.5e-3)  # the fusions after the one that begins it
    assert time.seconds == pytest.approx(2e-3 + TRANSFER - 1.5e-3)


def test_parts_and_bounds_both_come_to_the_step():
    time = timed(text(1_500_000))
    assert sum(time.seconds_by_bound.values()) == pytest.approx(time.seconds)


def test_a_cpu_is_flops_over_its_rate():
    compiled = Compiled("", {"attention": 3 * 10**9, "heads": 10**9}, {}, 2e9, 0.0)
    time = step_time(compiled, Hlo(text(1)), parse_topology("cpu:4"))
    assert time.seconds_by_part == {"attention": 1.5, "heads": 0.5}
    assert time.bound == "compute"
