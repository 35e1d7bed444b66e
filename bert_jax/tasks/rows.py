"""Encoded rows: what a model reads, ragged in memory, padded only when a batch is made."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

IGNORED = -1  # label of a token that is in no loss


class EncodedText(NamedTuple):
    """One sequence of tokens, special ones included."""

    ids: Sequence[int]
    first_segment: int  # so many tokens are of the first text
    second_segment: int = 1  # of the others: the segment of all texts of a tokenizer


@dataclasses.dataclass(frozen=True)
class Rows:
    """Rows of one text each, or of several (`texts_per_row`) that belong together, such as the choices of a question.

    Rows of an example stand one after the other: several where its text is read in windows.
    """

    ids: np.ndarray  # int32 [tokens], of all texts one after the other
    starts: np.ndarray  # int64 [texts + 1], where each begins
    first_segment: np.ndarray  # int32 [texts]: so many tokens are of segment 0
    texts_per_row: int  # 0: one, and arrays have no axis for it
    example: np.ndarray  # int64 [rows], ascending: the number of the example that a row is of
    labels: Mapping[str, np.ndarray]  # [rows, ...]; empty where labels are not known
    token_labels: np.ndarray | None = None  # int32 [tokens]
    windows: Sequence[Any] = ()  # of each row, what the task needs to combine windows
    second_segment: int = 1  # of the tokens behind them

    def __len__(self) -> int:
        return len(self.example)

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each row's longest text: int64 [rows]."""
        return np.diff(self.starts).reshape(len(self), -1).max(axis=1, initial=0)

    def batch(self, rows: Sequence[int], size: int, length: int) -> dict[str, np.ndarray]:
        """The arrays of `rows`, [size, length] or [size, texts, length], filled up with zeros.

        input_ids, attention_mask, segment_ids int32; row_weights float32 [size], 0.0 where there is no row; the labels;
        token_labels [size, length], IGNORED in padding.
        """
        group = max(1, self.texts_per_row)
        shape = (size, length) if not self.texts_per_row else (size, group, length)
        input_ids, mask, segments = (np.zeros((size * group, length), np.int32) for _ in range(3))
        tokens = np.full((size * group, length), IGNORED, np.int32)
        for place, row in enumerate(rows):
            for text in range(group):
                self._fill(row * group + text, place * group + text, input_ids, mask, segments, tokens)
        batch = {"input_ids": input_ids, "attention_mask": mask, "segment_ids": segments}
        if self.token_labels is not None:
            batch["token_labels"] = tokens
        filled = {name: array.reshape(shape) for name, array in batch.items()}
        weights = (np.arange(size) < len(rows)).astype(np.float32)
        return filled | {"row_weights": weights} | self._labels_of(rows, size)

    def _fill(self, text: int, place: int, ids: Any, mask: Any, segments: Any, tokens: Any) -> None:
        start, stop = self.starts[text], self.starts[text + 1]
        ids[place, : stop - start] = self.ids[start:stop]
        mask[place, : stop - start] = 1
        segments[place, self.first_segment[text] : stop - start] = self.second_segment
        if self.token_labels is not None:
            tokens[place, : stop - start] = self.token_labels[start:stop]

    def _labels_of(self, rows: Sequence[int], size: int) -> dict[str, np.ndarray]:
        taken = {name: values[np.asarray(rows, np.int64)] for name, values in self.labels.items()}
        return {
            name: np.concatenate([values, np.zeros((size - len(values), *values.shape[1:]), values.dtype)])
            for name, values in taken.items()
        }


def make_rows(
    texts: Sequence[EncodedText],
    example: Sequence[int] | np.ndarray,
    texts_per_row: int = 0,
    labels: Mapping[str, np.ndarray] | None = None,
    token_labels: Sequence[Sequence[int]] | None = None,
    windows: Sequence[Any] = (),
) -> Rows:
    """Rows of `texts`, `texts_per_row` after one another; `example` has the number of each row's example."""
    starts = np.zeros(len(texts) + 1, np.int64)
    np.cumsum([len(text.ids) for text in texts], out=starts[1:])
    return Rows(
        ids=_joined([text.ids for text in texts]),
        starts=starts,
        first_segment=np.array([text.first_segment for text in texts], np.int32),
        texts_per_row=texts_per_row,
        example=np.asarray(example, np.int64),
        labels=labels or {},
        token_labels=None if token_labels is None else _joined(token_labels),
        windows=windows,
        second_segment=min((text.second_segment for text in texts), default=1),
    )


def _joined(lists: Sequence[Sequence[int]]) -> np.ndarray:
    return np.fromiter((number for one in lists for number in one), np.int32)
