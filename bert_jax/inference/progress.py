"""The progress of going through many texts."""

from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Any, Self

from bert_jax.progress import BarOrLog

Watch = Callable[[Iterable[Any]], Iterator[Any]]  # gives the same batches, and sees each one that is done


class Progress:
    """Counts the rows of the batches that it watches, or the examples that these rows are of."""

    def __init__(self, doing: str, examples: int | None = None, done: int = 0) -> None:
        """`doing` names the work, as in "embedding"; of the `examples`, if their number is known, `done` are done."""
        self._total, self._first, self._count = examples, done, float(done)
        self._unit = "rows" if examples is None else "examples"
        self._shown = BarOrLog(doing, self._words, examples, done, unit=f" {self._unit}", leave=examples is None)

    def watch(self, batches: Iterable[Any]) -> Iterator[Any]:
        """The same batches, of which the first part numbers the rows."""
        return self._watched(batches, 1.0)

    def of_examples(self, examples: int, rows: int) -> Watch:
        """`watch` for so many rows that are of so many examples: windows of a text count as one."""
        return lambda batches: self._watched(batches, examples / max(1, rows))

    def _watched(self, batches: Iterable[Any], share: float) -> Iterator[Any]:
        for batch in batches:
            yield batch
            self._count += len(batch[0]) * share
            self._shown.show(round(self._count))

    def _words(self, seconds: float) -> str:
        of_all = "" if self._total is None else f" of {self._total:,}"
        rate = (self._count - self._first) / seconds
        return f"{round(self._count):,}{of_all} {self._unit}, {rate:,.0f} a second"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._shown.__exit__(kind, error, trace)
        if self._count > self._first and self._total is None:
            self._shown.end()
