"""records.json, the description of a records directory: what is in it, of what it was made, and how.

The manifest is written last, so a directory that has one is complete. TFDS's own metadata is written beside
it, so that tfds.builder_from_directory opens the same shards.
"""

import dataclasses
from typing import Annotated, Any

import msgspec
import tensorflow_datasets as tfds
from etils import epath

from bert_jax.config.data import Pairs
from bert_jax.data.options import RecordOptions
from bert_jax.data.original_shards import ForeignRecords, is_foreign, read_foreign
from bert_jax.data.schema import record_features
from bert_jax.errors import UserError
from bert_jax.storage.json_file import check_schema, read_json, write_json
from bert_jax.text.load_tokenizer import load_tokenizer

MANIFEST = "records.json"
SCHEMA_VERSION = 1

# As we name them: from elsewhere, a name may lead out of the directory.
_ShardName = Annotated[str, msgspec.Meta(pattern="^bert-[a-z]+[.]tfrecord-[0-9]{5}-of-[0-9]{5}\\Z")]
_Fingerprint = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{16}\\Z")]
_Count = Annotated[int, msgspec.Meta(ge=0)]
_Size = Annotated[int, msgspec.Meta(ge=1, lt=2**31)]
_Length = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
_REMEDY = "restore it, or build the records again"


@dataclasses.dataclass(frozen=True)
class Shard:
    """One TFRecord file of a split."""

    file: _ShardName  # in the directory
    num_records: _Count
    bytes: _Count


@dataclasses.dataclass(frozen=True)
class Split:
    """The records of "train" or "validation"."""

    num_records: _Size
    shards: Annotated[list[Shard], msgspec.Meta(min_length=1)]


@dataclasses.dataclass(frozen=True)
class Manifest:
    """What is in a records directory."""

    max_seq_length: _Length
    max_predictions_per_seq: _Length
    vocab_size: _Size
    vocab_fingerprint: _Fingerprint
    tokenizer_kind: str
    splits: dict[str, Split]
    options: dict[str, Any]  # the flags of build_records that decide the records
    inputs: Any  # what the text was: the corpus' identity
    statistics: dict[str, dict[str, Any]]  # per split: documents, instances, masks, unknown tokens ...
    bert_jax_version: str
    schema_version: int = SCHEMA_VERSION

    @property
    def pairs(self) -> Pairs:
        """What the records' labels are about: "nsp" in those from before there was a choice."""
        return self.options.get("pairs", RecordOptions.pairs)


def manifest_of(fields: dict[str, Any]) -> Manifest:
    """The manifest that `dataclasses.asdict` has made `fields` of; nothing is checked again."""
    splits = {
        name: Split(split["num_records"], [Shard(**shard) for shard in split["shards"]])
        for name, split in fields["splits"].items()
    }
    return Manifest(**fields | {"splits": splits})


def write_manifest(directory: epath.PathLike, manifest: Manifest) -> None:
    """Write the TFDS metadata and then records.json, which makes the directory complete."""
    directory = epath.Path(directory)
    _write_tfds_metadata(directory, manifest)
    write_json(directory / MANIFEST, manifest, sort_keys=True)


def read_manifest(directory: epath.PathLike) -> Manifest:
    """Read what is in `directory`, or find it out where another program wrote the shards (see original_shards.py).

    Raises:
      UserError: there is no such directory, it holds no finished records, or records of another schema version; or what
        records.json holds is contradictory, or contradicts the vocabulary beside it. RecordSource checks the shards.
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
    manifest = read_json(path, Manifest, _REMEDY)
    _check(path, manifest)
    _check_tokenizer(directory, manifest)
    return manifest


def check_vocabulary(directory: epath.PathLike, manifest: Manifest, size: int, fingerprint: str, of: str) -> None:
    """Check that the records were made with the vocabulary of `of`, a name for the message; UserError if not."""
    if (manifest.vocab_size, manifest.vocab_fingerprint) != (size, fingerprint):
        raise UserError(
            f"{directory} was made with a vocabulary of {manifest.vocab_size} tokens, fingerprint "
            f"{manifest.vocab_fingerprint}, and {of} has {size}, {fingerprint}; "
            "build the records with that vocabulary"
        )


def _check(path: epath.Path, manifest: Manifest) -> None:
    """Check that a manifest does not contradict itself; UserError if it does."""
    if manifest.schema_version != SCHEMA_VERSION:
        raise UserError(
            f"{path} is of schema version {manifest.schema_version}, and this bert_jax reads {SCHEMA_VERSION}; "
            "build the records again"
        )
    check_schema(manifest.options, RecordOptions, f"{path}, options", _REMEDY)
    files = [shard.file for split in manifest.splits.values() for shard in split.shards]
    if len(set(files)) < len(files):
        raise UserError(f"{path} is damaged: it names a shard twice; {_REMEDY}")
    for name, split in manifest.splits.items():
        number = sum(shard.num_records for shard in split.shards)
        if number != split.num_records:
            raise UserError(
                f"{path} is damaged: {name} has {split.num_records} records, and its shards {number}; {_REMEDY}"
            )


def _check_tokenizer(directory: epath.Path, manifest: Manifest) -> None:
    """Check that the vocabulary that lies beside records is theirs; UserError if not."""
    beside = directory / "tokenizer"
    if not beside.exists():  # an error where it is needed
        return
    found = load_tokenizer(beside)
    if (found.vocab_size, found.fingerprint) != (manifest.vocab_size, manifest.vocab_fingerprint):
        raise UserError(
            f"{directory / MANIFEST} says that the records are of {manifest.vocab_size} tokens, fingerprint "
            f"{manifest.vocab_fingerprint}, and {beside} has {found.vocab_size}, {found.fingerprint}; "
            "restore the one that is wrong, or build the records again"
        )


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
        options={"pairs": found.pairs} if found.pairs != RecordOptions.pairs else {},
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
        description="Text with masked words for BERT pretraining; records.json says how the records were made.",
    )
