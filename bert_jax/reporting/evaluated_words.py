"""Which words a held-out evaluation is of, as far as a workdir tells: only losses of the same words compare."""

import dataclasses
import itertools
import math
from collections.abc import Sequence

from bert_jax.config import Config
from bert_jax.reporting.run_records import PhaseDigests, SplitDigest, evaluated


@dataclasses.dataclass(frozen=True)
class Words:
    """What is known of them.

    split: None if it is not known yet, or there is none.
    directory: evaluation.records; "" where they are the records that the run is trained on.
    max_seq_length: Of the records.
    rows: How many of the split; infinity: all; 0: not known.
    """

    split: SplitDigest | None
    directory: str
    max_seq_length: int
    rows: float

    def same_records(self, other: "Words") -> bool:
        """Whether they are of the same records; by the settings where a digest is not known."""
        if self.split and other.split:
            return self.split == other.split
        return (self.directory, self.max_seq_length) == (other.directory, other.max_seq_length)

    def same_rows(self, other: "Words") -> bool:
        """Whether they are as many of the records, as far as is known."""
        return not (self.rows and other.rows) or self.rows == other.rows

    def same(self, other: "Words") -> bool:
        """Whether a loss of the ones compares with a loss of the others, as far as is known."""
        return self.same_records(other) and self.same_rows(other)


def words_of(config: Config, records: Sequence[PhaseDigests], step: int) -> Words:
    """Those that the run is evaluated on at a step; `records` of each phase, as far as they are known."""
    phase = _phase_at(config, step)
    settings, own = config.phases[phase], config.evaluation
    split = evaluated(records[phase]) if phase < len(records) else None
    directory = own.records if own.records != config.data.records else ""
    wanted = own.max_batches * settings.global_batch_size
    return Words(split, directory, settings.max_seq_length, _rows(wanted, split, is_known=bool(split or directory)))


def _phase_at(config: Config, step: int) -> int:
    """The number of the phase that the step is of; beyond all steps, of the last one."""
    ends = itertools.accumulate(phase.steps for phase in config.phases)
    return next((number for number, end in enumerate(ends) if step <= end), len(config.phases) - 1)


def _rows(wanted: int, split: SplitDigest | None, is_known: bool) -> float:
    if not is_known:
        return 0
    return wanted if wanted and (not split or wanted < split.num_records) else math.inf
