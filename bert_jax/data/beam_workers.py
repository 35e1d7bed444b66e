"""Shards made by an Apache Beam pipeline: the work of workers.py on a cluster (Dataflow, Spark, Flink), or here.

The text is cut into parts before, in one process: documents are dealt out in their order, at 60 MB/s and more, which is
about a hundredth of the whole work at dupe factor 10. A part is an element of the pipeline. Parts, tokenizer and shards
are handed over in OUTPUT, so that every worker must see it.

Beam may work on an element again after a failure or a success, and on one element at two places at once. So a worker
makes a shard on its own disk, copies it beside OUTPUT's files under a name that nobody else uses, and renames it last.
All attempts write the same bytes; whichever comes last, a shard is whole or absent.
"""

import contextlib
import io
import shlex
import shutil
import tempfile
import threading
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

from absl import logging
from etils import epath

from bert_jax.cloud import is_remote, upload
from bert_jax.data.options import RecordOptions
from bert_jax.data.parts import Part
from bert_jax.data.shards import build_shard, read_built
from bert_jax.data.workers import Display, passes
from bert_jax.errors import UserError
from bert_jax.text.tokenizer import load_tokenizer
from bert_jax.whole_file import whole_file

RUNNERS = ("local", "beam")
BEAM_OPTIONS_HELP = (
    "With --runner=beam: Beam's options, such as '--runner=DataflowRunner --project=... --temp_location=gs://...'; "
    "without any, Beam's own local runner takes --num_workers processes. On a cluster every worker must see --output "
    "and have bert_jax: in its image (--sdk_container_image, --environment_config), or as a wheel (--extra_package)."
)

_MISTAKE = ".mistake"  # ends the name of the file in which a worker leaves a UserError
_SECONDS_BETWEEN_LOOKS = 10  # for finished shards; a look lists a directory that may be in a bucket


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
        raise UserError("--runner=beam needs apache-beam; install it with pip install 'bert_jax[beam]'") from None
    here = [f"--direct_num_workers={num_workers}", "--direct_running_mode=multi_processing"]
    quiet = ["--default_sdk_harness_log_level=ERROR"]
    usage = io.StringIO()
    try:
        with contextlib.redirect_stderr(usage):
            options = PipelineOptions(shlex.split(given) or [*here, *quiet])
            options.get_all_options()  # reads all of them
            apache_beam.Pipeline(options=options)  # asks the runner what it demands
    except (ValueError, ImportError, AttributeError, SystemExit) as error:
        why = usage.getvalue().split("error: ")[-1] if isinstance(error, SystemExit) else str(error)
        raise UserError(f"--beam_options={given!r}: {' '.join(why.split())}") from None
    return options


def build_shards(
    output: epath.Path, work: epath.Path, parts: Sequence[Part], options: RecordOptions, beam_options: Any
) -> None:
    """Make the shard of each of `parts` in a Beam pipeline, and wait for its end.

    Raises:
      UserError: of a worker, or because the pipeline failed. Shards that are finished stay.
    """
    import apache_beam as beam

    for path in work.glob(f"*{_MISTAKE}"):
        path.unlink()
    with _told(work, parts, options):
        try:
            with beam.Pipeline(options=beam_options) as pipeline:
                elements = pipeline | "parts" >> beam.Create(list(parts))
                # Or else a runner takes all parts as one bundle, to one worker.
                spread = elements | "spread" >> beam.Reshuffle()
                _ = spread | "build" >> beam.Map(build_part, str(output), str(work), options)
        except Exception as error:  # each runner has its own, with the traceback of the worker in its text
            logging.error("%s", error)
            lines = [line for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
            raise UserError(
                f"the Beam pipeline failed ({lines[-1].strip()}); run the same command again to go on"
            ) from error
    for path in sorted(work.glob(f"*{_MISTAKE}")):
        raise UserError(path.read_text())
    if any(read_built(work, part) is None for part in parts):
        raise UserError("the Beam pipeline ended before all shards were made; run the same command again to go on")


def build_part(part: Part, output_name: str, work_name: str, options: RecordOptions) -> None:
    """Make the shard of one part: what a worker does. May be called any number of times, also at once."""
    output, work = epath.Path(output_name), epath.Path(work_name)
    if not (work / part.file).exists():
        raise FileNotFoundError(f"{work / part.file}: --output must be where every Beam worker sees it")
    if read_built(work, part) is not None or any(work.glob(f"*{_MISTAKE}")):
        return
    aside = work / f"attempt-{uuid.uuid4().hex}"  # goes with `work`, also when the worker is killed
    with tempfile.TemporaryDirectory() as directory:
        here = epath.Path(directory)
        with (work / part.file).open("rb") as source, (here / part.file).open("wb") as copy:
            shutil.copyfileobj(source, copy)
        try:
            build_shard(here / "output", here, part, options, load_tokenizer(output / "tokenizer"), _nobody_watches)
        except UserError as error:  # to raise it would have Beam try again
            mistake = here / f"{part.name}{_MISTAKE}"
            mistake.write_text(str(error))
            _hand_over(mistake, aside, work)
            return
        for file in (here / "output").glob("index/*"):
            _hand_over(file, aside, output / "index")
        for file in (here / "output").glob("*.tfrecord*"):
            _hand_over(file, aside, output)
        _hand_over(here / part.done_file, aside, work)


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


@contextlib.contextmanager
def _told(work: epath.Path, parts: Sequence[Part], options: RecordOptions) -> Iterator[None]:
    """Show how many shards there are, whichever runner makes them, while the block runs."""
    ended = threading.Event()
    watching = threading.Thread(target=_watch, args=(work, parts, options, ended), daemon=True)
    watching.start()
    try:
        yield
    finally:
        ended.set()
        watching.join()


def _watch(work: epath.Path, parts: Sequence[Part], options: RecordOptions, ended: threading.Event) -> None:
    waiting = {part.done_file: part for part in parts}
    done = [0, 0]  # bytes of text gone through, instances
    with Display(parts, options, done) as display:
        while not ended.wait(_SECONDS_BETWEEN_LOOKS):
            for path in work.glob("*.done.json"):
                part = waiting.pop(path.name, None)
                built = read_built(work, part) if part else None
                if part and built:
                    done[0] += part.bytes * passes(part, options)
                    done[1] += built.shard.num_records
            display.show(len(parts) - len(waiting))
