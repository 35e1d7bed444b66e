"""Vectors of sentences on this host's CPU: exported ONNX files, float32 and int8, beside our own embed.

    .venv/bin/python benchmarks/serving.py --model=DIR --texts=FILE [--rounds=5]

TEXTS has a sentence a line. The files are exported first. Sentences a second of a model that is loaded and compiled:
tokenizing, padding by length, computing, the mean. One sentence a batch, as a service is asked, and 32 of similar
length. The sides run in turn, each in a process of its own, on all cores; the ratio is the median of each round's own.
Seconds of the processor stand beside, since a host may be shared: onnxruntime's threads spin while they wait.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from results import write_table

ROOT = Path(__file__).parent.parent
ENVIRONMENT = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1", "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT)}
SIDES = {"bert_jax": None, "ONNX float32": "model.onnx", "ONNX int8": "model_quantized.onnx"}
SENTENCES = {1: 64, 32: 512}  # of a batch's size


def main() -> None:
    """Export, run the sides and print the table, or be one of the sides."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--texts", required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--side", choices=list(SIDES))
    parser.add_argument("--batch", type=int, default=32)
    arguments = parser.parse_args()
    if arguments.side:
        print(json.dumps(of_side(arguments)))
        return
    with tempfile.TemporaryDirectory() as directory:
        files = exported(arguments.model, Path(directory))
        rows = [row for batch in SENTENCES for row in compared(batch, arguments, files)]
    columns = ["sentences a batch", "side", "MB", "sentences a second", "as fast as ours", "a CPU second"]
    columns += ["cosine to ours", "least"]
    write_table("serving", columns, rows, ["jax", "onnx", "onnxruntime"])


def exported(model: str, directory: Path) -> dict[str, str]:
    """What each side loads."""
    command = [sys.executable, "-m", "bert_jax.export", f"--model={model}", "--format=onnx", "--drop_heads"]
    for name, flags in (("float32", []), ("int8", ["--quantize=int8"])):
        done = [*command, f"--output={directory}/{name}", *flags]
        subprocess.run(done, cwd=ROOT, env=os.environ | ENVIRONMENT, check=True)
    return {name: f"{directory}/{name.split()[1]}/{file}" if file else model for name, file in SIDES.items()}


def compared(batch: int, arguments: argparse.Namespace, files: dict[str, str]) -> list[list[Any]]:
    """The table's rows of one size of a batch."""
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in SIDES}
    for number in range(arguments.rounds):
        for name in SIDES if number % 2 == 0 else reversed(SIDES):
            command = [sys.executable, __file__, f"--side={name}", f"--model={files[name]}", f"--batch={batch}"]
            done = subprocess.run(
                [*command, f"--texts={arguments.texts}"],
                env=os.environ | ENVIRONMENT,
                check=True,
                stdout=subprocess.PIPE,
                text=True,
            )
            runs[name].append(json.loads(done.stdout.splitlines()[-1]))
    ours = runs["bert_jax"]
    rows = []
    for name, several in runs.items():
        rate = statistics.median(one["rate"] for one in several)
        ratio = statistics.median(one["rate"] / other["rate"] for one, other in zip(several, ours, strict=True))
        of_cpu = statistics.median(one["cpu_rate"] for one in several)
        cosines = np.sum(np.array(several[0]["vectors"]) * np.array(ours[0]["vectors"]), axis=1)
        agreement = [f"{number:.4f}" for number in (cosines.mean(), cosines.min())]
        rows.append([batch, name, several[0]["mb"], rate, ratio, of_cpu, *agreement])
    return rows


def of_side(arguments: argparse.Namespace) -> dict[str, Any]:
    """Rate, size, and the first vectors, of length 1."""
    texts = Path(arguments.texts).read_text().splitlines()[: SENTENCES[arguments.batch]]
    encode, megabytes = (ours if arguments.side == "bert_jax" else onnx)(arguments.model, arguments.batch)
    vectors = encode(texts)
    seconds, before = [], time.process_time()
    for _ in range(3):
        begun = time.perf_counter()
        encode(texts)
        seconds.append(time.perf_counter() - begun)
    cpu = (time.process_time() - before) / 3
    some = vectors[:100] / np.linalg.norm(vectors[:100], axis=1, keepdims=True)
    rates = {"rate": len(texts) / statistics.median(seconds), "cpu_rate": len(texts) / cpu}
    return {**rates, "mb": megabytes, "vectors": some.tolist()}


def ours(path: str, batch: int) -> tuple[Callable[[Sequence[str]], np.ndarray], float]:
    """The function from texts to vectors, and how large the weights are."""
    from bert_jax.config import MeshConfig, ModelConfig, TextConfig
    from bert_jax.inference.embedding import Embedder
    from bert_jax.inference.pooling import Pooling
    from bert_jax.interchange.pretrained import read_pretrained
    from bert_jax.parallel.mesh import make_mesh

    model = read_pretrained(path, ModelConfig())
    text = TextConfig(max_length=256)
    embedder = Embedder(model, Pooling("mean"), text, make_mesh(MeshConfig()), tokens=batch * 24)
    megabytes = sum(array.nbytes for array in model.arrays.values()) / 1e6
    if batch > 1:
        return embedder.of_texts, megabytes
    return lambda texts: np.concatenate([embedder.of_texts([each]) for each in texts]), megabytes


def onnx(path: str, batch: int) -> tuple[Callable[[Sequence[str]], np.ndarray], float]:
    """The same of an exported file, as anybody would run it."""
    import onnxruntime
    import tokenizers

    tokenizer = tokenizers.Tokenizer.from_file(str(Path(path).with_name("tokenizer.json")))
    tokenizer.enable_truncation(256)
    tokenizer.enable_padding()
    session = onnxruntime.InferenceSession(path)

    def encode(texts: Sequence[str]) -> np.ndarray:
        order = np.argsort([len(text) for text in texts], kind="stable")
        found = {}
        for start in range(0, len(texts), batch):
            numbers = order[start : start + batch]
            encoded = tokenizer.encode_batch([texts[number] for number in numbers])
            inputs = {
                "input_ids": np.array([each.ids for each in encoded]),
                "attention_mask": np.array([each.attention_mask for each in encoded]),
                "token_type_ids": np.array([each.type_ids for each in encoded]),
            }
            (vectors,) = session.run(["sentence_embedding"], inputs)
            found.update(zip(numbers.tolist(), vectors, strict=True))
        return np.stack([found[number] for number in range(len(texts))])

    return encode, Path(path).stat().st_size / 1e6


if __name__ == "__main__":
    main()
