"""Several sequences in a row, so that little of a row is padding (arXiv 2107.02027).

The order of the sequences is that of batches.py, and a window of it is packed into the rows of a few steps: which
sequences are in which row of which step is a pure function of the seed and the step here too. A row's attention is kept
inside each of its sequences, its positions begin anew with each, and each keeps its own labels; so a packed batch has
the loss of the same sequences in rows of their own.
"""

import dataclasses
import functools
import math
from typing import Protocol

import numpy as np
from absl import logging

from bert_jax.data.batches import Records, epochs_of, record_ids

_WINDOW = 4096  # sequences at least, so that their sum of tokens hardly varies
_TRIED_WINDOWS = 8  # packed to find out how many rows are needed
_ROUND_ROWS_TO = 8  # so that they divide over a few devices


class SizedRecords(Records, Protocol):
    """Records of which the sizes are known without reading them."""

    def sizes(self) -> np.ndarray:
        """Tokens and predictions of every record, int [records, 2]."""
        ...


@dataclasses.dataclass(frozen=True)
class Packing:
    """The shape of a packed global batch, the same in every step."""

    rows: int
    sequences_per_step: int  # on average
    sequences_per_row: int  # at most
    predictions_per_row: int  # at most
    max_seq_length: int  # tokens of a row

    @property
    def window_steps(self) -> int:
        """Steps over whose rows the sequences of one window are spread."""
        return math.ceil(_WINDOW / self.sequences_per_step)


def choose_packing(
    sizes: np.ndarray,
    max_seq_length: int,
    global_batch_size: int,
    seed: int,
    rows: int = 0,
    accumulation_steps: int = 1,
) -> Packing:
    """The shape in which `global_batch_size` sequences a step are packed on average; found by packing some windows.

    Args:
      sizes: int [records, 2], tokens and predictions of each.
      max_seq_length: tokens of a row.
      global_batch_size: sequences of a step.
      seed: of the order of the records.
      rows: of a step; 0: as few as hold the sequences and divide over a few devices and the accumulation steps.
      accumulation_steps: into so many a step is split.
    """
    one_each = Packing(global_batch_size, global_batch_size, max_seq_length, max_seq_length, max_seq_length)
    windows = [sizes[_window_ids(one_each, number, len(sizes), seed)] for number in range(_TRIED_WINDOWS)]
    packed = [(window, pack(window, one_each)) for window in windows]
    needed = max(math.ceil(len(rows) / one_each.window_steps) for _, rows in packed)
    unit = math.lcm(math.gcd(global_batch_size, _ROUND_ROWS_TO), accumulation_steps)
    packing = Packing(
        rows=rows or math.ceil(needed / unit) * unit,
        sequences_per_step=global_batch_size,
        sequences_per_row=max(len(row) for _, rows in packed for row in rows),
        predictions_per_row=max(int(window[row, 1].sum()) for window, rows in packed for row in rows),
        max_seq_length=max_seq_length,
    )
    _log_packing(packing, needed, float(np.mean([window[:, 0].mean() for window in windows])))
    return packing


def _log_packing(packing: Packing, needed: int, mean_tokens: float) -> None:
    before = mean_tokens / packing.max_seq_length
    logging.info(
        "packing: %d sequences a step in %d rows of %d tokens, %.1f%% filled where one a row fills %.1f%%",
        packing.sequences_per_step,
        packing.rows,
        packing.max_seq_length,
        min(100.0, 100 * before * packing.sequences_per_step / packing.rows),
        100 * before,
    )
    if packing.rows < needed:
        logging.warning("%d rows a step hold them all: with %d, some are left out", needed, packing.rows)
    if packing.rows >= packing.sequences_per_step:
        logging.warning("the sequences are too long to be packed, or too few rows divide over the devices: no gain")


def pack(sizes: np.ndarray, packing: Packing) -> list[list[int]]:
    """Put each sequence, the longest first, into the fullest row that it fits into; a new row if there is none.

    Best-fit decreasing: within 22 % of the fewest rows that could hold them, and far closer when some are short.

    Args:
      sizes: int [sequences, 2], tokens and predictions of each.
      packing: how many tokens, sequences and predictions a row may have. Its number of rows is not a bound here.

    Returns:
      The numbers of the sequences in each row. One without tokens, a damaged record that is skipped, is in none.
    """
    rows: list[list[int]] = []
    predictions: list[int] = []  # of each row
    rows_by_free: list[list[int]] = [[] for _ in range(packing.max_seq_length + 1)]  # free tokens -> rows
    for sequence in np.argsort(-sizes[:, 0], kind="stable").tolist():
        tokens, predicted = sizes[sequence].tolist()
        if not tokens:
            break  # the rest have none either
        found = _fullest(rows_by_free, tokens, predicted, predictions, packing)
        free, row = found or (packing.max_seq_length, len(rows))
        if found:
            rows_by_free[free].remove(row)
        else:
            rows.append([])
            predictions.append(0)
        rows[row].append(sequence)
        predictions[row] += predicted
        if len(rows[row]) < packing.sequences_per_row:
            rows_by_free[free - tokens].append(row)
    return rows


def _fullest(
    rows_by_free: list[list[int]], tokens: int, predicted: int, predictions: list[int], packing: Packing
) -> tuple[int, int] | None:
    """The free tokens and the number of the fullest row that so many tokens and predictions fit into."""
    for free in range(tokens, packing.max_seq_length):
        for row in rows_by_free[free]:
            if predictions[row] + predicted <= packing.predictions_per_row:
                return free, row
    return None


class PackedOrder:
    """Which records are in which row of which step. Safe to use from several threads."""

    def __init__(self, sizes: np.ndarray, packing: Packing, seed: int, first_position: int = 0) -> None:
        """`sizes`: int [records, 2], tokens and predictions of each. The first window begins at `first_position` of the
        records' order.
        """
        self._sizes, self._packing, self._seed, self._first_position = sizes, packing, seed, first_position
        self._window = functools.lru_cache(maxsize=4)(self._pack_window)  # several threads read ahead

    def rows(self, step: int) -> list[list[int]]:
        """The numbers of the records in each row of the global batch at `step`.

        Sequences of a window that do not fit into its rows, a few in thousands, are left out this once.
        """
        window, window_step = divmod(step, self._packing.window_steps)
        records, _ = self._window(window)
        return records[window_step * self._packing.rows :][: self._packing.rows]

    def epochs(self, step: int) -> list[list[int]]:
        """The epochs that those records are in."""
        window, window_step = divmod(step, self._packing.window_steps)
        _, epochs = self._window(window)
        return epochs[window_step * self._packing.rows :][: self._packing.rows]

    def _pack_window(self, window: int) -> tuple[list[list[int]], list[list[int]]]:
        """The rows of a window, in random order, so that every step has long sequences and short ones."""
        ids = _window_ids(self._packing, window, len(self._sizes), self._seed, self._first_position)
        epochs = _window_epochs(self._packing, window, len(self._sizes), self._first_position)
        sizes = self._sizes[ids]
        fullest = sorted(pack(sizes, self._packing), key=lambda row: -sizes[row, 0].sum())
        num_rows = self._packing.rows * self._packing.window_steps
        rows = fullest[:num_rows] + [[] for _ in range(num_rows - len(fullest))]
        order = np.random.RandomState(_window_seed(self._seed, window)).permutation(num_rows)
        in_order = [rows[number] for number in order]
        return [ids[row].tolist() for row in in_order], [epochs[row].tolist() for row in in_order]


def _window_ids(packing: Packing, window: int, num_records: int, seed: int, first_position: int = 0) -> np.ndarray:
    number = packing.sequences_per_step * packing.window_steps
    return record_ids(window, np.arange(number), number, num_records, seed, first_position)


def _window_epochs(packing: Packing, window: int, num_records: int, first_position: int) -> np.ndarray:
    number = packing.sequences_per_step * packing.window_steps
    return epochs_of(window, np.arange(number), number, num_records, first_position)


def _window_seed(seed: int, window: int) -> int:
    return int(np.random.SeedSequence([seed, window, _WINDOW]).generate_state(1)[0])
