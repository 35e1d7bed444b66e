"""Seconds from the start of predict and embed to their end, for two texts, with compiled programs kept before.

    .venv/bin/python benchmarks/first_answer.py --workdir=DIR --model=DIR [--rounds=5]

WORKDIR is a fine-tuned model of single texts, MODEL what embed takes. The first command of each kind, which may
compile, has a column of its own. CPU seconds stand beside, since a host may be shared.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from results import write_table

ROOT = Path(__file__).parent.parent
TEXTS = "a man plays the guitar\nwhat a fine day for a walk by the sea\n"


def main() -> None:
    """Run both commands and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workdir", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        source = Path(directory) / "two.txt"
        source.write_text(TEXTS)
        commands = {
            "predict": [f"--workdir={arguments.workdir}", f"--input={source}"],
            "embed": [f"--model={arguments.model}", f"--input={source}"],
        }
        rows = [row(verb, flags, Path(directory), arguments.rounds) for verb, flags in commands.items()]
    columns = ["command", "first, s", "then, s", "least", "most", "CPU s"]
    write_table("first_answer", columns, rows, ["jax"])


def row(verb: str, flags: list[str], directory: Path, rounds: int) -> list[object]:
    """A line of the table: the first run, and the median of the others."""
    suffix = ".jsonl" if verb == "predict" else ""
    runs = [timed(verb, [*flags, f"--output={directory}/{verb}-{number}{suffix}"]) for number in range(rounds + 1)]
    walls = [wall for wall, _ in runs[1:]]
    return [
        verb,
        runs[0][0],
        statistics.median(walls),
        min(walls),
        max(walls),
        statistics.median(c for _, c in runs[1:]),
    ]


def timed(verb: str, flags: list[str]) -> tuple[float, float]:
    """Wall and CPU seconds of a command."""
    before, start = cpu(), time.perf_counter()
    environment = os.environ | {"JAX_PLATFORMS": "cpu"}
    subprocess.run([sys.executable, "-m", f"bert_jax.{verb}", *flags], cwd=ROOT, env=environment, check=True)
    return time.perf_counter() - start, cpu() - before


def cpu() -> float:
    """CPU seconds of all children so far."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()
