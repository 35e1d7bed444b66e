"""One training step of BERT on this host's CPU: ours beside torch's and keras-hub's, in one run.

    .venv/bin/python benchmarks/cpu_step.py [--keras_python=VENV/bin/python] [--dtype=bfloat16]

All sides compute the same: both heads, dropout 0.1, AdamW with the same exclusions, full rows, loss returned. That
ours and torch's are the same arithmetic, tests/model/parity_test.py shows. Every figure is of processes of its own, the
sides one after the other, there and back again, so that a slow minute of the host meets them all. The host has to be
idle: torch suffers more than JAX when it is not. keras-hub needs an environment of its own:

    python3 -m venv VENV && VENV/bin/pip install keras-hub==0.32.0 jax==0.10.2
"""

import argparse
import dataclasses
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

from results import write_table
from step_setting import Setting

SETTINGS = {
    "BERT-base, 8 x 128": Setting(layers=12, hidden=768, heads=12, rows=8, length=128, predictions=20),
    "4 layers of 256, 32 x 128": Setting(layers=4, hidden=256, heads=4, rows=32, length=128, predictions=20),
}
# Huge pages, as verbs have them. Torch is measured with them and without, as people start it.
HUGE_PAGES = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1", "JAX_PLATFORMS": "cpu"}
MOST_LOAD = 0.3  # of the host before a start


def main() -> None:
    """Run every side of every setting and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keras_python", help="interpreter of an environment with keras-hub; left out if not given")
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"))
    parser.add_argument("--rounds", type=int, default=2, help="there and back again so often")
    parser.add_argument("--busy", action="store_true", help="measure although the host is busy")
    arguments = parser.parse_args()
    if os.getloadavg()[0] > MOST_LOAD and not arguments.busy:
        sys.exit(f"error: the host is busy (load {os.getloadavg()[0]:.2f}); wait, or give --busy for a rough try")
    rows = []
    for name, setting in SETTINGS.items():
        rows += compared(name, dataclasses.replace(setting, dtype=arguments.dtype), arguments)
    columns = [
        "model and batch",
        "side",
        "s a step",
        "least",
        "ours takes",
        "first step",
        "peak GiB",
        "product GFLOP/s",
    ]
    write_table("cpu_step" + ("_bfloat16" if arguments.dtype == "bfloat16" else ""), columns, rows, ["jax", "torch"])


def compared(name: str, setting: Setting, arguments: argparse.Namespace) -> list[list]:
    """The table's rows of one setting; "ours takes" is our median over theirs."""
    sides = {
        "bert_jax": ([sys.executable, "step_ours.py"], HUGE_PAGES),
        "torch, transformers": ([sys.executable, "step_torch.py"], HUGE_PAGES),
        "torch, small pages": ([sys.executable, "step_torch.py"], {}),
        "torch, masked gathered": ([sys.executable, "step_torch.py", "gathered"], HUGE_PAGES),
    }
    if arguments.keras_python:
        sides["keras-hub on JAX"] = ([arguments.keras_python, "step_keras.py"], HUGE_PAGES)
    runs: dict[str, list[dict]] = {side: [] for side in sides}
    for _ in range(arguments.rounds):
        for side in [*sides, *reversed(sides)]:
            runs[side].append(run(*sides[side], setting))
            print(f"{name}: {side}: {statistics.median(runs[side][-1]['steps']):.3f} s", file=sys.stderr, flush=True)
    ours = statistics.median(step for one in runs["bert_jax"] for step in one["steps"])
    return [[name, side, *figures(several, ours)] for side, several in runs.items()]


def run(command: list[str], environment: dict[str, str], setting: Setting) -> dict:
    """One process of a side; what it measured."""
    python, script, *rest = command
    path = str(Path(__file__).parent / script)
    done = subprocess.run(
        [python, path, json.dumps(dataclasses.asdict(setting)), *rest],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"error: {script} failed: {done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def figures(several: list[dict], ours: float) -> list[float]:
    """Median and least step, the ratio of ours to it, median first step, largest peak, rate of a matrix product."""
    steps = [step for one in several for step in one["steps"]]
    median = statistics.median(steps)
    first = statistics.median(one["first"] for one in several)
    rate = round(statistics.median(one["gigaflops"] for one in several))
    return [round(median, 3), round(min(steps), 3), round(ours / median, 2), round(first, 1), peak(several), rate]


def peak(several: list[dict]) -> float:
    """The largest peak of memory, GiB."""
    return round(max(one["peak_gib"] for one in several), 1)


if __name__ == "__main__":
    main()
