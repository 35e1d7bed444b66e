import importlib.util
import json
from importlib import metadata
from pathlib import Path

import pytest

from bert_jax.planning.phases import plan_phase, requests
from bert_jax.planning.run_plan import known_sizes
from bert_jax.planning.topologies import parse_topology
from configs import bert_large

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
