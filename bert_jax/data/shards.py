"""One part of a corpus to one shard of records: what a worker process does.

Every part is generated as if by the original program on that part alone with that seed. A part's tokens (four bytes
each) and where its instances are among them (about 180 bytes each at length 128) are in memory until they are written.
"""

import dataclasses
import json
from collections.abc import Callable, Iterable, Iterator

import numpy as np
from etils import epath

from bert_jax.data.blocks import Blocks, block_ranges, blocks_of, make_blocks, separated
from bert_jax.data.encoding import encoded
from bert_jax.data.flat_corpus import FlatCorpus, flat_corpus, shuffled
from bert_jax.data.instances import Instances, Rules, append, make_rules, no_instances, sizes
from bert_jax.data.manifest import Shard
from bert_jax.data.masking import MaskingRules
from bert_jax.data.mersenne_twister import Generators, generators_of, shuffle
from bert_jax.data.options import RecordOptions
from bert_jax.data.parts import Part, read_part
from bert_jax.data.record_sizes import write_sizes
from bert_jax.data.sentence_pairs import make_pairs
from bert_jax.data.statistics import Statistics
from bert_jax.data.tfrecord import shard_name, write_shard
from bert_jax.errors import UserError
from bert_jax.storage.json_file import read_json
from bert_jax.storage.whole_file import whole_file
from bert_jax.text.id_sequences import PairLines
from bert_jax.text.tokenizer import Tokenizer

_RECORDS = 4096  # written between two reports of progress

# Called every so often with the new bytes of text that were processed (once to tokenize, once a copy) and instances.
ReportProgress = Callable[[int, int], None]


@dataclasses.dataclass(frozen=True)
class Built:
    """A finished shard and what is in it."""

    shard: Shard
    statistics: Statistics


def read_built(parts_directory: epath.Path, part: Part) -> Built | None:
    """What an earlier run has finished of this part, if it has, and the shard is there."""
    path = parts_directory / part.done_file
    if not path.exists():
        return None
    built = read_json(path, Built, "delete it, and that shard is made again")
    shard = parts_directory.parent / shard_name(part.split, part.number, part.num_parts)
    is_there = shard.name == built.shard.file and shard.exists() and shard.stat().length == built.shard.bytes
    return built if is_there else None


def build_shard(
    output: epath.Path,
    parts_directory: epath.Path,
    part: Part,
    options: RecordOptions,
    tokenizer: Tokenizer,
    progress: ReportProgress,
) -> Built:
    """Make the shard of `part` in `output`, and note beside the part that it is done.

    The same options and text give the same bytes. Raises UserError if too few documents hold any token, or no sentence
    fits into a block.
    """
    if part.split == "validation":
        options = dataclasses.replace(options, dupe_factor=1)  # one set of masks, so that evaluations compare
    rules = make_rules(options, tokenizer)
    generators = generators_of(options.random_seed)
    corpus = _tokenized(parts_directory, part, tokenizer, progress, options)
    statistics, instances = Statistics(), no_instances()
    statistics.add_corpus(corpus, tokenizer.unk_id)
    corpus, make_copy = _maker(corpus, options, rules, generators, statistics)
    for _ in range(options.dupe_factor):
        copy = make_copy()
        statistics.add_instances(copy, corpus, tokenizer.mask_id, options.max_seq_length)
        if not options.blocks:  # which count what they leave out
            statistics.add_unused(copy, corpus)
        append(instances, copy)
        progress(part.bytes // 2, len(copy.segments))
    order = np.arange(len(instances.segments))
    shuffle(generators.main, order)
    path = output / shard_name(part.split, part.number, part.num_parts)
    write_sizes(path, sizes(instances)[order])
    with write_shard(path) as writer:
        for first in range(0, len(order), _RECORDS):
            batch = order[first : first + _RECORDS]
            for record in encoded(corpus, instances, batch, rules, options.max_predictions_per_seq):
                writer.write(record)
            progress(part.bytes * options.dupe_factor // 2 * len(batch) // len(order), 0)
    built = Built(Shard(path.name, len(order), writer.offsets[-1]), statistics)
    with whole_file(parts_directory / part.done_file) as file:
        file.write(json.dumps(dataclasses.asdict(built)).encode())
    return built


def _maker(
    corpus: FlatCorpus, options: RecordOptions, rules: Rules, generators: Generators, statistics: Statistics
) -> tuple[FlatCorpus, Callable[[], Instances]]:
    """The corpus in which instances have their ranges, and what makes those of one copy."""
    if not options.blocks:
        in_random_order = shuffled(corpus, generators.main)
        return in_random_order, lambda: make_pairs(in_random_order, rules, generators)
    with_separators = separated(corpus, rules.masking.sep_id)
    blocks = blocks_of(with_separators, options)
    if not len(blocks.ranges):
        raise UserError(
            f"no sentence fits into a block of --max_seq_length={options.max_seq_length}; give --cut_long_sentences, "
            "or longer blocks"
        )
    statistics.long_sentences += blocks.long_sentences
    statistics.long_sentence_tokens += blocks.long_sentence_tokens
    return with_separators, lambda: make_blocks(with_separators, blocks, rules, generators)


def compile_all() -> None:
    """Make a few records of nothing, so that all that is compiled for shards is compiled, and kept on disk."""
    special_ids = {"cls_id": 1, "sep_id": 2, "mask_id": 3, "vocab_size": 4}
    masking = MaskingRules(np.ones(6, np.int32), np.zeros(4, np.bool_), **special_ids, ngram_shares=np.empty(0))
    rules = Rules(max_seq_length=5, short_seq_prob=0.5, pairs=0, masking=masking)
    generators = generators_of(0)
    corpus = shuffled(flat_corpus([[[0], [0]], [[0], [0]]]), generators.main)
    instances = no_instances()
    append(instances, make_pairs(corpus, rules, generators))
    Statistics().add_instances(instances, corpus, masking.mask_id, rules.max_seq_length)
    Statistics().add_unused(instances, corpus)
    make_blocks(corpus, Blocks(np.array([[0, 1]]), 0, 0), rules, generators)
    block_ranges(np.ones(1, np.int64), np.ones(1, np.bool_), 1, by_document=True)
    list(encoded(corpus, instances, np.arange(len(instances.segments)), rules, 1))


def _tokenized(
    directory: epath.Path, part: Part, tokenizer: Tokenizer, progress: ReportProgress, options: RecordOptions
) -> FlatCorpus:
    """The part's documents as token ids."""
    pair_lines = PairLines(tokenizer) if options.pairs == "aligned" else None

    def documents() -> Iterator[Iterable[list[int]]]:
        for document in read_part(directory, part):
            yield pair_lines.encode_document(document) if pair_lines else map(tokenizer.encode, document)
            progress(part.bytes // part.documents, 0)

    corpus = flat_corpus(documents())
    fewest_documents = options.fewest_documents
    if len(corpus.document_starts) < fewest_documents:
        raise UserError(
            f"{part.split} part {part.number} has {len(corpus.document_starts)} documents that hold any token, "
            f"and {'two are' if fewest_documents > 1 else 'one is'} needed; use fewer --num_parts, another --holdout, "
            "or more text"
        )
    return corpus
