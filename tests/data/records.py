"""A small records directory to read, written through the rooms' own doors."""

from bert_jax.data.manifest import Manifest, Shard, Split, write_manifest
from bert_jax.data.schema import RecordFormat
from bert_jax.data.tfrecord import shard_name, write_shard


def numbered_record(number):
    """A record of 16 tokens and 3 predictions whose first token is its number."""
    return {
        "input_ids": [number + 1] * 12 + [0] * 4,
        "input_mask": [1] * 12 + [0] * 4,
        "segment_ids": [0] * 7 + [1] * 5 + [0] * 4,
        "masked_lm_positions": [2, 3, 0],
        "masked_lm_ids": [number, 7, 0],
        "masked_lm_weights": [1.0, 1.0, 0.0],
        "next_sentence_labels": [number % 2],
    }


def write_records(directory, **sizes):
    """Write splits of `sizes` (shard sizes), records numbered through each split."""
    record_format = RecordFormat(16, 3)
    splits = {}
    for split, shard_sizes in sizes.items():
        shards, number = [], 0
        for index, size in enumerate(shard_sizes):
            path = directory / shard_name(split, index, len(shard_sizes))
            with write_shard(path) as writer:
                for _ in range(size):
                    writer.write(record_format.serialize(numbered_record(number)))
                    number += 1
            shards.append(Shard(path.name, size, path.stat().st_size))
        splits[split] = Split(number, shards)
    manifest = Manifest(
        max_seq_length=16,
        max_predictions_per_seq=3,
        vocab_size=1000,
        vocab_fingerprint="0123456789abcdef",
        tokenizer_kind="wordpiece",
        splits=splits,
        options={"random_seed": 12345},
        inputs=[],
        statistics={},
        bert_jax_version="0",
    )
    write_manifest(directory, manifest)
    return manifest
