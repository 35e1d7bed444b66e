"""Vectors of sentences and labels of texts on this host's CPU: ours beside sentence-transformers and torch, in one run.

    .venv/bin/python benchmarks/embedding.py --model=DIR --texts=FILE [--st_python=VENV/bin/python] [--rounds=3]

TEXTS has a sentence a line. Sentences a second of a model that is loaded and compiled: tokenizing, padding by length,
computing, pooling, vectors as NumPy arrays, float32; the same number of sentences a batch. The sides run one after the
other, there and back again, each in a process of its own. sentence-transformers needs an environment of its own, which
may see ours: pip install --no-deps sentence-transformers==5.7.0.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from results import write_table

BATCHES = (32, 128)
ENVIRONMENT = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1", "JAX_PLATFORMS": "cpu", "USE_TF": "0"}
SENTENCES = 4096


def main() -> None:
    """Run the sides and print the table, or be one of the sides."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--texts", required=True)
    parser.add_argument("--st_python", default=sys.executable)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--side", choices=["ours", "st"])
    parser.add_argument("--batch", type=int, default=32)
    arguments = parser.parse_args()
    if arguments.side:
        texts = Path(arguments.texts).read_text().splitlines()[:SENTENCES]
        encode = {"ours": ours, "st": sentence_transformers}[arguments.side](arguments.model, arguments.batch)
        print(json.dumps({"rate": measured(encode, texts), "product": product_of(arguments.side)}))
        return
    rows = [row for batch in BATCHES for row in compared(batch, arguments)]
    columns = ["sentences a batch", "side", "sentences a second", "ours is as fast", "product GFLOP/s"]
    write_table("embedding", columns, rows, ["jax", "torch", "transformers"])


def compared(batch: int, arguments: argparse.Namespace) -> list[list]:
    """The table's rows of one size of a batch."""
    sides = {"bert_jax": ("ours", sys.executable), "sentence-transformers 5.7": ("st", arguments.st_python)}
    runs: dict[str, list[dict]] = {name: [] for name in sides}
    for number in range(arguments.rounds):
        for name in sides if number % 2 == 0 else reversed(sides):
            side, python = sides[name]
            command = [python, __file__, f"--side={side}", f"--model={arguments.model}", f"--texts={arguments.texts}"]
            done = subprocess.run(
                [*command, f"--batch={batch}"],
                env=os.environ | ENVIRONMENT | {"PYTHONPATH": str(Path(__file__).parent.parent)},
                check=True,
                stdout=subprocess.PIPE,
                text=True,
            )
            runs[name].append(json.loads(done.stdout.splitlines()[-1]))
    rates = {name: statistics.median(one["rate"] for one in several) for name, several in runs.items()}
    return [
        [
            batch,
            name,
            rates[name],
            rates["bert_jax"] / rates[name],
            statistics.median(one["product"] for one in several),
        ]
        for name, several in runs.items()
    ]


def measured(encode, texts: list[str]) -> float:
    """Sentences a second, the median of three after one that compiles and warms up."""
    encode(texts)
    seconds = []
    for _ in range(3):
        begun = time.perf_counter()
        encode(texts)
        seconds.append(time.perf_counter() - begun)
    return len(texts) / statistics.median(seconds)


def ours(path: str, batch: int):
    """The function from texts to vectors."""
    from bert_jax.config import MeshConfig, ModelConfig, TextConfig
    from bert_jax.inference.embedding import Embedder
    from bert_jax.inference.pooling import Pooling
    from bert_jax.interchange.own_settings import own_settings
    from bert_jax.interchange.pretrained import read_pretrained
    from bert_jax.parallel.mesh import make_mesh

    model = read_pretrained(path, ModelConfig())
    text = TextConfig(max_length=256)
    normalize, mesh = own_settings(path).normalized, make_mesh(MeshConfig())
    embedder = Embedder(model, Pooling("mean"), text, mesh, normalize, tokens=batch * 24)
    return embedder.of_texts


def sentence_transformers(path: str, batch: int):
    """The same of theirs."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(path, device="cpu")
    return lambda texts: model.encode(texts, batch_size=batch, show_progress_bar=False)


def product_of(side: str) -> float:
    """GFLOP/s of the side's own product, as large as MiniLM's feed-forward layer on a batch."""
    shape, flops = ((2048, 384), (384, 1536)), 2 * 2048 * 384 * 1536
    if side == "ours":
        import jax
        import jax.numpy as jnp

        left, right = (jnp.ones(each) for each in shape)
        function = jax.jit(jnp.matmul)
        seconds = [timed(lambda: function(left, right).block_until_ready()) for _ in range(20)]
    else:
        import torch

        left, right = (torch.ones(each) for each in shape)
        seconds = [timed(lambda: left @ right) for _ in range(20)]
    return flops / statistics.median(seconds) / 1e9


def timed(run) -> float:
    """Seconds of a call."""
    begun = time.perf_counter()
    run()
    return time.perf_counter() - begun


if __name__ == "__main__":
    main()
