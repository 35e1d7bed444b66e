"""Scores on small public sets: floors, ours, and torch's from the same weights with the same settings.

    .venv/bin/python benchmarks/tasks.py --model=DIR --data=DIR [--only=sick,sts] [--seeds=3] [--torch_seeds=1]

DATA holds the sets as folders (task_sets.py). Each run is a process; what one came to is kept in
benchmarks/tasks_runs.json, and is not run again. torch's side (tasks_torch.py) trains transformers' classes on the very
batches that ours are trained on, with torch's AdamW, and is scored by the same functions.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from kept_runs import keep, read_kept
from results import write_table
from task_sets import SETS, Set, make, place
from verb import verb

from bert_jax.config import TaskConfig
from bert_jax.tasks.task_files import read_all, read_files

HERE = Path(__file__).parent


def main() -> None:
    """Run what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--only", default="", help="beginnings of the names of sets, with commas between")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--torch_seeds", type=int, default=1)
    arguments = parser.parse_args()
    chosen = tuple(arguments.only.split(","))
    for name in SETS:
        if name.startswith(chosen):
            for side, seeds in (("bert_jax", arguments.seeds), ("torch", arguments.torch_seeds)):
                for seed in range(seeds if SETS[name].fit else min(seeds, 1)):
                    run_once(name, side, seed, arguments)
    kept = read_kept("tasks")
    columns = ["set (test)", "score", "floor", "bert_jax", "torch"]
    names = [one for name, of in SETS.items() for one in (name, also_named(name, of)) if f"{one}/bert_jax/0" in kept]
    write_table("tasks", columns, [row(name, kept) for name in names], ["jax", "torch"])


def also_named(name: str, of: Set) -> str:
    """The row of a set's further test file."""
    return f"{name} {of.also[0]}"


def run_once(name: str, side: str, seed: int, arguments: argparse.Namespace) -> None:
    """A run, if it is not kept already; its scores by the rows of the table."""
    if f"{name}/{side}/{seed}" in read_kept("tasks"):
        return
    with tempfile.TemporaryDirectory() as directory:
        make(Path(arguments.data), Path(directory))
        found = {"bert_jax": ours, "torch": torchs}[side](name, seed, arguments, Path(directory))
    print(name, side, seed, found, file=sys.stderr, flush=True)
    keep("tasks", {f"{row}/{side}/{seed}": scores for row, scores in found.items()})


def flags_of(of: Set, seed: int, arguments: argparse.Namespace, directory: Path) -> list[str]:
    """Those of `finetune`, which tasks_torch.py reads too."""
    files = {"train": of.train, "dev": of.dev, "test": of.test}
    return [
        f"--task={of.task}",
        f"--init_from={arguments.model}",
        *(f"--{split}={place(file, Path(arguments.data), directory)}" for split, file in files.items() if file),
        f"--workdir={directory}/run",
        f"--config.train.seed={seed}",
        *of.flags,
    ]


def ours(name: str, seed: int, arguments: argparse.Namespace, directory: Path) -> dict[str, dict]:
    """The score on each test file, or of the search, and the best floor."""
    of, workdir = SETS[name], directory / "run"
    if of.fit:
        verb("finetune", *flags_of(of, seed, arguments, directory))
    if of.search:
        corpus, queries, qrels = (place(file, Path(arguments.data), directory) for file in of.search)
        flags = f"--input={corpus}", f"--queries={queries}", f"--qrels={qrels}", f"--output={directory}/vectors"
        found = json.loads(verb("embed", f"--model={workdir if of.fit else arguments.model}", *flags))
        return {name: judged("ndcg@10", found["scores"], found["floors"])}
    scores = json.loads((workdir / "scores.json").read_text())
    wanted = of.score or scores["headline"]
    test = {score: spread["mean"] for score, spread in scores["test"].items()}
    rows = {name: judged(wanted, test, scores["floors"]["test"])}
    if of.also[0]:
        file = place(of.also[1], Path(arguments.data), directory)
        test = json.loads(verb("evaluate", f"--workdir={workdir}", f"--input={file}"))
        rows[also_named(name, of)] = judged(wanted, test, floors_of(of, file, arguments))
    return rows


def floors_of(of: Set, file: str, arguments: argparse.Namespace) -> dict[str, dict]:
    """Scores of simple methods on a further test file."""
    config = TaskConfig(kind=of.task, train=str(Path(arguments.data, of.train)))
    files = read_files(config)
    return dict(files.task.floors(files.train, read_all(files.task, file, config)))


def judged(wanted: str, scores: dict, floors: dict[str, dict]) -> dict:
    """What is kept of a run."""
    of_floors = [floor[wanted] for floor in floors.values() if floor.get(wanted) is not None]
    return {"score": wanted, "test": scores[wanted], "floor": max(of_floors)}


def torchs(name: str, seed: int, arguments: argparse.Namespace, directory: Path) -> dict[str, dict]:
    """The same of torch; tasks_torch.py prints the scores of a test file on a line."""
    of = SETS[name]
    flags = [*flags_of(of, seed, arguments, directory), f"--fit={of.fit}", f"--score={of.score}"]
    files = {"also": [of.also[1]] if of.also[0] else [], "search": of.search or []}
    for flag, several in files.items():
        if several:
            flags.append(f"--{flag}={','.join(place(file, Path(arguments.data), directory) for file in several)}")
    command = [sys.executable, str(HERE / "tasks_torch.py"), *flags]
    done = subprocess.run(command, cwd=HERE.parent, check=True, stdout=subprocess.PIPE, text=True)
    rows = [name, also_named(name, of)] if of.also[0] else [name]
    return dict(zip(rows, map(json.loads, done.stdout.splitlines()[-len(rows) :]), strict=True))


def row(name: str, kept: dict[str, dict]) -> list:
    """A line of the table; a side's cell is mean ± sd (seeds), or what there is."""
    first = kept[f"{name}/bert_jax/0"]
    sides = [
        [one["test"] for key, one in kept.items() if key.startswith(f"{name}/{side}/")]
        for side in ("bert_jax", "torch")
    ]
    return [name, first["score"], f"{first['floor']:.3f}", *map(cell, sides)]


def cell(values: list[float]) -> str:
    """Of one side's seeds."""
    if not values:
        return "not run"
    spread = f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.3f}{spread} ({len(values)})"


if __name__ == "__main__":
    main()
