"""Cycles of BERT-large's training step by the TPU compiler's own estimate: the paper's phases on the paper's machine.

    .venv/bin/python benchmarks/plan.py [--large]

It takes minutes and needs no TPU (pip install 'bert_jax[plan]'). A test lets none of these numbers rise by
more than 3 %; there, two and four layers stand for all 24. With --large, instead: LAMB's run of 76 minutes
(configs/bert_large_lamb.py) on its own 1,024 chips and on other slices, at five minutes and more a compilation.
"""

import json
import runpy
from importlib import metadata
from pathlib import Path
from typing import Any

from absl import app, flags, logging
from results import write_table

from bert_jax.config import Config
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
# Slice -> accumulation steps of each phase, where a whole batch does not fit, or takes longer (step_trials.md). v5p and
# v6e need libtpu 0.0.42: JAX 0.10.2 cannot read what 0.0.52 compiles for them.
LARGE = {"v3:32x32": (1, 1), "v5e:16x16": (8, 32), "v5p:4x4x8": (8, 32), "v6e:16x16": (8, 16)}
_LARGE = flags.DEFINE_bool("large", False, "LAMB's run on 1,024 chips and on other slices; writes plan_large.json.")
_SLICES = flags.DEFINE_list("slices", ["v3:32x32", "v5e:16x16"], "Of --large; what is known of the others is kept.")
_PHASES = flags.DEFINE_list("phases", ["0", "1"], "Of --large; what is known of the other one is kept.")
_MOST_LAYERS = flags.DEFINE_integer(
    "most_layers", LAYERS, "Leave out the cases of more layers: they take minutes each."
)
BOTH = "both"  # phases
LARGE_FILE = Path(__file__).parent / "plan_large.json"
CONFIGS = Path(__file__).parent.parent / "configs"
LIMIT_SECONDS = 3600
PAPERS_HOURS = 4 * 24  # arXiv 1810.04805, appendix A.2: 64 TPU chips, 4 days
OVERHEAD = ("weights", "optimizer", "collectives")  # parts of a step that are not the model's work
LARGE_COLUMNS = (
    "machine",
    "tokens",
    "sequences",
    "ms",
    "MFU %",
    "weights, optimizer, collectives %",
    "minutes",
    "libtpu",
)
COLUMNS = ("machine", "tokens", "sequences", "layers", "M cycles", "ms", "MFU %", "GiB a device")


def main(argv: list[str]) -> None:
    """Compile the cases and write benchmarks/plan.json."""
    del argv
    logging.set_verbosity(logging.INFO)
    if _LARGE.value:
        rows = kept_rows()
        for machine in _SLICES.value:
            rows[machine] = rows.get(machine, {}) | large_rows(machine)
        in_order = [row for machine in LARGE for row in with_sum(machine, rows.get(machine, {}))]
        write_table("plan_large", LARGE_COLUMNS, in_order, ["jax"])
        return
    plans = {case: plan(*case) for case in CASES if case[3] <= _MOST_LAYERS.value}
    write_table("plan", COLUMNS, [row(case, made) for case, made in plans.items()], ["jax", "libtpu"])
    if _MOST_LAYERS.value < LAYERS:
        return
    hours = sum(made.seconds for case, made in plans.items() if case[0] == "v3:8x8" and case[3] == LAYERS) / 3600
    print(f"the paper's million steps on v3:8x8: {hours:.1f} hours by this model; the paper's machine: {PAPERS_HOURS}")


def plan(machine: str, phase: int, sequences: int, layers: int) -> PhasePlan:
    """One case; SystemExit where it does not compile."""
    config = read("bert_large")
    config.model.num_hidden_layers = layers
    for each in config.phases:
        each.global_batch_size = sequences
    config, predictions = known_sizes(config, 0, 0)
    made = plan_phase(requests(config, predictions, parse_topology(machine))[phase], LIMIT_SECONDS)
    if made.problem:
        raise SystemExit(f"{machine}, phase {phase}: {made.problem}")
    return made


def read(name: str) -> Config:
    """A config of configs/."""
    return runpy.run_path(str(CONFIGS / f"{name}.py"))["get_config"]()


def kept_rows() -> dict[str, dict[int, list[Any]]]:
    """What plan_large.json has of each slice: the row of each length."""
    kept: dict[str, dict[int, list[Any]]] = {}
    for row in json.loads(LARGE_FILE.read_text())["rows"] if LARGE_FILE.exists() else []:
        if row[1] != BOTH:
            kept.setdefault(row[0], {})[row[1]] = row
    return kept


def large_rows(machine: str) -> dict[int, list[Any]]:
    """The phases of LAMB's run on a slice, by their lengths."""
    config = read("bert_large_lamb")
    for phase, steps in zip(config.phases, LARGE[machine], strict=True):
        phase.accumulation_steps = steps
    config, predictions = known_sizes(config, 0, 0)
    asked = [requests(config, predictions, parse_topology(machine))[int(phase)] for phase in _PHASES.value]
    rows = [large_row(machine, plan_phase(each, LIMIT_SECONDS)) for each in asked]
    return {row[1]: [*row, metadata.version("libtpu")] for row in rows}


def with_sum(machine: str, rows: dict[int, list[Any]]) -> list[list[Any]]:
    """A slice's rows, and the whole run's."""
    found = [rows[length] for length in sorted(rows)]
    steps = {phase.max_seq_length: phase.steps for phase in read("bert_large_lamb").phases}
    minutes = round(sum(steps[row[1]] * row[3] for row in found) / 60e3, 1)
    return [*found, [machine, BOTH, "", "", "", "", minutes, found[0][-1]]] if len(found) > 1 else found


def large_row(machine: str, made: PhasePlan) -> list[Any]:
    """A phase of it; SystemExit where it does not compile."""
    if made.time is None:
        raise SystemExit(f"{machine}, phase {made.request.phase}: {made.problem}; {made.remedy}")
    phase, parts = made.request.config.phases[made.request.phase], made.time.seconds_by_part
    share = sum(parts.get(part, 0.0) for part in OVERHEAD) / made.time.seconds
    shares = [round(100 * each, 1) for each in (made.mfu, share)]
    milliseconds = round(made.time.seconds * 1e3, 1)
    return [machine, phase.max_seq_length, phase.rows, milliseconds, *shares, round(made.seconds / 60, 1)]


def row(case: tuple[str, int, int, int], made: PhasePlan) -> list[object]:
    """A line of the table."""
    machine, phase, sequences, layers = case
    cycles = made.time.cycles / 1e6
    length = made.request.config.phases[phase].max_seq_length
    measures = [round(made.time.seconds * 1e3, 2), round(100 * made.mfu, 1), round(made.memory_needed / GIB, 2)]
    return [machine, length, sequences, layers, round(cycles, 3), *measures]


if __name__ == "__main__":
    app.run(main)
