"""A records directory describes itself: records.json says what is in it, from what, and how it was made.

The manifest is written last, so a directory that has one is complete. TFDS's own metadata is written beside
it, so that tfds.builder_from_directory opens the same shards.
"""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

import tensorflow_datasets as tfds
from etils import epath

from bert_jax.data.foreign import ForeignRecords, is_foreign, read_foreign
from bert_jax.data.schema import record_features
from bert_jax.errors import UserError
from bert_jax.storage.whole_file import whole_file

MANIFEST = "records.json"
SCHEMA_VERSION = 1


@dataclasses.dataclass(frozen=True)
class Shard:
    """One TFRecord file of a split."""

    file: str  # its name in the directory
    num_records: int
    bytes: int


@dataclasses.dataclass(frozen=True)
class Split:
    """The records of "train" or "validation"."""

    num_records: int
    shards: list[Shard]


@dataclasses.dataclass(frozen=True)
class Manifest:
    """What is in a records directory."""

    max_seq_length: int
    max_predictions_per_seq: int
    vocab_size: int
    vocab_fingerprint: str
    tokenizer_kind: str
    splits: dict[str, Split]
    options: dict[str, Any]  # the flags of build_records that decide the records
    inputs: Any  # what the text was: the corpus' identity
    statistics: dict[str, dict[str, Any]]  # per split: documents, instances, masks, unknown tokens ...
    bert_jax_version: str
    schema_version: int = SCHEMA_VERSION


def write_manifest(directory: epath.PathLike, manifest: Manifest) -> None:
    """Write the TFDS metadata and then records.json, which makes the directory complete."""
    directory = epath.Path(directory)
    _write_tfds_metadata(directory, manifest)
    content = json.dumps(dataclasses.asdict(manifest), indent=2, sort_keys=True) + "\n"
    with whole_file(directory / MANIFEST) as file:
        file.write(content.encode())


def read_manifest(directory: epath.PathLike) -> Manifest:
    """Read what is in `directory`, or find it out where another program wrote the shards (see foreign.py).

    Raises:
      UserError: there is no such directory, it holds no finished records, or records of another schema version.
    """
    directory = epath.Path(directory)
    path = directory / MANIFEST
    if not directory.is_dir():
        raise UserError(f"records directory {directory} does not exist; make it with build_records")
    if not path.exists():
        if is_foreign(directory):
            return _of_foreign(read_foreign(directory))
        raise UserError(
            f"{directory} has no {MANIFEST}, so it is no records directory or build_records did not finish: run it "
            f"again; if another program wrote shards there, put their vocabulary into {directory}/tokenizer"
        )
    try:
        return _from_json(json.loads(path.read_text()))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UserError(
            f"{path} is damaged or not of schema version {SCHEMA_VERSION}; build the records again"
        ) from None


def check_vocabulary(directory: epath.PathLike, manifest: Manifest, size: int, fingerprint: str, of: str) -> None:
    """Check that the records were made with the vocabulary of `of`, a name for the message; UserError if not."""
    if (manifest.vocab_size, manifest.vocab_fingerprint) != (size, fingerprint):
        raise UserError(
            f"{directory} was made with a vocabulary of {manifest.vocab_size} tokens, fingerprint "
            f"{manifest.vocab_fingerprint}, and {of} has {size}, {fingerprint}; "
            "build the records with that vocabulary"
        )


def _from_json(content: Mapping[str, Any]) -> Manifest:
    if content["schema_version"] != SCHEMA_VERSION:
        raise ValueError(content["schema_version"])
    splits = {
        name: Split(split["num_records"], [Shard(**shard) for shard in split["shards"]])
        for name, split in content["splits"].items()
    }
    for name in (shard.file for split in splits.values() for shard in split.shards):
        if name in ("", ".", "..") or "/" in name:  # a manifest from elsewhere may not lead out of its directory
            raise ValueError(name)
    return Manifest(**{**content, "splits": splits})


def _of_foreign(found: ForeignRecords) -> Manifest:
    shards: dict[str, list[Shard]] = {}
    for path, num_records in found.num_records.items():
        split = "validation" if "validation" in path.name else "train"
        shards.setdefault(split, []).append(Shard(path.name, num_records, path.stat().length))
    return Manifest(
        max_seq_length=found.max_seq_length,
        max_predictions_per_seq=found.max_predictions_per_seq,
        vocab_size=found.tokenizer.vocab_size,
        vocab_fingerprint=found.tokenizer.fingerprint,
        tokenizer_kind=found.tokenizer.kind,
        splits={name: Split(sum(shard.num_records for shard in split), split) for name, split in shards.items()},
        options={},
        inputs=[path.name for path in found.num_records],
        statistics={},
        bert_jax_version="",
    )


def _write_tfds_metadata(directory: epath.Path, manifest: Manifest) -> None:
    template = tfds.core.ShardedFileTemplate(
        data_dir=directory, dataset_name="bert", split="train", filetype_suffix="tfrecord"
    )
    tfds.folder_dataset.write_metadata(
        data_dir=directory,
        features=record_features(manifest.max_seq_length, manifest.max_predictions_per_seq),
        split_infos=[
            tfds.core.SplitInfo(
                name=name,
                shard_lengths=[shard.num_records for shard in split.shards],
                num_bytes=sum(shard.bytes for shard in split.shards),
                filename_template=template.replace(split=name),
            )
            for name, split in manifest.splits.items()
        ],
        filename_template=None,
        check_data=False,  # would need TensorFlow
        description="Sentence pairs with masked words for BERT pretraining; records.json says how they were made.",
    )
