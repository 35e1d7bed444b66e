"""Whether a run fits a machine that is not here, how long it will take there and why: from the compiler alone.

python -m bert_jax.plan --config=configs/bert_large.py --topology=v3:8x8[,v5e:8x8,...] [--config.group.key=value ...]
"""

from collections.abc import Sequence

from absl import flags
from etils import epath

from bert_jax import cli
from bert_jax.config import Config
from bert_jax.config.command_line import define_config
from bert_jax.planning.phases import plan_phase, requests
from bert_jax.planning.run_plan import RunPlan, known_sizes, packings, write_plans, write_texts
from bert_jax.planning.table import comparison_table, run_table
from bert_jax.planning.topologies import KNOWN, check_compiler, parse_topology
from bert_jax.storage.paths import check_file, check_place
from bert_jax.training.teacher import architecture

_CONFIG = define_config(Config)
_TOPOLOGY = flags.DEFINE_list("topology", None, f"Machines to plan for, with commas between: {KNOWN}.")
_VOCAB_SIZE = flags.DEFINE_integer(
    "vocab_size", 0, "Tokens of the vocabulary; 0: the config's, else the records', else the paper's.", 0, 10_000_000
)
_PREDICTIONS = flags.DEFINE_integer(
    "max_predictions_per_seq", 0, "Masked tokens of a sequence; 0: the records', else 20 of 128, 76 of 512.", 0, 10**6
)
_PRICE = flags.DEFINE_float("price_per_chip_hour", None, "Price per chip and hour; the plan then has the cost.", 0, 1e9)
_JSON = flags.DEFINE_string("json", None, "File to write the plan into, as JSON.")
_HLO_DIR = flags.DEFINE_string("hlo_dir", None, "Directory for each phase's compiled HLO, as PHASE.txt.")
_MINUTES = flags.DEFINE_float("compile_minutes", 20, "Limit per compilation; a phase over it has no time.", 0.01, 1e6)
flags.mark_flags_as_required(["config", "topology"])


def main(argv: Sequence[str]) -> None:
    """Plan for each topology, and compare them if they are several."""
    del argv
    check_file(_JSON.value, "json", b"{")
    check_place(_HLO_DIR.value or ".", "hlo_dir")
    topologies = [parse_topology(name) for name in _TOPOLOGY.value or ()]
    for topology in topologies:
        check_compiler(topology)
    config, predictions = known_sizes(_CONFIG.value, _VOCAB_SIZE.value, _PREDICTIONS.value)
    config, packed = packings(config)
    plans, teacher = [], architecture(config)
    for topology in topologies:
        asked = requests(config, predictions, topology, packed, teacher)
        plans.append(RunPlan(topology, [plan_phase(one, _MINUTES.value * 60) for one in asked], _PRICE.value))
        print(run_table(plans[-1]), end="\n\n")
        if _HLO_DIR.value:
            write_texts(plans[-1], epath.Path(_HLO_DIR.value) / (topology.name if len(topologies) > 1 else ""))
    if len(plans) > 1:
        print(comparison_table(plans))
    if _JSON.value:
        write_plans(plans, _JSON.value)


if __name__ == "__main__":
    cli.run(main)
