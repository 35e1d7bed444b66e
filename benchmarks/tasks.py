"""Scores on small public sets: floors, ours, and torch's from the same weights with the same settings.

    .venv/bin/python benchmarks/tasks.py --model=DIR --data=DIR [--only=sick,sts] [--seeds=3] [--torch_seeds=1]

DATA holds the sets as folders (see SETS). Each run is a process; what one came to is kept in
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

from results import write_table

HERE = Path(__file__).parent
KEPT = HERE / "tasks_runs.json"
PAIRS = "text:sentence_A,text2:sentence_B,id:pair_ID"
# Name -> task, train, dev and test file, other flags of finetune.
SETS: dict[str, tuple[str, str, str, str, list[str]]] = {
    "sick, classes": (
        *("classification", "sick/train.tsv", "sick/dev.tsv", "sick/test.tsv"),
        [f"--columns={PAIRS},label:entailment_judgment"],
    ),
    "sick, relatedness": (
        *("regression", "sick/train.tsv", "sick/dev.tsv", "sick/test.tsv"),
        [f"--columns={PAIRS},label:relatedness_score"],
    ),
    "sts": ("regression", "sts/train.tsv", "sts/dev.tsv", "sts/test.tsv", []),
    "cola": (
        *("classification", "cola/train.tsv", "cola/dev_in_domain.tsv", "cola/dev_out_of_domain.tsv"),
        ["--columns=text:3,label:1"],
    ),
    "wikigold": (
        *("tagging", "wikigold/train.txt", "wikigold/dev.txt", "wikigold/test.txt"),
        ["--config.fit.epochs=10"],
    ),
    "ncbi_disease": ("tagging", "ncbi_disease/train.tsv", "ncbi_disease/dev.tsv", "ncbi_disease/test.tsv", []),
    "copa": ("choice", "copa/train.jsonl", "copa/dev.jsonl", "copa/dev.jsonl", ["--config.fit.epochs=5"]),
    "hoc": (
        *("multilabel", "hoc/train.jsonl.xz", "hoc/dev.jsonl.xz", "hoc/test.jsonl.xz"),
        ["--config.fit.epochs=10", "--config.task.class_weights=balanced"],
    ),
    "movie_reviews": (
        *("classification", "movie_reviews/train.jsonl.xz", "movie_reviews/dev.jsonl.xz"),
        *("movie_reviews/test.jsonl.xz", ["--long=windows"]),
    ),
    "squad2": ("qa", "squad2/train.json.xz", "squad2/dev.json.xz", "squad2/test.json.xz", ["--config.fit.epochs=2"]),
}


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
                for seed in range(seeds):
                    run_once(name, side, seed, arguments)
    kept = read_kept()
    columns = ["set (test)", "score", "floor", "bert_jax", "torch"]
    write_table("tasks", columns, [row(name, kept) for name in SETS if f"{name}/bert_jax/0" in kept], ["jax", "torch"])


def read_kept() -> dict[str, dict]:
    """What was run before."""
    return json.loads(KEPT.read_text()) if KEPT.exists() else {}


def run_once(name: str, side: str, seed: int, arguments: argparse.Namespace) -> None:
    """A run, if it is not kept already."""
    if f"{name}/{side}/{seed}" in read_kept():
        return
    with tempfile.TemporaryDirectory() as directory:
        found = {"bert_jax": ours, "torch": torchs}[side](name, seed, arguments, Path(directory))
    print(name, side, seed, found, file=sys.stderr, flush=True)
    KEPT.write_text(json.dumps(read_kept() | {f"{name}/{side}/{seed}": found}, indent=1, sort_keys=True) + "\n")


def flags_of(name: str, seed: int, arguments: argparse.Namespace, directory: Path) -> list[str]:
    """Those of `finetune`, which tasks_torch.py reads too."""
    task, train, dev, test, more = SETS[name]
    files = {"train": train, "dev": dev, "test": test}
    return [
        f"--task={task}",
        f"--init_from={arguments.model}",
        *(f"--{split}={arguments.data}/{file}" for split, file in files.items()),
        f"--workdir={directory}/run",
        f"--config.train.seed={seed}",
        *more,
    ]


def ours(name: str, seed: int, arguments: argparse.Namespace, directory: Path) -> dict:
    """The headline score on the test file, and the best floor."""
    command = [sys.executable, "-m", "bert_jax.finetune", *flags_of(name, seed, arguments, directory)]
    subprocess.run(command, cwd=HERE.parent, check=True)
    scores = json.loads((directory / "run" / "scores.json").read_text())
    headline = scores["headline"]
    floors = [floor[headline] for floor in scores["floors"]["test"].values() if floor.get(headline) is not None]
    return {"score": headline, "test": scores["test"][headline]["mean"], "floor": max(floors)}


def torchs(name: str, seed: int, arguments: argparse.Namespace, directory: Path) -> dict:
    """The same of torch."""
    command = [sys.executable, str(HERE / "tasks_torch.py"), *flags_of(name, seed, arguments, directory)]
    done = subprocess.run(command, cwd=HERE.parent, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


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
