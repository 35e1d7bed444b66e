"""What single changes of the paper's recipe give, and all that pay together: held-out loss against time and FLOPs.

    .venv/bin/python benchmarks/recipes.py --text=FILES [--sizes=2x128,4x256] ["--only=paper;fast"] [--seeds=1]
        [--tasks=DIR] [--work=DIR]

FILES are as build_vocab's --input. Every run has the same vocabulary (8,000 WordPieces) and, unless its recipe says
otherwise, as many steps of 32 x 128 tokens. The loss is of the masked tokens of the same held-out records for all:
pairs of sentences with the paper's masks, 15 %, whatever a recipe itself is trained on. With --tasks, a folder with the
sets of benchmarks/tasks.py, every encoder is fine-tuned on two of them, too.

Time is that of the steps alone. "Reaches" is the share of the paper's time and FLOPs (its mean over seeds) after which
a recipe's held-out loss is the paper's last; of several rates of the paper's recipe the best one is meant. What is
there is not run again, and what was killed is resumed. Writes recipes.json and recipes.svg, of all runs that are
kept in recipes_runs.json.
"""

import argparse
import functools
import itertools
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from kept_runs import read_kept
from recipe_settings import LENGTH, PAIRS, PREDICTIONS, RECIPES, SHARED, SIZES, STEPS, VOCABULARY
from results import write_table
from tuned_scores import TUNED_ON, run_once, spread, tuned
from verb import verb

from bert_jax.reporting.course import points
from bert_jax.reporting.run_history import read_run

HERE = Path(__file__).parent


class Point(NamedTuple):
    """Of a held-out curve."""

    seconds: float  # of steps
    flops: float
    loss: float


def main() -> None:
    """Run what is missing, print the table, draw the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", required=True)
    parser.add_argument("--sizes", default="2x128,4x256")
    parser.add_argument("--only", default="", help="names of recipes, with semicolons between; all if not given")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--tasks", default="")
    parser.add_argument("--work", default=str(HERE.parent / "runs" / "recipes"))
    parser.add_argument("--table", action="store_true", help="only of runs that are kept")
    arguments = parser.parse_args()
    work, chosen = Path(arguments.work), arguments.only.split(";") if arguments.only else list(RECIPES)
    for size in arguments.sizes.split(","):
        for seed in range(arguments.seeds):
            for name in [] if arguments.table else chosen:
                make = functools.partial(trained, size, name, seed, arguments.text, work)
                run_once("recipes", f"{size}/{name}/{seed}", make, workdir_of(work, size, name, seed), arguments.tasks)
    done = {size: finished(size) for size in SIZES}
    write_table("recipes", COLUMNS, [row for size, runs in done.items() for row in rows_of(size, runs)], ["jax"])
    draw(done, HERE / "recipes.svg")


def records_of(flags: Sequence[str], text: str, work: Path) -> Path:
    """Records with these flags, made if they are not there."""
    vocab = work / "vocab"
    if not (vocab / "vocabulary.json").exists():
        verb("build_vocab", f"--input={text}", f"--output={vocab}", "--kind=wordpiece", f"--vocab_size={VOCABULARY}")
    records = work / "-".join(["records", *(flag.strip("-") for flag in flags)])
    if not (records / "records.json").exists():
        sizes = [f"--max_seq_length={LENGTH}", f"--max_predictions_per_seq={PREDICTIONS}", "--holdout=0.02"]
        made = f"--input={text}", f"--vocab={vocab}", f"--output={records}"
        verb("build_records", *made, *sizes, "--split_sentences", *flags)
    return records


def workdir_of(work: Path, size: str, name: str, seed: int) -> Path:
    """Where a run is."""
    return work / size / f"{name.replace(' ', '_').replace(',', '')}-{seed}"


def trained(size: str, name: str, seed: int, text: str, work: Path) -> dict[str, Any]:
    """The held-out curve of a run, which is brought to its end."""
    recipe, workdir = RECIPES[name], workdir_of(work, size, name, seed)
    steps = int(STEPS * recipe.share)
    settings = SHARED | {f"model.{field}": value for field, value in SIZES[size].items()} | recipe.settings
    settings |= {"phases[0].steps": steps, "optimizer.warmup_steps": steps // 10, "train.seed": seed}
    settings |= {"data.records": records_of(recipe.records, text, work), "evaluation.every_steps": steps // 10}
    settings |= {"evaluation.records": records_of(PAIRS, text, work)}
    flags = [f"--config.{setting}={value}" for setting, value in settings.items()]
    verb("pretrain", "--config=configs/tiny.py", f"--workdir={workdir}", *flags)
    return {"curve": curve(workdir)}


def finished(size: str) -> dict[str, list[dict[str, Any]]]:
    """The kept runs of each recipe: their curves, and what they came to in use."""
    kept = {key: run | {"curve": [Point(*each) for each in run["curve"]]} for key, run in read_kept("recipes").items()}
    found = {name: [run for key, run in kept.items() if key.startswith(f"{size}/{name}/")] for name in RECIPES}
    return {name: runs for name, runs in found.items() if runs}


def curve(workdir: Path) -> list[Point]:
    """The held-out points of a run."""
    run, metric = read_run(workdir), "masked_lm_loss"
    by_time, by_flops = (points(run, "validation", metric, over) for over in ("seconds", "flops"))
    return [Point(at, flops, loss) for (at, loss), (flops, _) in zip(by_time, by_flops, strict=True)]


def reaches(curve: Sequence[Point], loss: float, axis: str) -> float | None:
    """Where a curve comes down to `loss`, by a straight line between its points; None if it does not."""
    for before, after in itertools.pairwise(curve):
        if after.loss <= loss:
            share = (before.loss - loss) / (before.loss - after.loss) if before.loss > loss else 0.0
            return getattr(before, axis) + share * (getattr(after, axis) - getattr(before, axis))
    return None


COLUMNS = ["size", "recipe", "seeds", "held-out loss", "seconds", "reaches in time", "in FLOPs", *TUNED_ON]


def rows_of(size: str, runs: dict[str, list[dict[str, Any]]]) -> list[list[Any]]:
    """The table's lines of a size."""
    curves = {name: [one["curve"] for one in several] for name, several in runs.items()}
    papers = [several for name, several in curves.items() if name.startswith("paper")]
    if not papers:
        return []
    goal, paper = min((statistics.mean(one[-1].loss for one in several), several) for several in papers)
    whole = {axis: statistics.mean(getattr(one[-1], axis) for one in paper) for axis in ("seconds", "flops")}
    rows = []
    for name, several in curves.items():
        shares = [share(several, goal, axis, whole[axis]) for axis in ("seconds", "flops")]
        seconds = statistics.mean(one[-1].seconds for one in several)
        loss = spread([one[-1].loss for one in several])
        rows.append([size, name, len(several), loss, round(seconds), *shares, *tuned(runs[name])])
    return rows


def share(several: Sequence[Sequence[Point]], goal: float, axis: str, whole: float) -> str:
    """Of the paper's time or FLOPs, the mean over seeds."""
    found = [reaches(one, goal, axis) for one in several]
    return "no" if None in found else f"{statistics.mean(found) / whole:.2f}"


def draw(done: dict[str, dict[str, list[dict[str, Any]]]], path: Path) -> None:
    """Held-out loss against time and FLOPs, a row a size; the paper's in black."""
    from matplotlib import pyplot

    sizes = [size for size, runs in done.items() if runs]
    figure, axes = pyplot.subplots(len(sizes), 2, figsize=(11, 4 * len(sizes)), squeeze=False, layout="constrained")
    for line, size in zip(axes, sizes, strict=True):
        for number, (name, runs) in enumerate(done[size].items()):
            color = "black" if name.startswith("paper") else f"C{number % 10}"
            for one in (run["curve"] for run in runs):
                for axis, at in zip(line, ("seconds", "flops"), strict=True):
                    axis.plot([getattr(p, at) for p in one], [p.loss for p in one], color=color)
            line[0].plot([], [], color=color, label=name)
        for axis, what in zip(line, ("seconds of steps", "FLOPs"), strict=True):
            axis.set(title=size, xlabel=what, ylabel="held-out masked-LM loss")
        line[0].legend(fontsize=7)
    figure.savefig(path)


if __name__ == "__main__":
    main()
