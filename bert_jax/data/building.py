"""From text to a records directory: cut into parts, a process pool, one shard a part, the manifest last.

What is in the output does not depend on the number of workers, and a run that was killed goes on from the shards
that are finished. Until the manifest is written, OUTPUT/.parts holds the parts and what is known of them.
"""

import dataclasses
import json
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from absl import logging
from etils import epath

import bert_jax
from bert_jax.data import beam_workers, records_report
from bert_jax.data.examples import readable
from bert_jax.data.manifest import MANIFEST, Manifest, Split, read_manifest, write_manifest
from bert_jax.data.options import RecordOptions
from bert_jax.data.parts import Part, cut_into_parts
from bert_jax.data.shards import Built, read_built
from bert_jax.data.source import RecordSource
from bert_jax.data.statistics import total
from bert_jax.data.workers import build_shards, compiling
from bert_jax.errors import UserError
from bert_jax.storage.json_file import check_schema, read_json
from bert_jax.storage.lock import only_run, wait_for_workers
from bert_jax.storage.whole_file import whole_file
from bert_jax.text import findings
from bert_jax.text.corpus import TEXT_FIELD, Corpus
from bert_jax.text.corpus_checks import CorpusChecks
from bert_jax.text.document import Document
from bert_jax.text.findings import InputReport
from bert_jax.text.progress import watched
from bert_jax.text.tokenizer import Tokenizer

_PLAN = "plan.json"  # in .parts: what the unfinished run is to make, of which parts
_MOST_WORKERS = 1000
_EXAMPLES = 5  # records shown in the log


@dataclasses.dataclass(frozen=True)
class _MadeOf:
    """What of the plan of finished records, or of an unfinished run, must be that of another run there."""

    options: dict[str, Any]
    inputs: Any
    vocab_size: int
    vocab_fingerprint: str


@dataclasses.dataclass(frozen=True)
class _Cut:
    """A corpus that lies in part files."""

    parts: list[Part]
    input_report: InputReport  # what was suspicious, what was dropped


@dataclasses.dataclass(frozen=True)
class _Begun(_Cut):
    """What plan.json holds."""

    plan: dict[str, Any]


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
    output = epath.Path(output)
    options.check()
    if not 1 <= num_workers <= _MOST_WORKERS:
        raise UserError(f"--num_workers={num_workers} must be 1 or more, and {_MOST_WORKERS} at most")
    if options.whole_word_mask and tokenizer.kind == "ids":
        raise UserError("--whole_word_mask needs words, and --vocab is one of bare ids; leave it out")
    corpus = Corpus(inputs, options.split_sentences, text_field, num_workers, skip_bad_records)
    plan = _plan(corpus, tokenizer, options)
    if (output / MANIFEST).exists() and not (output / ".parts").exists():
        return _already_there(output, plan, strict)
    _advise(corpus, options)
    with only_run(output):
        if (output / MANIFEST).exists():  # of a run that was killed just before its end, or that had it until now
            return _already_there(output, plan, strict)
        cut = _cut(corpus, output, tokenizer, options, plan, strict, beam_options)
        tokenizer.save(output / "tokenizer")
        return _finish(output, cut, tokenizer, options, plan, num_workers, beam_options)


def _finish(
    output: epath.Path,
    cut: _Cut,
    tokenizer: Tokenizer,
    options: RecordOptions,
    plan: dict[str, Any],
    num_workers: int,
    beam_options: Any,
) -> Manifest:
    """Make the shards that are not there yet, then what describes them."""
    work = output / ".parts"
    waiting = [part for part in cut.parts if read_built(work, part) is None]
    if len(waiting) < len(cut.parts):
        logging.info("%d of %d shards are finished already", len(cut.parts) - len(waiting), len(cut.parts))
    if beam_options is None:
        build_shards(output, work, waiting, options, num_workers)
    else:
        beam_workers.build_shards(output, work, waiting, options, beam_options)
    manifest = _manifest(work, cut.parts, options, plan)
    counted = records_report.make_report(manifest, cut.parts, cut.input_report)
    records_report.write_report(output, counted)
    write_manifest(output, manifest)
    work.rmtree()
    _show_examples(output, tokenizer)
    records_report.tell(counted)
    logging.info("Records are in %s, and what was counted in %s", output, records_report.REPORT)
    return manifest


def _advise(corpus: Corpus, options: RecordOptions) -> None:
    """Warn of what is allowed and seldom meant."""
    if advice := options.advice():
        logging.warning("%s", advice)
    if corpus.has_paragraphs and not options.split_sentences:
        logging.warning(
            "a line of %s is a paragraph, and pairs are made of lines: most will be of two documents; "
            "give --split_sentences",
            corpus.name,
        )


def _plan(corpus: Corpus, tokenizer: Tokenizer, options: RecordOptions) -> dict[str, Any]:
    """Everything that decides the records; what a second run must have in common with the first."""
    plan = {
        "options": dataclasses.asdict(options),
        "inputs": corpus.identity(),
        "vocab_size": tokenizer.vocab_size,
        "vocab_fingerprint": tokenizer.fingerprint,
        "tokenizer_kind": tokenizer.kind,
    }
    return json.loads(json.dumps(plan))  # as it comes back from a file


def _already_there(output: epath.Path, plan: dict[str, Any], strict: bool) -> Manifest:
    manifest = read_manifest(output)
    _check_same(output, {name: getattr(manifest, name) for name in plan}, plan)
    (output / ".parts").rmtree(missing_ok=True)
    if strict and (input_report := records_report.read_input_report(output)):
        findings.refuse(input_report)
    logging.info("%s already holds these records, complete; nothing to do", output)
    return manifest


def _cut(
    corpus: Corpus,
    output: epath.Path,
    tokenizer: Tokenizer,
    options: RecordOptions,
    plan: dict[str, Any],
    strict: bool,
    beam_options: Any,
) -> _Cut:
    """The parts of an unfinished run, or new ones. On an error in the text nothing stays."""
    work = output / ".parts"
    wait_for_workers(work)
    begun = _of_earlier_run(output, work, plan)
    if begun is not None:
        findings.tell(begun.input_report)
        if strict:
            findings.refuse(begun.input_report)
        return begun
    if any(output.glob("*.tfrecord*")):
        raise UserError(f"{output} holds TFRecord files of another origin; give another --output")
    if beam_options is not None:
        beam_workers.clean_dumps(corpus, work, beam_options)
    logging.info("Cutting %s into %d parts", corpus.name, options.num_parts)
    try:
        checks = CorpusChecks(tokenizer)
        documents = _sentences(watched(corpus.documents(checks), corpus, "cutting"), tokenizer)
        with compiling():
            parts = cut_into_parts(work, documents, options, corpus.name)
        cut = _Cut(parts, checks.report())
        findings.tell(cut.input_report)
        if strict:
            findings.refuse(cut.input_report)
        with whole_file(work / _PLAN) as file:
            file.write(msgspec.json.encode(_Begun(cut.parts, cut.input_report, plan)))
    except BaseException:
        work.rmtree(missing_ok=True)
        raise
    return cut


def _of_earlier_run(output: epath.Path, work: epath.Path, plan: dict[str, Any]) -> _Cut | None:
    """What an unfinished run has cut. One with other options, without a shard yet, is not worth holding on to."""
    if not (work / _PLAN).exists():
        return None
    begun = read_json(work / _PLAN, _Begun, f"delete {work} and run the same command again")
    try:
        _check_same(output, begun.plan, plan)
    except UserError:
        if any(output.glob("*.tfrecord*")):
            raise
        return None
    return begun


def _sentences(documents: Iterator[Document], tokenizer: Tokenizer) -> Iterator[list[str]]:
    """The sentences of each document; where they are of ids, checked while their places are known."""
    for document in documents:
        if tokenizer.kind == "ids":
            for number, sentence in enumerate(document.sentences):
                try:
                    tokenizer.encode(sentence)
                except UserError as error:
                    raise UserError(f"{document.place(number)}: {error}") from None
        yield document.sentences


def _check_same(output: epath.Path, old: dict[str, Any], new: dict[str, Any]) -> None:
    """Raise UserError if the records in `output` are of other options, text or vocabulary."""
    check_schema(old, _MadeOf, f"the plan of {output}", "delete that directory and build the records again")
    for name, value in new["options"].items():
        before = old["options"].get(name, getattr(RecordOptions, name))
        if before != value:
            raise UserError(
                f"{output} holds records made with --{name}={before}, not {value}; "
                "give another --output, or the same options"
            )
    if old["inputs"] != new["inputs"]:
        raise UserError(f"{output} holds records of other text than --input; give another --output")
    if old["vocab_fingerprint"] != new["vocab_fingerprint"]:
        raise UserError(
            f"{output} holds records made with vocabulary {old['vocab_fingerprint']} of {old['vocab_size']} tokens, "
            f"and --vocab is {new['vocab_fingerprint']} of {new['vocab_size']}; give another --output"
        )


def _manifest(work: epath.Path, parts: Sequence[Part], options: RecordOptions, plan: dict[str, Any]) -> Manifest:
    built: dict[str, list[Built]] = {}
    for part in parts:
        shard = read_built(work, part)
        assert shard is not None, part
        built.setdefault(part.split, []).append(shard)
    return Manifest(
        max_seq_length=options.max_seq_length,
        max_predictions_per_seq=options.max_predictions_per_seq,
        splits={
            split: Split(sum(one.shard.num_records for one in shards), [one.shard for one in shards])
            for split, shards in built.items()
        },
        statistics={
            split: dataclasses.asdict(total(one.statistics for one in shards)) for split, shards in built.items()
        },
        bert_jax_version=bert_jax.__version__,
        **plan,
    )


def _show_examples(output: epath.Path, tokenizer: Tokenizer) -> None:
    source = RecordSource(output, "train")
    for number in range(min(_EXAMPLES, len(source))):
        logging.info("Example %d\n%s", number + 1, readable(source[number], tokenizer))
