"""Two checkouts of this project side by side in one run: what a change costs the loader, the builder and the step.

    git worktree add /tmp/old REVISION
    .venv/bin/python benchmarks/old_and_new.py --old=/tmp/old

Each measurement is a process of its own, old and new in turn; told are the medians' ratios, new over old. Records and
text are made once, of the documentation on this machine, by the old checkout.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

NEW = Path(__file__).parent.parent
LENGTH = 128
# Counted are the records a second of one core, since the loader runs beside the step.
LOADER = """
import os, sys, time
import numpy as np
from bert_jax.data.batches import training_batches
from bert_jax.data.source import RecordSource
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
batches = training_batches(
    RecordSource(sys.argv[1], "train"), global_batch_size=256, rows=np.arange(256), seed=0, first_step=0, last_step=220
)
for _ in range(20):
    next(batches)
started = time.process_time()
records = sum(len(batch["input_ids"]) for batch in batches)
print((time.process_time() - started) / records)
"""


def main() -> None:
    """Measure what was asked for, and print a line each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--old", required=True, type=Path, help="a checkout of the revision to compare with")
    parser.add_argument("--measure", nargs="*", default=list(MEASURES), choices=list(MEASURES))
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        work = Path(directory)
        make_records(arguments.old, work)
        for name in arguments.measure:
            seconds: dict[Path, list[float]] = {arguments.old: [], NEW: []}
            for number in range(arguments.rounds):
                # There and back again, so that a host that slows down favours nobody.
                for tree in list(seconds)[:: 1 if number % 2 else -1]:
                    seconds[tree].append(MEASURES[name](tree, work))
            old, new = (statistics.median(values) for values in seconds.values())
            spread = max(max(values) / min(values) for values in seconds.values())
            print(f"{name}: new takes {new / old:.3f} of old's time; {spread:.2f} between a side's most and least")


def run(tree: Path, *arguments: str) -> str:
    """What Python prints with the package of `tree`."""
    environment = os.environ | {"PYTHONPATH": str(tree), "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, *map(str, arguments)]
    done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, check=False)
    assert not done.returncode, done.stderr
    return done.stdout


def make_records(tree: Path, work: Path) -> None:
    """A vocabulary, and records of 128 tokens."""
    run(tree, "-m", "bert_jax.build_vocab", "--input=python-docs", f"--output={work}/vocab", "--vocab_size=8000")
    build(tree, work, work / "records")


def build(tree: Path, work: Path, output: Path) -> None:
    """Records by the command that people use."""
    sizes = [f"--max_seq_length={LENGTH}", "--max_predictions_per_seq=20"]
    flags = [f"--vocab={work}/vocab", f"--output={output}", *sizes]
    run(tree, "-m", "bert_jax.build_records", "--input=python-docs", "--dupe_factor=10", "--num_workers=1", *flags)


def loader(tree: Path, work: Path) -> float:
    """Seconds of one core for a record: read, checked, shuffled, batched."""
    return float(run(tree, "-c", LOADER, str(work / "records")))


def builder(tree: Path, work: Path) -> float:
    """Seconds of processor time of a whole build."""
    before = os.times()
    with tempfile.TemporaryDirectory(dir=work) as output:
        build(tree, work, Path(output) / "records")
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def step(tree: Path, work: Path) -> float:
    """Seconds of a training step of configs/tiny.py, at 128 tokens."""
    with tempfile.TemporaryDirectory(dir=work) as workdir:
        phase = f"--config.phases[0].max_seq_length={LENGTH}", "--config.phases[0].steps=200"
        flags = [f"--config.data.records={work}/records", "--config.train.log_every_steps=100", *phase]
        flags += ["--config.evaluation.every_steps=1000", "--config.evaluation.max_batches=1"]
        run(tree, "-m", "bert_jax.pretrain", f"--config={tree}/configs/tiny.py", f"--workdir={workdir}", *flags)
        lines = map(json.loads, (Path(workdir) / "metrics.jsonl").read_text().splitlines())
        rates = [line["tokens_per_second"] for line in lines if line["split"] == "train"]
        return 1 / rates[-1]


MEASURES = {"loader": loader, "builder": builder, "step": step}


if __name__ == "__main__":
    main()
