"""How many records a second one core reads: parsed, every CRC checked, shuffled over the whole set, batched; and that
with masks drawn anew, by each of the two rules.

    .venv/bin/python benchmarks/input.py

The records are made for it, of random tokens, and lie in the page cache. The process is held to one core.
"""

import os
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from results import write_table

from bert_jax.config import DataConfig
from bert_jax.data.batches import training_batches
from bert_jax.data.dynamic_masks import DynamicMasks
from bert_jax.data.manifest import Manifest, Shard, Split, write_manifest
from bert_jax.data.schema import RecordFormat
from bert_jax.data.source import RecordSource
from bert_jax.data.tfrecord import shard_name, write_shard
from bert_jax.text.load_tokenizer import load_tokenizer

MASKING = ("static", "roberta", "bert")
VOCABULARY = "ids:30522,pad=0,unk=100,cls=101,sep=102,mask=103"
SIZES = ((128, 20), (512, 76))  # tokens and predictions of a record
RECORDS, SHARDS, BATCH, REPETITIONS = 100_000, 4, 256, 5


def main() -> None:
    """Measure both sizes of the paper."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    rows = []
    for length, predictions in SIZES:
        with tempfile.TemporaryDirectory() as directory:
            write_random_records(Path(directory), length, predictions)
            source = RecordSource(directory, "train")
            # One after the other in turn, so that what else the host does is the same for all.
            rates = [[records_per_second(source, seed, rule) for rule in MASKING] for seed in range(REPETITIONS)]
        for rule, of_rule in zip(MASKING, zip(*rates, strict=True), strict=True):
            found = (round(value) for value in (statistics.median(of_rule), min(of_rule), max(of_rule)))
            rows.append([length, predictions, rule, *found])
    write_table(
        "input",
        ["tokens", "predictions", "masks", "records/s/core, median", "least", "most"],
        rows,
        ["grain", "numpy", "google-crc32c", "protobuf"],
    )


def records_per_second(source: RecordSource, seed: int, masking: str) -> float:
    """Records a second of this process' own time, over 100 batches, after some to get going."""
    length = source.manifest.max_seq_length
    masks = DynamicMasks(DataConfig(masking=masking), load_tokenizer(VOCABULARY), length, seed)
    batches = training_batches(
        source,
        global_batch_size=BATCH,
        rows=np.arange(BATCH),
        seed=seed,
        first_step=0,
        last_step=120,
        transform=None if masking == "static" else masks,
    )
    for _ in range(20):
        next(batches)
    started = time.process_time()
    number = sum(len(batch["input_ids"]) for batch in batches)
    return number / (time.process_time() - started)


def write_random_records(directory: Path, length: int, predictions: int) -> None:
    """A records directory of random tokens, ids of the size that BERT's vocabulary has."""
    random, record_format, shards = np.random.default_rng(0), RecordFormat(length, predictions), []
    for number in range(SHARDS):
        path = directory / shard_name("train", number, SHARDS)
        with write_shard(path) as writer:
            for _ in range(RECORDS // SHARDS):
                writer.write(record_format.serialize(random_record(random, length, predictions)))
        shards.append(Shard(path.name, RECORDS // SHARDS, path.stat().st_size))
    write_manifest(
        directory,
        Manifest(length, predictions, 30522, "0" * 16, "wordpiece", {"train": Split(RECORDS, shards)}, {}, [], {}, ""),
    )


def random_record(random: np.random.Generator, length: int, predictions: int) -> dict[str, list[int]]:
    """One record, all full."""
    return {
        "input_ids": random.integers(1000, 30522, length).tolist(),
        "input_mask": [1] * length,
        "segment_ids": [0] * (length // 2) + [1] * (length - length // 2),
        "masked_lm_positions": sorted(random.choice(length, predictions, replace=False).tolist()),
        "masked_lm_ids": random.integers(1000, 30522, predictions).tolist(),
        "masked_lm_weights": [1.0] * predictions,
        "next_sentence_labels": [int(random.integers(2))],
    }


if __name__ == "__main__":
    main()
