"""Shards that another program wrote, such as the original create_pretraining_data.py: found, counted and checked.

They lie in a directory as *.tfrecord* (those with "validation" in their names are held out), and their vocabulary in
its tokenizer/, where a bare vocab.txt will do. What records.json holds for shards of ours is found here in the shards:
the sizes in the first record, the number of records by walking along each once, which leaves its index.
"""

import dataclasses

from absl import logging
from etils import epath

from bert_jax.config.data import Pairs
from bert_jax.data.parts import PARTS
from bert_jax.data.schema import RecordFormat, is_alberts, record_sizes
from bert_jax.data.shard_index import index_path
from bert_jax.data.tfrecord import TFRecordReader
from bert_jax.errors import UserError
from bert_jax.progress import counted
from bert_jax.storage.paths import files_of
from bert_jax.text.load_tokenizer import load_tokenizer
from bert_jax.text.tokenizer import Tokenizer


@dataclasses.dataclass(frozen=True)
class ForeignRecords:
    """What is in a directory of such shards."""

    max_seq_length: int
    max_predictions_per_seq: int
    pairs: Pairs
    tokenizer: Tokenizer
    num_records: dict[epath.Path, int]  # of every shard, in order of the names


def is_foreign(directory: epath.Path) -> bool:
    """Whether somebody has put shards and their vocabulary there; an unfinished build_records has PARTS as well."""
    return (directory / "tokenizer").exists() and not (directory / PARTS).exists() and bool(_shards(directory))


def read_foreign(directory: epath.Path) -> ForeignRecords:
    """Find out what the shards in `directory` hold.

    Raises:
      UserError: the vocabulary is not the shards'; or a shard is damaged, empty, not of BERT's records or of others.
    """
    tokenizer, shards = load_tokenizer(directory / "tokenizer"), _shards(directory)
    if not all(index_path(shard).exists() for shard in shards):
        logging.info("%s has no records.json: walking its %d shards once", directory, len(shards))
    num_records, first = {}, None
    for shard in counted(shards, "shards", len(shards)):
        reader = TFRecordReader(shard)
        num_records[shard] = len(reader)
        sizes = _sizes(reader, tokenizer)
        first = first or sizes
        if sizes != first:
            raise UserError(
                f"{shard} holds records of {sizes[0]} tokens and {sizes[1]} predictions, and {shards[0].name} of "
                f"{first[0]} and {first[1]}; put them into directories of their own"
            )
    assert first is not None, "is_foreign has found shards"
    # Without a flag, ALBERT's script exchanges A and B.
    pairs: Pairs = "sop" if is_alberts(TFRecordReader(shards[0])[0]) else "nsp"
    return ForeignRecords(*first, pairs, tokenizer, num_records)


def _shards(directory: epath.Path) -> list[epath.Path]:
    return [path for path in files_of(directory, "*.tfrecord*") if not path.name.startswith(".")]


def _sizes(reader: TFRecordReader, tokenizer: Tokenizer) -> tuple[int, int]:
    """The sizes of the first record, which has to begin with the vocabulary's [CLS]."""
    if not len(reader):
        raise UserError(f"{reader.path} holds no record; take it out of the directory")
    data = reader[0]
    try:
        sizes = record_sizes(data)
        tokens = RecordFormat(*sizes).parse(data)["input_ids"]
    except UserError as error:
        raise UserError(f"{reader.path}: {error}; give shards of the original create_pretraining_data.py") from None
    if tokens[0] != tokenizer.cls_id or tokens.max() >= tokenizer.vocab_size:
        raise UserError(
            f"{reader.path} begins with token {tokens[0]}, and tokenizer/ beside it has {tokenizer.vocab_size} tokens, "
            f"[CLS] being {tokenizer.cls_id}; put the vocabulary there that the shards were made with"
        )
    return sizes
