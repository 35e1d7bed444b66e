"""What takes long, done by an Apache Beam pipeline: on a cluster (Dataflow, Spark, Flink), or on Beam's local runner.

Two pipelines. One cleans MediaWiki dumps, a file an element, which takes some three times as long as all that follows.
The other makes shards, a part an element. Between them text is cut into parts where the job is started: documents go to
parts in their order, so that shards equal those made without Beam, at some 85 MB/s, a twentieth of the work of the
shards at dupe factor 10. Workers get and leave everything in OUTPUT/.parts, so every worker must see OUTPUT.

Beam may work on an element again after a failure or a success, and on one element at two places at once. So a worker
writes on its own disk, copies that beside OUTPUT's files under a name that nobody else uses, and renames it last. All
attempts write the same bytes; whichever comes last, a file is whole or absent.
"""

import contextlib
import hashlib
import io
import json
import shlex
import shutil
import tempfile
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from absl import logging
from etils import epath

from bert_jax.data.options import RecordOptions
from bert_jax.data.parts import PARTS, Part
from bert_jax.data.shards import build_shard, read_built
from bert_jax.data.workers import passes, shown
from bert_jax.errors import UserError
from bert_jax.storage.cloud import absolute, is_remote, upload
from bert_jax.storage.paths import files_of
from bert_jax.storage.whole_file import whole_file
from bert_jax.text.cleaned_dump import CLEANED, CleanedDump, write_cleaned
from bert_jax.text.corpus import Corpus
from bert_jax.text.files import InputFile
from bert_jax.text.load_tokenizer import load_tokenizer
from bert_jax.text.mediawiki import MediaWikiDump

RUNNERS = ("local", "beam")
BEAM_OPTIONS_HELP = (
    "With --runner=beam: Beam's options, such as '--runner=DataflowRunner --project=... --temp_location=gs://...'; "
    "without any, Beam's own local runner takes --num_workers processes. On a cluster every worker must see --output "
    "and have bert_jax: in its image (--sdk_container_image, --environment_config), or as a wheel (--extra_package)."
)

_USER_ERROR = ".mistake"  # ends the name of the file in which a worker leaves a UserError
_SECONDS_BETWEEN_LISTINGS = 10  # of what is finished, in a directory that may be in a bucket


def parse_beam_options(runner: str, given: str, num_workers: int) -> Any:
    """Beam's options, given as on a command line; None if `runner` is not Beam.

    Raises:
      UserError: Beam is not installed, or does not accept the options.
    """
    if runner != "beam":
        if given:
            raise UserError("--beam_options is given without --runner=beam; add that, or leave it out")
        return None
    try:
        import apache_beam
        from apache_beam.options.pipeline_options import PipelineOptions
    except ImportError:
        raise UserError("--runner=beam needs apache-beam; run launch/setup.sh beam") from None
    # Beam's local runner, with its workers' log left out.
    default = [
        f"--direct_num_workers={num_workers}",
        "--direct_running_mode=multi_processing",
        "--default_sdk_harness_log_level=ERROR",
    ]
    usage = io.StringIO()
    try:
        with contextlib.redirect_stderr(usage):
            options = PipelineOptions(shlex.split(given) or default)
            options.get_all_options()  # reads all of them
            apache_beam.Pipeline(options=options)  # asks the runner what it demands
    except (ValueError, ImportError, AttributeError, SystemExit) as error:
        why = usage.getvalue().split("error: ")[-1] if isinstance(error, SystemExit) else str(error)
        raise UserError(f"--beam_options={given!r}: {' '.join(why.split())}") from None
    return options


class BeamWorkers:
    """The workers of a Beam runner. Beam takes what takes long, and leaves the cutting to where the job starts."""

    def __init__(self, beam_options: Any) -> None:
        """`beam_options`: as parse_beam_options gives them."""
        self._options = beam_options

    def clean_dumps(self, corpus: Corpus, work: epath.Path) -> None:
        """Have the dumps of `corpus` cleaned, those that are not yet, and `corpus` read what came out.

        Raises:
          UserError: a dump is malformed, or the pipeline failed. Dumps that are cleaned stay so.
        """
        cleaned = {dump: work / f"{_digest(dump.identity())}{CLEANED}" for dump in corpus.dumps}
        waiting = [(str(absolute(dump.file.path)), path.name) for dump, path in cleaned.items() if not path.exists()]

        def log_progress() -> None:
            left = sum(not path.exists() for path in cleaned.values())
            logging.info("%d of %d files of dumps are cleaned", len(cleaned) - left, len(cleaned))

        if waiting:
            log_progress()
            work.mkdir(parents=True, exist_ok=True)
            self._run(work, waiting, clean_dump, log_progress, str(absolute(work)))
        for dump, path in cleaned.items():
            corpus.replace(dump, CleanedDump(dump, path))

    def build_shards(self, output: epath.Path, parts: Sequence[Part], options: RecordOptions) -> None:
        """See Workers; UserError also if the pipeline failed."""
        work = output / PARTS
        waiting = {part.done_file: part for part in parts}
        done = [0, 0]  # bytes of text processed, instances
        with shown(parts, options, done) as show:

            def log_progress() -> None:
                for path in files_of(work, "*.done.json"):
                    part = waiting.pop(path.name, None)
                    built = read_built(work, part) if part else None
                    if part and built:
                        done[0] += part.bytes * passes(part, options)
                        done[1] += built.shard.num_records
                show(len(parts) - len(waiting))

            self._run(work, list(parts), build_part, log_progress, str(absolute(output)), options)
        if any(read_built(work, part) is None for part in parts):
            raise UserError("the Beam pipeline ended before all shards were made; run the same command again to resume")

    def _run(
        self,
        work: epath.Path,
        elements: list[Any],
        function: Callable[..., None],
        log_progress: Callable[[], None],
        *arguments: Any,
    ) -> None:
        """Have workers call `function(element, *arguments)` for each of `elements`, and log the progress meanwhile."""
        import apache_beam as beam

        for path in files_of(work, f"*{_USER_ERROR}"):  # of an earlier run
            path.unlink()
        with _repeated(log_progress), _failures_explained(), beam.Pipeline(options=self._options) as pipeline:
            collection = pipeline | "elements" >> beam.Create(elements)
            # Or else a runner takes all of them as one bundle, to one worker.
            spread = collection | "spread" >> beam.Reshuffle()
            _ = spread | function.__name__ >> beam.Map(function, *arguments)
        for path in files_of(work, f"*{_USER_ERROR}"):
            raise UserError(path.read_text())


def clean_dump(names: tuple[str, str], work_name: str) -> None:
    """Clean a file of a dump (`names` are its path and that of the result): like build_part, what a worker does."""
    dump, work = epath.Path(names[0]), epath.Path(work_name)
    if not dump.exists():
        raise FileNotFoundError(f"{dump}: --input must be where every Beam worker sees it")
    if (work / names[1]).exists():
        return
    with _attempt(work, names[1]) as (here, aside):
        write_cleaned(MediaWikiDump(InputFile(dump), num_workers=1), here / names[1])
        _hand_over(here / names[1], aside, work)


def build_part(part: Part, output_name: str, options: RecordOptions) -> None:
    """Make the shard of one part: what a worker does, any number of times, also at once."""
    output, work = epath.Path(output_name), epath.Path(output_name) / PARTS
    if not (work / part.file).exists():
        raise FileNotFoundError(f"{work / part.file}: --output must be where every Beam worker sees it")
    if read_built(work, part) is not None:
        return
    with _attempt(work, part.name) as (here, aside):
        with (work / part.file).open("rb") as source, (here / part.file).open("wb") as copy:
            shutil.copyfileobj(source, copy)
        build_shard(here / "output", here, part, options, load_tokenizer(output / "tokenizer"), _nobody_watches)
        for file in files_of(here / "output" / "index", "*"):
            _hand_over(file, aside, output / "index")
        for file in files_of(here / "output", "*.tfrecord*"):
            _hand_over(file, aside, output)
        _hand_over(here / part.done_file, aside, work)


@contextlib.contextmanager
def _failures_explained() -> Iterator[None]:
    try:
        yield
    except Exception as error:  # each runner has its own, with the traceback of the worker in its text
        logging.error("%s", error)
        lines = [line for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
        raise UserError(
            f"the Beam pipeline failed ({lines[-1].strip()}); run the same command again to resume"
        ) from error


@contextlib.contextmanager
def _repeated(function: Callable[[], None]) -> Iterator[None]:
    """Call `function` every few seconds while the block runs: runners return at the end only."""
    ended = threading.Event()

    def repeat() -> None:
        while not ended.wait(_SECONDS_BETWEEN_LISTINGS):
            function()

    thread = threading.Thread(target=repeat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@contextlib.contextmanager
def _attempt(work: epath.Path, name: str) -> Iterator[tuple[epath.Path, epath.Path]]:
    """Directories of one attempt at one element: on the worker's disk, and on the disk of `work`.

    A UserError does not leave the block, for Beam would try again: it is left in `work` for `_run` to find.
    """
    aside = work / f"attempt-{uuid.uuid4().hex}"  # goes with `work`, also when the worker is killed
    with tempfile.TemporaryDirectory() as directory:
        here = epath.Path(directory)
        try:
            yield here, aside
        except UserError as error:
            file = here / f"{name}{_USER_ERROR}"
            file.write_text(str(error))
            _hand_over(file, aside, work)


def _hand_over(file: epath.Path, aside: epath.Path, directory: epath.Path) -> None:
    """Put a local file into `directory`, where it appears whole; `aside` is on the same disk, and nobody else's."""
    if is_remote(directory):
        upload(file, directory / file.name)
        return
    with file.open("rb") as source, whole_file(aside / file.name) as copy:
        shutil.copyfileobj(source, copy)
    directory.mkdir(parents=True, exist_ok=True)
    (aside / file.name).replace(directory / file.name)


def _nobody_watches(size: int, instances: int) -> None:
    del size, instances


def _digest(identity: list[list[Any]]) -> str:
    return hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:16]
