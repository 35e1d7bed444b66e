"""Cycles of BERT-large's training step by the TPU compiler's own estimate: the paper's phases on the paper's machine.

    .venv/bin/python benchmarks/plan.py

It takes minutes and needs no TPU (pip install 'bert_jax[plan]'). A test lets none of these numbers rise by
more than 3 %; there, two and four layers stand for all 24.
"""

import runpy
from pathlib import Path

from absl import app, flags, logging
from results import write_table

from bert_jax.planning.phases import PhasePlan, plan_phase, requests
from bert_jax.planning.run_plan import known_sizes
from bert_jax.planning.topologies import GIB, parse_topology

# Machine, phase, sequences a step, layers.
CASES = (
    *(("v3:8x8", phase, 256, layers) for layers in (2, 4) for phase in (0, 1)),
    ("v3:8x8", 0, 256, 24),
    ("v3:8x8", 1, 256, 24),
    ("v5e:1x1", 0, 32, 24),
)
LAYERS = 24
_MOST_LAYERS = flags.DEFINE_integer(
    "most_layers", LAYERS, "Leave out the cases of more layers: they take minutes each."
)
CONFIG = Path(__file__).parent.parent / "configs" / "bert_large.py"
LIMIT_SECONDS = 3600
PAPERS_HOURS = 4 * 24  # arXiv 1810.04805, appendix A.2: 64 TPU chips, 4 days
COLUMNS = ("machine", "tokens", "sequences", "layers", "M cycles", "ms", "MFU %", "GiB a device")


def main(argv: list[str]) -> None:
    """Compile the cases and write benchmarks/plan.json."""
    del argv
    logging.set_verbosity(logging.INFO)
    plans = {case: plan(*case) for case in CASES if case[3] <= _MOST_LAYERS.value}
    write_table("plan", COLUMNS, [row(case, made) for case, made in plans.items()], ["jax", "libtpu"])
    if _MOST_LAYERS.value < LAYERS:
        return
    hours = sum(made.seconds for case, made in plans.items() if case[0] == "v3:8x8" and case[3] == LAYERS) / 3600
    print(f"the paper's million steps on v3:8x8: {hours:.1f} hours by this model; the paper's machine: {PAPERS_HOURS}")


def plan(machine: str, phase: int, sequences: int, layers: int) -> PhasePlan:
    """One case; SystemExit where it does not compile."""
    config = runpy.run_path(str(CONFIG))["get_config"]()
    config.model.num_hidden_layers = layers
    for each in config.phases:
        each.global_batch_size = sequences
    config, predictions = known_sizes(config, 0, 0)
    made = plan_phase(requests(config, predictions, parse_topology(machine))[phase], LIMIT_SECONDS)
    if made.problem:
        raise SystemExit(f"{machine}, phase {phase}: {made.problem}")
    return made


def row(case: tuple[str, int, int, int], made: PhasePlan) -> list[object]:
    """A line of the table."""
    machine, phase, sequences, layers = case
    cycles = made.time.cycles / 1e6
    length = made.request.config.phases[phase].max_seq_length
    measures = [round(made.time.seconds * 1e3, 2), round(100 * made.mfu, 1), round(made.memory_needed / GIB, 2)]
    return [machine, length, sequences, layers, round(cycles, 3), *measures]


if __name__ == "__main__":
    app.run(main)
