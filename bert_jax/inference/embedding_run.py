"""All texts of a file to a directory of shards, in bounded memory; the same call again resumes."""

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import msgspec
import numpy as np
from absl import logging
from etils import epath

from bert_jax.errors import UserError
from bert_jax.inference.embedding import Embedder
from bert_jax.inference.embedding_files import (
    InputDigest,
    Made,
    Settings,
    Shard,
    begun,
    with_sizes,
    write_arrays,
    write_ids,
    write_made,
)
from bert_jax.inference.embedding_options import EmbeddingOptions, Loaded
from bert_jax.inference.progress import Progress, Watch
from bert_jax.inference.token_shards import Arrays, of_tokens, of_words
from bert_jax.parallel.first_process import broadcast_from_first
from bert_jax.parallel.shared_directory import check_is_shared
from bert_jax.storage.json_file import write_json
from bert_jax.tasks.columns import Columns
from bert_jax.tasks.examples import TextExample
from bert_jax.tasks.headers import HAS_HEADER
from bert_jax.tasks.ids import all_or_none
from bert_jax.tasks.lines import STANDARD_INPUT, read_lines, shown
from bert_jax.tasks.text_stream import stream_texts
from bert_jax.tasks.text_tokens import TextTokens
from bert_jax.text.tfds_split import PREFIX

_SHARD_BYTES = 1 << 28  # of float32 numbers, at most


def embed_file(options: EmbeddingOptions, loaded: Loaded, file: str, output: epath.PathLike) -> Made:
    """Write the vectors of all texts of `file`, in their order, into `output`, which the caller holds.

    Raises:
      UserError: the input cannot be read or is another than that of the shards that are there, one of them is gone or
        cut, or `output` holds something else, or is another directory on another host.
    """
    output = epath.Path(output)
    check_is_shared(output, "--output")
    made, is_complete = begun_for_all(output, loaded.settings)
    digest = InputDigest()
    examples = _digested(texts_of(options, file), digest)
    if made:
        _pass_over(made, is_complete, examples, digest, file)
        logging.info("%s: %s texts are embedded already", output, f"{made.rows:,}")
    else:
        made = Made(loaded.settings, options.model, shown(file), loaded.embedder.dim, 0, options.dtype, [])
        examples = itertools.chain([next(examples)], examples)  # nothing is begun before there is a text
    if not is_complete:
        _begin(output, made, loaded)
        made = _write_shards(options, loaded.embedder, examples, digest, output, made)
        _write_made(output, made, is_complete=True)
    loaded.embedder.encoder.log_lengths(shown(file), "--long=windows")
    return made


def check_input(file: str | None) -> str:
    """The `file`; UserError if it is not given or cannot be read (of a TFDS split or standard input, that is later)."""
    if not file:
        raise UserError("--input is missing, give a file of texts (.txt, .jsonl, .tsv or .csv), or - with texts at it")
    if file != STANDARD_INPUT and not file.startswith(PREFIX):
        next(read_lines(file), None)
    return file


def begun_for_all(output: epath.Path, settings: Settings) -> tuple[Made | None, bool]:
    """What an earlier call made, as `begun` finds it in the first process.

    One that looked for itself, a little later, might see what the first has written since.

    Raises:
      UserError: as `begun` does, in all processes.
    """
    return broadcast_from_first(lambda: begun(output, settings), _told, _heard)


def _told(found: tuple[Made | None, bool]) -> list[Any]:
    made, is_complete = found
    return [made and dataclasses.asdict(made), is_complete]


def _heard(told: Any) -> tuple[Made | None, bool]:
    return msgspec.convert(told, tuple[Made | None, bool])


def texts_of(options: EmbeddingOptions, file: str) -> Iterator[TextExample]:
    """The texts of `file` as the options have it read, each when it is asked for; all have ids, or none."""
    return all_or_none(stream_texts(file, Columns.of(options.columns), HAS_HEADER[options.header]))


def _digested(examples: Iterator[TextExample], digest: InputDigest) -> Iterator[TextExample]:
    for example in examples:
        digest.add(example)
        yield example


def _pass_over(made: Made, is_complete: bool, examples: Iterator[TextExample], digest: InputDigest, file: str) -> None:
    """Read the texts of the shards that are there; UserError if they are not those that were embedded."""
    for shard in made.shards:
        read = sum(1 for _ in itertools.islice(examples, shard.rows))
        if read < shard.rows or str(digest) != shard.input_crc32c:
            raise UserError(f"{shown(file)} is not what {shard.file} was made of; give another --output")
    if is_complete and next(examples, None) is not None:
        raise UserError(f"{shown(file)} has more than the {made.rows:,} texts of --output; give another --output")


def _begin(output: epath.Path, made: Made, loaded: Loaded) -> None:
    if jax.process_index() == 0:
        write_made(output, made, is_complete=False)  # the first: it says whose directory this is
        if made.settings["pooling"] == "tokens":
            write_json(output / "tokens.json", loaded.tokenizer.tokens)


def _write_made(output: epath.Path, made: Made, is_complete: bool) -> None:
    if jax.process_index() == 0:
        write_made(output, made, is_complete)


def _write_shards(
    options: EmbeddingOptions,
    embedder: Embedder,
    examples: Iterator[TextExample],
    digest: InputDigest,
    output: epath.Path,
    made: Made,
) -> Made:
    of_texts, kind = embedder.pooling.of_texts, embedder.pooling.kind
    with Progress("embedding") as progress:
        shards = _of_texts if of_texts else _of_tokens
        for taken, arrays in shards(options, embedder, examples, progress.watch):
            number = f"{len(made.shards):05d}"
            name = f"embeddings-{number}.npy" if of_texts else f"{kind}-{number}.safetensors"
            shard = Shard(name, f"ids-{number}.jsonl", len(taken), str(digest))
            if jax.process_index() == 0:
                write_ids(output / shard.ids, taken, made.rows)
                write_arrays(output / shard.file, arrays)
                shard = with_sizes(output, shard)
            made = dataclasses.replace(made, rows=made.rows + len(taken), shards=[*made.shards, shard])
            _write_made(output, made, is_complete=False)
    return made


def _of_texts(
    options: EmbeddingOptions, embedder: Embedder, examples: Iterator[TextExample], watch: Watch
) -> Iterator[tuple[Sequence[TextExample], np.ndarray]]:
    most = min(options.shard_rows, max(1, _SHARD_BYTES // (4 * embedder.dim)))
    while taken := list(itertools.islice(examples, most)):
        yield taken, embedder.vectors(taken, watch).astype(options.dtype)


def _of_tokens(
    options: EmbeddingOptions, embedder: Embedder, examples: Iterator[TextExample], watch: Watch
) -> Iterator[tuple[Sequence[TextExample], Arrays]]:
    most = max(1, _SHARD_BYTES // (4 * embedder.dim))
    while taken := list(_with_tokens(embedder, examples, options.shard_rows, most)):
        texts, tokens = [text for text, _ in taken], [each for _, each in taken]
        if embedder.pooling.kind == "tokens":
            yield texts, of_tokens(embedder, tokens, options.dtype, watch)
        else:
            yield texts, of_words(embedder, texts, tokens, options.dtype, watch)


def _with_tokens(
    embedder: Embedder, examples: Iterator[TextExample], most_texts: int, most_tokens: int
) -> Iterator[tuple[TextExample, TextTokens]]:
    """Texts until there are so many of them, or of their tokens; none is read too many."""
    count = 0
    for example in itertools.islice(examples, most_texts):
        tokens = embedder.tokens(example)
        yield example, tokens
        count += len(tokens.ids)
        if count >= most_tokens:
            return
