"""The one pass in which a corpus is read: checked, and cut into the part files from which workers make shards.

OUTPUT/.parts holds the parts and, in plan.json, what they are of, until the records are complete. A build that was
killed resumes from there without this pass.
"""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
from absl import logging
from etils import epath

from bert_jax.data.build import Build
from bert_jax.data.parts import Part, cut_into_parts
from bert_jax.data.workers import Workers, compiling
from bert_jax.errors import UserError
from bert_jax.storage.json_file import read_json
from bert_jax.storage.lock import wait_for_workers
from bert_jax.storage.paths import files_of
from bert_jax.storage.whole_file import whole_file
from bert_jax.text import findings
from bert_jax.text.cleaned_dump import CLEANED
from bert_jax.text.corpus_checks import CorpusChecks
from bert_jax.text.document import Document
from bert_jax.text.findings import InputReport
from bert_jax.text.id_sequences import PairLines
from bert_jax.text.progress import watched

_PLAN = "plan.json"


@dataclasses.dataclass(frozen=True)
class CutCorpus:
    """A corpus that lies in part files, and the plan of the build that they are for: what plan.json holds."""

    parts: list[Part]
    input_report: InputReport  # what was suspicious, what was dropped
    plan: dict[str, Any]


def cut_corpus(build: Build, workers: Workers) -> CutCorpus:
    """The parts of an unfinished run of this build, or new ones; `workers` clean dumps if they do that beforehand.

    Raises:
      UserError: the text cannot be used or, if `build` is strict, is suspicious, and no part stays; or the output holds
        the shards of another build, or other TFRecord files.
    """
    wait_for_workers(build.work)
    found = _of_earlier_run(build)
    if found is not None:
        _warn_or_refuse(found.input_report, build.strict)
        return found
    if files_of(build.output, "*.tfrecord*"):
        raise UserError(f"{build.output} holds TFRecord files of another origin; give another --output")
    _remove_parts(build.work)  # or else the plan of another build would lie beside the parts of this one
    workers.clean_dumps(build.corpus, build.work)
    logging.info("Cutting %s into %d parts", build.corpus.name, build.options.num_parts)
    try:
        return _cut(build)
    except BaseException:
        _remove_parts(build.work)
        raise


def _remove_parts(work: epath.Path) -> None:
    """Leave nothing but dumps that are cleaned, which took hours."""
    kept = 0
    for path in work.iterdir() if work.exists() else []:
        if path.suffix == CLEANED:
            kept += 1
        else:
            path.rmtree() if path.is_dir() else path.unlink()
    if not kept:
        work.rmtree(missing_ok=True)


def _cut(build: Build) -> CutCorpus:
    checks = CorpusChecks(build.tokenizer, build.options.pairs == "aligned")
    documents = watched(build.corpus.documents(checks), build.corpus, "cutting")
    with compiling():
        parts = cut_into_parts(build.work, _sentences(documents, build), build.options, build.corpus.name)
    cut = CutCorpus(parts, checks.report(), build.plan)
    _warn_or_refuse(cut.input_report, build.strict)
    with whole_file(build.work / _PLAN) as file:  # the last, so that the parts are whole if it is there
        file.write(msgspec.json.encode(cut))
    return cut


def _warn_or_refuse(report: InputReport, strict: bool) -> None:
    """Log what is suspicious; if `strict`, UserError, before the time for any shard is spent."""
    findings.warn(report)
    if strict:
        findings.refuse(report)


def _of_earlier_run(build: Build) -> CutCorpus | None:
    """What an unfinished run has cut. One with other options, without a shard yet, is not worth holding on to."""
    if not (build.work / _PLAN).exists():
        return None
    found = read_json(build.work / _PLAN, CutCorpus, f"delete {build.work} and run the same command again")
    try:
        build.check_same(found.plan)
    except UserError:
        if files_of(build.output, "*.tfrecord*"):
            raise
        return None
    return found


def _sentences(documents: Iterator[Document], build: Build) -> Iterator[list[str]]:
    """The sentences of each document, checked while their places are known: part files do not hold these."""
    check: Callable[[str], None] | None = None
    if build.options.pairs == "aligned":
        check = PairLines(build.tokenizer).check
    elif build.tokenizer.kind == "ids":
        check = build.tokenizer.check
    for document in documents:
        if check is not None:
            _check_ids(document, check)
        yield document.sentences


def _check_ids(document: Document, check: Callable[[str], None]) -> None:
    for number, sentence in enumerate(document.sentences):
        try:
            check(sentence)
        except UserError as error:
            raise UserError(f"{document.place(number)}: {error}") from None
