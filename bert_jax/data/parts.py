"""A corpus cut into parts, each a file with a document on each line, of which one shard is made.

Training documents go to the parts in turn (round-robin), so that the corpus is read once and no worker holds more than
a part. Documents that are held out go to a part of their own. Which those are depends on a hash of their text and the
seed, not on the order of the input or the number of parts.
"""

import contextlib
import dataclasses
import errno
import hashlib
import heapq
import json
import math
from collections.abc import Iterable, Iterator
from typing import IO, Annotated

import msgspec
from etils import epath

from bert_jax.data.options import MOST_HELD_OUT, RecordOptions
from bert_jax.errors import UserError
from bert_jax.storage.json_file import decode_json
from bert_jax.storage.open_files import let_stay_open
from bert_jax.storage.whole_file import local_directory

PARTS = ".parts"  # the directory of part files in that of the records, until these are complete


@dataclasses.dataclass(frozen=True)
class Part:
    """The documents of one shard."""

    split: Annotated[str, msgspec.Meta(pattern="^(train|validation)\\Z")]
    number: Annotated[int, msgspec.Meta(ge=0, lt=100_000)]
    num_parts: Annotated[int, msgspec.Meta(ge=1, lt=100_000)]  # of this split
    documents: Annotated[int, msgspec.Meta(ge=1)]
    bytes: Annotated[int, msgspec.Meta(ge=0)]  # of text

    @property
    def name(self) -> str:
        """The beginning of its files' names."""
        return f"{self.split}-{self.number:05d}"

    @property
    def file(self) -> str:
        """The name of the file that holds its documents."""
        return f"{self.name}.jsonl"

    @property
    def done_file(self) -> str:
        """The name of the file that describes its finished shard."""
        return f"{self.name}.done.json"


def cut_into_parts(
    directory: epath.Path, corpus: Iterable[list[str]], options: RecordOptions, inputs: str
) -> list[Part]:
    """Write the documents of `corpus` to part files in `directory`; returns the parts that have any.

    `inputs` names the corpus in errors. Raises UserError if a part would have too few documents.
    """
    with local_directory(directory) as here:
        with _Dealer(here, options) as dealer:
            for document in corpus:
                dealer.deal(document)
        dealer.check(inputs)
    return [part for part in dealer.parts() if part.documents]


def read_part(directory: epath.Path, part: Part) -> Iterator[list[str]]:
    """Yield the part's documents, each a list of sentences; UserError if their number is not that of the part."""
    path, remedy, number = directory / part.file, "delete --output and build the records again", 0
    if not path.exists():
        raise UserError(f"{path} is missing; {remedy}")
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            yield decode_json(line, list[str], f"{path}, line {number}", remedy)
    if number != part.documents:
        raise UserError(f"{path} holds {number} documents, and {part.documents} were dealt to it; {remedy}")


class _Dealer:
    """Deals documents to open part files."""

    def __init__(self, directory: epath.Path, options: RecordOptions) -> None:
        self._options = options
        self._parts = [("train", number, options.num_parts) for number in range(options.num_parts)]
        self._parts.append(("validation", 0, 1))  # the last
        self._documents = [0] * len(self._parts)
        self._bytes = [0] * len(self._parts)
        self._next_part = 0
        self._smallest: list[float] = []  # hashes, of the documents that would be held out first
        self._largest: list[float] = []  # and last
        self._directory = directory
        self._files: list[IO[bytes]] = []
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> "_Dealer":
        let_stay_open(len(self._parts))
        with contextlib.ExitStack() as stack:
            for part in self.parts():
                self._files.append(stack.enter_context(self._open(part)))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    def deal(self, document: list[str]) -> None:
        hashed = _hash(document, self._options.random_seed)
        self._smallest = heapq.nsmallest(self._options.fewest_documents, [*self._smallest, hashed])
        self._largest = heapq.nlargest(self._options.fewest_documents, [*self._largest, hashed])
        held_out = hashed < self._options.holdout
        part = -1 if held_out else self._next_part
        line = json.dumps(document, ensure_ascii=False).encode()
        self._files[part].write(line + b"\n")
        self._documents[part] += 1
        self._bytes[part] += len(line)
        if not held_out:
            self._next_part = (part + 1) % self._options.num_parts

    def parts(self) -> list[Part]:
        counts = zip(self._parts, self._documents, self._bytes, strict=True)
        return [Part(*part, documents, size) for part, documents, size in counts]

    def check(self, inputs: str) -> None:
        *train, held_out = self._documents
        num_train, documents = sum(train), sum(self._documents)
        fewest = self._options.fewest_documents
        few, needed = ("two", "two are needed") if fewest > 1 else ("one", "one is needed")
        if documents < fewest:
            raise UserError(
                f"{inputs} holds one document only, and next-sentence examples need two or more; "
                "separate documents by blank lines"
            )
        if self._options.holdout and held_out < fewest:
            raise UserError(
                f"--holdout={self._options.holdout} holds out {held_out} of {documents} documents and "
                f"{needed}; {self._possible_holdout()}"
            )
        if num_train < fewest:
            raise UserError(
                f"--holdout={self._options.holdout} leaves {num_train} of {documents} documents for training and "
                f"{needed}; {self._possible_holdout()}"
            )
        if min(train) < fewest:
            raise UserError(
                f"--num_parts={len(train)} leaves parts with fewer than {few} of {num_train} training documents; "
                f"use --num_parts={num_train // fewest} or fewer"
            )

    def _possible_holdout(self) -> str:
        """The remedy: the shares, in thousandths, with which both splits have enough documents, if there are any."""
        least = math.floor(max(self._smallest) * 1000) + 1
        most = math.floor(min(*self._largest, MOST_HELD_OUT) * 1000)
        if least > most:
            return "give more documents, or --holdout=0"
        return f"use --holdout={least / 1000} to {most / 1000}, or 0"

    def _open(self, part: Part) -> IO[bytes]:
        try:
            return (self._directory / part.file).open("wb")
        except OSError as error:
            if error.errno != errno.EMFILE:
                raise
            raise UserError(
                f"--num_parts={self._options.num_parts} is more than the files this process may open; "
                "use fewer, or raise the limit with ulimit -n"
            ) from None


def _hash(document: list[str], seed: int) -> float:
    """A hash of a document, uniform in [0, 1): those below --holdout are held out."""
    digest = hashlib.sha256("\n".join([str(seed), *document]).encode()).digest()
    return int.from_bytes(digest[:7], "big") / 2**56
