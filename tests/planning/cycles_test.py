import importlib.util
import json
from importlib import metadata
from pathlib import Path

import pytest

from bert_jax.config import ModelConfig, PhaseConfig
from bert_jax.planning.phases import plan_phase, requests
from bert_jax.planning.run_plan import known_sizes
from bert_jax.planning.topologies import parse_topology
from configs import bert_large, bert_large_lamb

STORED = json.loads((Path(__file__).parent.parent.parent / "benchmarks" / "plan.json").read_text())
PHASES = {128: 0, 512: 1}


def cases(pick):
    """The stored rows that `pick` says yes to, as machine, tokens, sequences, layers, M cycles."""
    columns = [STORED["columns"].index(name) for name in ("machine", "tokens", "sequences", "layers", "M cycles")]
    rows = [[row[column] for column in columns] for row in STORED["rows"]]
    return [pytest.param(*row, id="-".join(map(str, row[:4]))) for row in rows if pick(row)]


def check(machine, tokens, sequences, layers, cycles):
    if importlib.util.find_spec("libtpu") is None:
        pytest.skip("libtpu is not installed")
    if metadata.version("libtpu") != STORED["packages"]["libtpu"]:
        pytest.skip("the stored cycles are of another libtpu; benchmarks/plan.py makes them anew")
    config = bert_large.get_config()
    config.model.num_hidden_layers = layers
    for phase in config.phases:
        phase.global_batch_size = sequences
    config, predictions = known_sizes(config, 0, 0)
    plan = plan_phase(requests(config, predictions, parse_topology(machine))[PHASES[tokens]], 1200)
    assert plan.problem == ""
    assert plan.time.cycles / 1e6 <= 1.03 * cycles, "if it is meant: benchmarks/plan.py"


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    ("machine", "tokens", "sequences", "layers", "cycles"), cases(lambda row: row[1] == 128 and row[3] < 4)
)
def test_two_layers_take_no_more_cycles_than_stored(machine, tokens, sequences, layers, cycles):
    check(machine, tokens, sequences, layers, cycles)


@pytest.mark.slow  # minutes each
@pytest.mark.timeout(1500)
@pytest.mark.parametrize(
    ("machine", "tokens", "sequences", "layers", "cycles"), cases(lambda row: row[1] != 128 or row[3] >= 4)
)
def test_others_take_no_more_cycles_than_stored(machine, tokens, sequences, layers, cycles):
    check(machine, tokens, sequences, layers, cycles)


def weights_and_optimizer(machine):
    """Seconds of a step that a small model's weights and their update take, 16 sequences a device."""
    if importlib.util.find_spec("libtpu") is None:
        pytest.skip("libtpu is not installed")
    topology = parse_topology(machine)
    config = bert_large_lamb.get_config()
    config.model = ModelConfig(hidden_size=512, num_hidden_layers=2, num_attention_heads=8, intermediate_size=2048)
    config.phases = (PhaseConfig(steps=10, global_batch_size=16 * topology.devices, max_seq_length=128),)
    config.optimizer.warmup_steps = 1
    config, predictions = known_sizes(config, 0, 0)
    plan = plan_phase(requests(config, predictions, topology)[0], 1200)
    assert plan.problem == ""
    return plan.mesh, sum(plan.time.seconds_by_part[part] for part in ("weights", "optimizer"))


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_weights_and_optimizer_take_no_longer_on_eight_times_the_chips():
    few, on_few = weights_and_optimizer("v3:8x8")
    many, on_many = weights_and_optimizer("v3:16x32")
    assert (few["replica"], few["data"]) == (2, 64)
    assert (many["replica"], many["data"]) == (16, 64)
    assert on_many < 1.1 * on_few
