"""One part of a corpus to one shard of records: what a worker process does.

Every part is generated as if by the original program on that part alone with that seed. All of a part's
records are in memory until they are shuffled, about 1 KB each at length 128.
"""

import dataclasses
import json
import random
from collections.abc import Callable, Sequence

from etils import epath

from bert_jax.data.instances import InstanceMaker
from bert_jax.data.manifest import Shard
from bert_jax.data.options import RecordOptions
from bert_jax.data.parts import Part, read_part
from bert_jax.data.schema import RecordFormat
from bert_jax.data.statistics import Statistics
from bert_jax.data.tfrecord import shard_name, write_shard
from bert_jax.data.whole_file import whole_file
from bert_jax.errors import UserError
from bert_jax.text.tokenizer import Tokenizer

# Told, every so often, of bytes of text that were gone through (once to tokenize, once a copy) and of new instances.
Progress = Callable[[int, int], None]


@dataclasses.dataclass(frozen=True)
class Built:
    """A finished shard and what is in it."""

    shard: Shard
    statistics: Statistics


def read_built(parts_directory: epath.Path, part: Part) -> Built | None:
    """What an earlier run has finished of this part, if it has."""
    path = parts_directory / f"{part.name}.done.json"
    if not path.exists():
        return None
    content = json.loads(path.read_text())
    return Built(Shard(**content["shard"]), Statistics(**content["statistics"]))


def build_shard(
    output: epath.Path,
    parts_directory: epath.Path,
    part: Part,
    options: RecordOptions,
    tokenizer: Tokenizer,
    progress: Progress,
) -> Built:
    """Make the shard of `part` in `output`, and note beside the part that it is done.

    The same options and text give the same bytes. Raises UserError if too few documents hold any token.
    """
    if part.split == "validation":
        options = dataclasses.replace(options, dupe_factor=1)
    statistics = Statistics()
    corpus = _tokenized(parts_directory, part, tokenizer, statistics, progress)
    records = _shuffled_records(corpus, part, options, tokenizer, statistics, progress)
    path = output / shard_name(part.split, part.number, part.num_parts)
    with write_shard(path) as writer:
        for record in records:
            writer.write(record)
    built = Built(Shard(path.name, len(records), writer.offsets[-1]), statistics)
    with whole_file(parts_directory / f"{part.name}.done.json") as file:
        file.write(json.dumps(dataclasses.asdict(built)).encode())
    return built


def _tokenized(
    directory: epath.Path, part: Part, tokenizer: Tokenizer, statistics: Statistics, progress: Progress
) -> list[list[list[int]]]:
    """The part's documents as sentences of ids, without those that hold no token."""
    corpus = []
    for document in read_part(directory, part):
        sentences = [ids for ids in map(tokenizer.encode, document) if ids]
        progress(part.bytes // part.documents, 0)
        if sentences:
            statistics.add_document(sentences, tokenizer.unk_id)
            corpus.append(sentences)
    if len(corpus) < 2:
        raise UserError(
            f"{part.split} part {part.number} has {len(corpus)} documents that hold any token, "
            "and two are needed; use fewer --num_parts, another --holdout, or more text"
        )
    return corpus


def _shuffled_records(
    corpus: Sequence[Sequence[Sequence[int]]],
    part: Part,
    options: RecordOptions,
    tokenizer: Tokenizer,
    statistics: Statistics,
    progress: Progress,
) -> list[bytes]:
    rng = random.Random(options.random_seed)
    record_format = RecordFormat(options.max_seq_length, options.max_predictions_per_seq)
    records = []
    for instances in InstanceMaker(options, tokenizer).make(corpus, rng):
        for instance in instances:
            statistics.add_instance(instance, tokenizer.mask_id, options.max_seq_length)
            record = instance.record(options.max_seq_length, options.max_predictions_per_seq)
            records.append(record_format.serialize(record))
        progress(part.bytes // part.documents, len(instances))
    rng.shuffle(records)
    return records
