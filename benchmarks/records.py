"""Records out of text: ours beside the original create_pretraining_data.py, and the memory for more and more text.

    .venv/bin/python benchmarks/records.py [--input='text/*.txt.xz'] [--vocab=vocab.txt]     a quarter of an hour

Both sides are processes of their own and are measured whole, from start to end; the original is one process, and ours
takes one part and one worker (the same records), and then a part and a worker for each core. What is compiled is
compiled before. The host has to be idle. The second table cuts the text, repeated, into parts of one size: the peak
is of all processes together, memory that they share counted once.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from results import write_table

from bert_jax.text.corpus import Corpus

PREDICTIONS = {128: 20, 512: 76}  # the paper's; of other lengths 0.15 of the tokens
WORKERS = (1, os.cpu_count() or 1)
SECONDS_BETWEEN_LOOKS = 0.1  # at the memory
MB = 1_000_000


def main() -> None:
    """Measure speed, memory or both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", default="python-docs", help="text, as build_records takes it")
    parser.add_argument("--vocab", help="a vocab.txt; trained on the text if not given")
    parser.add_argument("--megabytes", type=float, default=20, help="of the text that both sides take")
    parser.add_argument("--dupe_factor", type=int, default=10)
    parser.add_argument("--lengths", type=int, nargs="*", default=[128, 512], help="none: no comparison")
    parser.add_argument("--repetitions", type=int, default=3, help="of ours; the original runs once")
    parser.add_argument("--memory", type=float, nargs="*", default=[20, 200, 2000], help="megabytes; none: no curve")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        setting = prepared(Path(directory), arguments)
        rows = [row for length in arguments.lengths for row in compared(setting, length, arguments)]
        if rows:
            columns = [
                "tokens",
                "side",
                "workers",
                "records",
                "s",
                "MB/s",
                "faster",
                "CPU s",
                "faster a core",
                "MB peak",
            ]
            write_table("records", columns, rows, ["numba", "numpy", "bert-tensorflow", "tensorflow-cpu"])
        curve = [memory_of(setting, megabytes) for megabytes in arguments.memory]
        if curve:
            columns = ["MB of text", "parts", "workers", "s", "MB/s", "MB peak", "of the first"]
            rows = [[*row, row[-1] / curve[0][-1]] for row in curve]
            write_table("records_memory", columns, rows, ["numba", "numpy"])


class Setting(NamedTuple):
    """What all runs have in common."""

    directory: Path  # for everything that is written
    text: Path
    vocab: Path


class Run(NamedTuple):
    """What one process and its children took."""

    seconds: float
    cpu_seconds: float
    peak: float  # MB


def prepared(directory: Path, arguments: argparse.Namespace) -> Setting:
    """The text in one plain file, and the vocabulary; and everything compiled."""
    text, vocab = directory / "text.txt", directory / "vocab"
    with text.open("wb") as file:
        for document in documents(arguments.input):
            file.write(document)
            if file.write_table() >= arguments.megabytes * MB:
                break
    if arguments.vocab:
        setting = Setting(directory, text, Path(arguments.vocab))
    else:
        module("bert_jax.build_vocab", f"--input={text}", f"--output={vocab}", "--vocab_size=30522", "--lowercase")
        setting = Setting(directory, text, vocab / "vocab.txt")
    small = directory / "small.txt"
    small.write_text("some words\nand some more\n\nother words\nand no more\n")
    ours(setting._replace(text=small), workers=1, parts=1)
    return setting


def documents(source: str) -> Iterator[bytes]:
    """The documents of `source` as plain text, each with the blank line that ends it."""
    for document in Corpus([source]).documents():
        yield ("\n".join(document.sentences) + "\n\n").encode()


def compared(setting: Setting, length: int, arguments: argparse.Namespace) -> Iterator[list]:
    """The rows of one length, the original's first."""
    options = {
        "max_seq_length": length,
        "max_predictions_per_seq": PREDICTIONS.get(length, max(1, round(0.15 * length))),
        "dupe_factor": arguments.dupe_factor,
    }
    megabytes = setting.text.stat().st_size / MB
    theirs = original(setting, **options)
    yield [
        length,
        "original",
        1,
        "",
        theirs.seconds,
        megabytes / theirs.seconds,
        1.0,
        theirs.cpu_seconds,
        1.0,
        theirs.peak,
    ]
    for workers in WORKERS:
        runs, records = [], 0
        for _ in range(arguments.repetitions):
            run, records = ours(setting, workers=workers, parts=workers, **options)
            runs.append(run)
        seconds, cpu_seconds, peak = (statistics.median(values) for values in zip(*runs, strict=True))
        faster, a_core = theirs.seconds / seconds, theirs.cpu_seconds / cpu_seconds
        yield [length, "ours", workers, records, seconds, megabytes / seconds, faster, cpu_seconds, a_core, peak]


def memory_of(setting: Setting, megabytes: float) -> list:
    """A row of the memory curve: the text repeated up to so many megabytes, at dupe factor 1."""
    text, workers = setting.directory / "repeated.txt", WORKERS[-1]
    size = setting.text.stat().st_size
    with text.open("wb") as repeated:
        for _ in range(max(1, round(megabytes * MB / size))):
            with setting.text.open("rb") as once:
                shutil.copyfileobj(once, repeated)
    # Two parts a worker in the text's first copy: every worker's memory of words is as full at the end of each curve.
    parts = 2 * workers * max(1, round(text.stat().st_size / size))
    run, _ = ours(setting._replace(text=text), workers=workers, parts=parts, dupe_factor=1)
    megabytes = text.stat().st_size / MB
    text.unlink()
    return [megabytes, parts, workers, run.seconds, megabytes / run.seconds, run.peak]


def original(setting: Setting, **options: int) -> Run:
    """The original program, as PyPI's bert-tensorflow has it."""
    output = setting.directory / "original.tfrecord"
    flags = [f"--input_file={setting.text}", f"--vocab_file={setting.vocab}", f"--output_file={output}"]
    run = module("bert.create_pretraining_data", *flags, *as_flags(options))
    output.unlink()
    return run


def ours(setting: Setting, workers: int, parts: int, **options: int) -> tuple[Run, int]:
    """Our program; and how many records it made."""
    output = setting.directory / "records"
    flags = [f"--input={setting.text}", f"--vocab={setting.vocab}", f"--output={output}"]
    run = module("bert_jax.build_records", *flags, *as_flags({"num_workers": workers, "num_parts": parts, **options}))
    records = json.loads((output / "records.json").read_text())["splits"]["train"]["num_records"]
    shutil.rmtree(output)
    return run, records


def as_flags(options: dict[str, int]) -> list[str]:
    """A command's flags."""
    return [f"--{name}={value}" for name, value in options.items()]


def module(name: str, *flags: str) -> Run:
    """Run `python -m name flags` and watch it."""
    with tempfile.TemporaryFile() as log:
        started = time.perf_counter()
        process = subprocess.Popen([sys.executable, "-m", name, *flags], stdout=log, stderr=log)
        peak = 0.0
        while True:
            ended, status, usage = os.wait4(process.pid, os.WNOHANG)
            if ended:
                break
            peak = max(peak, memory(process.pid))
            time.sleep(SECONDS_BETWEEN_LOOKS)
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            log.seek(0)
            sys.exit(f"error: {name} ended with {process.returncode}:\n{log.read()[-4000:].decode(errors='replace')}")
    print(f"{name} {' '.join(flags)}: {seconds:.1f} s, {peak:.0f} MB", file=sys.stderr, flush=True)
    return Run(seconds, usage.ru_utime + usage.ru_stime, peak)


def memory(pid: int) -> float:
    """MB that a process and its descendants hold in memory; of what n processes share, each counts an nth."""
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        children = [
            child for file in Path(f"/proc/{pid}/task").glob("*/children") for child in file.read_text().split()
        ]
    except OSError:  # it has just ended
        return 0.0
    shares = [int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:")]
    return sum(shares) * 1024 / MB + sum(memory(int(child)) for child in children)


if __name__ == "__main__":
    main()
