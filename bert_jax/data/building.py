"""From text to a records directory: cut into parts (cutting.py), each made into a shard, then the manifest.

What is in the output does not depend on the number of workers, and a run that was killed resumes from the shards
that are finished.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

from absl import logging
from etils import epath

import bert_jax
from bert_jax.data import records_report
from bert_jax.data.beam_workers import BeamWorkers
from bert_jax.data.build import Build
from bert_jax.data.cutting import CutCorpus, cut_corpus
from bert_jax.data.examples import readable
from bert_jax.data.manifest import MANIFEST, Manifest, Split, read_manifest, write_manifest
from bert_jax.data.options import RecordOptions
from bert_jax.data.shards import Built, read_built
from bert_jax.data.source import RecordSource
from bert_jax.data.statistics import total
from bert_jax.data.workers import LocalWorkers, Workers
from bert_jax.errors import UserError
from bert_jax.storage.lock import only_run
from bert_jax.text import findings
from bert_jax.text.corpus import TEXT_FIELD, Corpus
from bert_jax.text.id_sequences import PairLines
from bert_jax.text.tokenizer import Tokenizer

_MOST_WORKERS = 1000
_EXAMPLES = 5  # records shown in the log


def build_records(
    inputs: Sequence[str],
    tokenizer: Tokenizer,
    output: epath.PathLike,
    options: RecordOptions,
    num_workers: int,
    text_field: str = TEXT_FIELD,
    strict: bool = False,
    beam_options: Any = None,
    skip_bad_records: int = 0,
) -> Manifest:
    """Make the records of `inputs` (see Corpus) in the directory `output`, or finish making them.

    Does nothing if they are there already. `text_field` is that of JSON Lines and of TFDS' examples; of text that
    cannot be read, `skip_bad_records` lines, examples or pages are left out.
    With `beam_options` (see beam_workers.py) Beam cleans dumps and makes the shards.

    Raises:
      UserError: an option makes no sense, the text cannot be used or, if `strict`, is suspicious, `output` holds
        other records, or another run is at work there.
    """
    _check(options, tokenizer, num_workers)
    workers = LocalWorkers(num_workers) if beam_options is None else BeamWorkers(beam_options)
    corpus = Corpus(inputs, options.split_sentences, text_field, num_workers, skip_bad_records)
    build = Build.of(corpus, tokenizer, options, output, strict)
    if (build.output / MANIFEST).exists() and not build.work.exists():
        return _already_there(build)
    _advise(build)
    with only_run(build.output):
        # Also of a run that was killed just before its end, or that had the lock until now.
        return _already_there(build) if (build.output / MANIFEST).exists() else _make(build, workers)


def _check(options: RecordOptions, tokenizer: Tokenizer, num_workers: int) -> None:
    options.check()
    if not 1 <= num_workers <= _MOST_WORKERS:
        raise UserError(f"--num_workers={num_workers} must be 1 or more, and {_MOST_WORKERS} at most")
    if options.pairs == "aligned":
        PairLines(tokenizer)
    if options.whole_word_mask and tokenizer.kind == "ids":
        raise UserError("--whole_word_mask needs words, and --vocab is one of bare ids; leave it out")


def _advise(build: Build) -> None:
    """Warn of what is allowed and seldom meant."""
    if advice := build.options.advice():
        logging.warning("%s", advice)
    of_sentences = build.options.pairs in ("nsp", "sop")
    if of_sentences and build.corpus.has_paragraphs and not build.options.split_sentences:
        logging.warning(
            "a line of %s is a paragraph, and pairs are made of lines: most will be of two documents; "
            "give --split_sentences",
            build.corpus.name,
        )


def _already_there(build: Build) -> Manifest:
    manifest = read_manifest(build.output)
    build.check_same({name: getattr(manifest, name) for name in build.plan})
    build.work.rmtree(missing_ok=True)
    if build.strict and (input_report := records_report.read_input_report(build.output)):
        findings.refuse(input_report)
    logging.info("%s already holds these records, complete; nothing to do", build.output)
    return manifest


def _make(build: Build, workers: Workers) -> Manifest:
    """Cut the text unless that is done, make the shards that are not there yet, then what describes them."""
    cut = cut_corpus(build, workers)
    build.tokenizer.save(build.output / "tokenizer")
    waiting = [part for part in cut.parts if read_built(build.work, part) is None]
    if len(waiting) < len(cut.parts):
        logging.info("%d of %d shards are finished already", len(cut.parts) - len(waiting), len(cut.parts))
    if waiting:
        workers.build_shards(build.output, waiting, build.options)
    return _describe(build, cut)


def _describe(build: Build, cut: CutCorpus) -> Manifest:
    """Write the report and, last, the manifest: where it is, the records are complete."""
    manifest = _manifest(build, cut)
    counted = records_report.make_report(manifest, cut.parts, cut.input_report)
    records_report.write_report(build.output, counted)
    write_manifest(build.output, manifest)
    build.work.rmtree()
    _show_examples(build)
    records_report.log_report(counted)
    logging.info("Records are in %s, and what was counted in %s", build.output, records_report.REPORT)
    return manifest


def _manifest(build: Build, cut: CutCorpus) -> Manifest:
    built: dict[str, list[Built]] = {}
    for part in cut.parts:
        shard = read_built(build.work, part)
        assert shard is not None, part
        built.setdefault(part.split, []).append(shard)
    return Manifest(
        max_seq_length=build.options.max_seq_length,
        max_predictions_per_seq=build.options.max_predictions_per_seq,
        splits={
            split: Split(sum(one.shard.num_records for one in shards), [one.shard for one in shards])
            for split, shards in built.items()
        },
        statistics={
            split: dataclasses.asdict(total(one.statistics for one in shards)) for split, shards in built.items()
        },
        bert_jax_version=bert_jax.__version__,
        **build.plan,
    )


def _show_examples(build: Build) -> None:
    source = RecordSource(build.output, "train")
    for number in range(min(_EXAMPLES, len(source))):
        logging.info("Example %d\n%s", number + 1, readable(source[number], build.tokenizer, build.options.pairs))
