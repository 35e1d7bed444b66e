"""A pool of processes that makes shards out of parts, and shows how far it is."""

import concurrent.futures
import contextlib
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

from absl import logging
from etils import epath

from bert_jax.child_processes import end_with_parent
from bert_jax.ctrl_c import kept_from_children
from bert_jax.data.compiled import is_cached
from bert_jax.data.options import RecordOptions
from bert_jax.data.parts import PARTS, Part
from bert_jax.data.shards import build_shard, compile_all
from bert_jax.errors import UserError
from bert_jax.progress import BarOrLog
from bert_jax.storage.lock import hold_as_worker
from bert_jax.text.corpus import Corpus
from bert_jax.text.load_tokenizer import load_tokenizer


class Workers(Protocol):
    """Who does what takes long in a build: LocalWorkers, or BeamWorkers of beam_workers.py."""

    def clean_dumps(self, corpus: Corpus, work: epath.Path) -> None:
        """Have the MediaWiki dumps of `corpus` cleaned into `work`, unless that is done while they are read."""

    def build_shards(self, output: epath.Path, parts: Sequence[Part], options: RecordOptions) -> None:
        """Make the shards of `parts`, whose files are in `output`'s work directory.

        Raises:
          UserError: of a worker, or because one was killed. Shards that are finished stay.
        """


class LocalWorkers:
    """Processes on this host, one part at a time each."""

    def __init__(self, num_workers: int) -> None:
        self._num_workers = num_workers

    def clean_dumps(self, corpus: Corpus, work: epath.Path) -> None:
        """Nothing: a dump's own processes clean its pages while they are read."""
        del corpus, work

    def build_shards(self, output: epath.Path, parts: Sequence[Part], options: RecordOptions) -> None:
        """See Workers."""
        if options.num_parts < self._num_workers:
            logging.info(
                "Each part is the work of one process, so --num_parts=%d leaves some of %d workers idle; "
                "with as many parts all of them work (other parts are other records)",
                options.num_parts,
                self._num_workers,
            )
        # Not fork: threads of the libraries that are loaded here would not survive it.
        context = multiprocessing.get_context("spawn")
        done = context.Array("q", 2)  # bytes of text processed, instances
        processes = max(1, min(self._num_workers, len(parts)))
        arguments = str(output), options, done
        with (
            concurrent.futures.ProcessPoolExecutor(processes, context, _start_worker, arguments) as pool,
            shown(parts, options, done) as show,
        ):
            _run(pool, parts, show)


def _run(pool: concurrent.futures.ProcessPoolExecutor, parts: Sequence[Part], show: Callable[[int], None]) -> None:
    """Have `pool` make the shards; on an error the processes end at once."""
    try:
        with kept_from_children():
            waiting = {pool.submit(_build, part) for part in parts}
        while waiting:
            finished, waiting = concurrent.futures.wait(
                waiting, timeout=0.5, return_when=concurrent.futures.FIRST_EXCEPTION
            )
            for future in finished:
                future.result()
            show(len(parts) - len(waiting))
    except concurrent.futures.process.BrokenProcessPool:
        raise UserError(
            "a worker process was killed, perhaps for want of memory; run the same command again to resume, "
            "with a smaller --num_workers, or use more --num_parts from the start"
        ) from None
    finally:
        for process in multiprocessing.active_children():
            process.terminate()
        # Waits: Python may not end while the pool's own thread still closes pipes that are written to then.
        pool.shutdown(cancel_futures=True)


@contextlib.contextmanager
def compiling() -> Iterator[None]:
    """While the block runs, let another process compile what the workers will run, if that was never done here."""
    if is_cached():
        yield
        return
    process = multiprocessing.get_context("spawn").Process(target=compile_all, daemon=True)
    with kept_from_children():
        process.start()
    try:
        yield
        process.join()
    finally:
        process.terminate()


class _Worker:
    """What a worker process keeps between parts."""

    output: epath.Path
    work: epath.Path
    options: RecordOptions
    tokenizer: Any
    done: Any


def _start_worker(output: str, options: RecordOptions, done: Any) -> None:
    end_with_parent()
    _Worker.output, _Worker.work = epath.Path(output), epath.Path(output) / PARTS
    hold_as_worker(_Worker.work)
    _Worker.options, _Worker.done = options, done
    _Worker.tokenizer = load_tokenizer(_Worker.output / "tokenizer")


def _build(part: Part) -> None:
    build_shard(_Worker.output, _Worker.work, part, _Worker.options, _Worker.tokenizer, _count)


def _count(size: int, instances: int) -> None:
    with _Worker.done.get_lock():
        _Worker.done[0] += size
        _Worker.done[1] += instances


def passes(part: Part, options: RecordOptions) -> int:
    """How often the text of a part is processed: once to tokenize it, and once for each copy."""
    return 1 + (options.dupe_factor if part.split == "train" else 1)


@contextlib.contextmanager
def shown(parts: Sequence[Part], options: RecordOptions, done: Any) -> Iterator[Callable[[int], None]]:
    """Show how far the shards are: the block calls what it gets with the number of finished parts.

    `done` is read at each call: bytes of text processed so far, and instances.
    """
    text = sum(part.bytes for part in parts)
    work = sum(part.bytes * passes(part, options) for part in parts)
    finished = 0

    def words(seconds: float) -> str:
        size, instances = done[:]
        rate = size / max(1, work) * text / 1e6 / seconds
        return f"{finished} of {len(parts)} parts, {instances:,} instances, {rate:.2f} MB/s of text"

    def show(num_finished: int) -> None:
        nonlocal finished
        finished = num_finished
        progress.show(done[0])

    with BarOrLog("records", words, work, unit="B", unit_scale=True) as progress:
        yield show
