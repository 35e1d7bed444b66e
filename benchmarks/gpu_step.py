"""One training step of BERT on one GPU: ours beside torch's, in one run.

    python benchmarks/gpu_step.py [--compiled] [--only=BERT-base]

All sides compute the same: both heads, dropout 0.1, AdamW with the same exclusions, full rows, bfloat16 products
(torch: autocast, scaled_dot_product_attention, logits of the masked tokens only), the loss read after every step. Every
figure is of a process of its own, one after the other. MFU is of the FLOPs that pretrain counts, against the published
peak of the card. --compiled adds torch.compile, which takes minutes to compile.
"""

import argparse
import dataclasses
import json
import statistics
import subprocess
import sys
from pathlib import Path

import jax
from results import write_table
from step_ours import run_config
from step_setting import Setting

from bert_jax.objectives.pretraining import PretrainingObjective
from bert_jax.parallel.peak import published_peak

HERE = Path(__file__).parent
BASE = {"layers": 12, "hidden": 768, "heads": 12, "dtype": "bfloat16", "device": "cuda", "steps": 20}
LARGE = BASE | {"layers": 24, "hidden": 1024, "heads": 16}
SETTINGS = {
    "BERT-base, 256 x 128": Setting(rows=256, length=128, predictions=20, **BASE),
    "BERT-base, 64 x 512": Setting(rows=64, length=512, predictions=76, **BASE),
    "BERT-large, 128 x 128": Setting(rows=128, length=128, predictions=20, **LARGE),
    "BERT-large, 32 x 512": Setting(rows=32, length=512, predictions=76, **LARGE),
}
SIDES = {
    "bert_jax": ["step_ours.py"],
    "torch": ["step_torch.py", "gathered"],
    "torch.compile": ["step_torch.py", "gathered", "compiled"],
}


def main() -> None:
    """Run every side of every setting and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--compiled", action="store_true")
    parser.add_argument("--only", default="", help="beginning of the settings' names")
    arguments = parser.parse_args()
    sides = [side for side in SIDES if arguments.compiled or side != "torch.compile"]
    chosen = {name: setting for name, setting in SETTINGS.items() if name.startswith(arguments.only)}
    measured = {name: {side: run(SIDES[side], setting) for side in sides} for name, setting in chosen.items()}
    rows = [
        [name, side, *figures(one, runs["bert_jax"], SETTINGS[name])]
        for name, runs in measured.items()
        for side, one in runs.items()
    ]
    columns = ["model and batch", "side", "ms a step", "sequences a second", "ours is as fast", "MFU", "first step, s"]
    write_table("gpu_step", [*columns, "peak GiB", "product TFLOP/s"], rows, ["jax", "torch", "transformers"])


def run(side: list[str], setting: Setting) -> dict:
    """One process of a side; what it measured."""
    command = [sys.executable, str(HERE / side[0]), json.dumps(dataclasses.asdict(setting)), *side[1:]]
    print(*command, file=sys.stderr, flush=True)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"error: {side[0]} failed: {done.stderr[-2000:]}")
    print(done.stdout, file=sys.stderr, flush=True)
    return json.loads(done.stdout.splitlines()[-1])


def figures(one: dict, ours: dict, setting: Setting) -> list:
    """A line of the table."""
    median = statistics.median(one["steps"])
    as_fast = median / statistics.median(ours["steps"])
    a_row = PretrainingObjective(run_config(setting).model).flops_per_row(setting.length, setting.predictions)
    peak = published_peak(jax.devices()[0].device_kind)
    mfu = f"{setting.rows * a_row / median / peak:.1%}" if peak else "no published peak"
    times = [f"{1000 * median:.1f}", round(setting.rows / median), round(as_fast, 2)]
    return [*times, mfu, round(one["first"], 1), round(one["peak_gib"], 1), round(one["gigaflops"] / 1000)]


if __name__ == "__main__":
    main()
