"""A file of answers that a kill does not lose: they grow in OUTPUT.partial, from which the same command resumes.

The first line of OUTPUT.partial says what they are answers to; OUTPUT appears whole.
"""

import contextlib
import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TextIO, TypeVar

from absl import logging
from etils import epath

from bert_jax.inference.progress import Progress
from bert_jax.storage.json_file import read_json_lines
from bert_jax.storage.mirror import Mirror
from bert_jax.storage.whole_file import replace_text, whole_file

CHUNK = 5000  # examples that are answered together, and of which no answer is lost later
Answer = dict[str, Any]
Asked = TypeVar("Asked")


def in_chunks(
    asked: Sequence[Asked], done: int, answers: Callable[[Sequence[Asked], int, Progress], Iterable[Answer]]
) -> Iterator[Answer]:
    """The answers to all but the first `done`; `answers` is given a chunk and the number of its first.

    Chunks are the same whatever is done: numbers depend, in their last digits, on what is computed together.
    """
    first = done - done % CHUNK if done < len(asked) else done
    with Progress("predicting", len(asked), first) as progress:
        for start in range(first, len(asked), CHUNK):
            yield from itertools.islice(
                answers(asked[start : start + CHUNK], start, progress), max(0, done - start), None
            )


def write_answers(
    output: str,
    head: Answer,
    made: Callable[[int], Iterable[Answer]],
    as_lines: Callable[[Sequence[Answer]], Iterable[str]],
) -> None:
    """Write OUTPUT; `made(done)` gives the answers after so many, which a killed command with the same `head` made."""
    begun = epath.Path(f"{output}.partial")
    done = _done_before(begun, head)
    if done:
        logging.info("%s: resuming after %s examples", output, f"{len(done):,}")
    with _growing(begun, [head, *done]) as file:
        for number, answer in enumerate(made(len(done)), len(done) + 1):
            file.write(_line(answer))
            if number % CHUNK == 0:
                file.flush()
            done.append(answer)
    with whole_file(output) as whole:
        for line in as_lines(done):
            whole.write(f"{line}\n".encode())
    begun.unlink()


@contextlib.contextmanager
def _growing(begun: epath.Path, lines: Iterable[Answer]) -> Iterator[TextIO]:
    """The file to append to, of these lines first: the last one there may be torn."""
    with contextlib.closing(Mirror(begun.parent)) as mirror:  # an object store appends nothing
        here = mirror.local / begun.name
        replace_text(here, "".join(map(_line, lines)))
        try:
            with here.open("a") as file:
                yield file
        except OSError as error:
            error.filename = error.filename or str(begun)  # a write that fails does not name the file
            raise


def _line(answer: Answer) -> str:
    return json.dumps(answer, ensure_ascii=False) + "\n"


def _done_before(begun: epath.Path, head: Answer) -> list[Answer]:
    if not begun.exists():
        return []
    lines: list[Any] = read_json_lines(begun, dict[str, Any], "delete it")
    return lines[1:] if lines and lines[0] == head else []
