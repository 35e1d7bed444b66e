"""Where a run's wall time went, over all its starts: WORKDIR/runs.jsonl, written while it trains, and its sum.

Goodput is the fraction of the time in steps whose work is in the result: a step that is repeated after a kill counts
once. The time in which no process ran (a machine taken away, a night) is given by itself and counts for nothing.
"""

import contextlib
import dataclasses
import json
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Annotated

from etils import epath
from msgspec import Meta

from bert_jax.storage.json_file import read_json_lines
from bert_jax.storage.whole_file import replace_text

FILE = "runs.jsonl"
_WRITE_SECONDS = 10.0  # at least between two writes; what a kill takes of the clock is at most that
STEPS = "steps"
# In the order in which they are listed. "waiting for ..." is what the devices waited, at most.
KINDS = (STEPS, "start", "compilation", "evaluation", "checkpoints", "waiting for input", "waiting for the host", "end")


Time = Annotated[float, Meta(ge=-1e12, le=1e12)]  # seconds; a number, where a file may hold infinity


@dataclasses.dataclass
class Start:
    """One process's life in a run; times in unix seconds, `seconds` by kind."""

    started: Time
    ended: Time  # as far as it was written
    from_step: Annotated[int, Meta(ge=0, le=10**12)]
    to_step: Annotated[int, Meta(ge=0, le=10**12)]
    seconds: dict[str, Time] = dataclasses.field(default_factory=dict)


class Clock:
    """Counts the seconds of one start by kind: every moment belongs to the innermost kind that it is spent on."""

    def __init__(self, workdir: epath.PathLike | None, now: Callable[[], float] = time.time) -> None:
        """Start counting; write nothing if `workdir` is None (not the job's first process)."""
        self._now, self._kind, self._since = now, "start", now()
        self._path = epath.Path(workdir) / FILE if workdir is not None else None
        self._before = read_starts(workdir) if workdir is not None else []
        self.start = Start(self._since, self._since, 0, 0)
        self._written = self._since

    def from_step(self, step: int) -> None:
        """The run resumes after `step` steps."""
        self.start.from_step = self.start.to_step = step

    @contextlib.contextmanager
    def spent(self, kind: str) -> Iterator[None]:
        """Count what happens within as `kind`."""
        outer = self.turn(kind)
        try:
            yield
        finally:
            self.turn(outer)

    def turn(self, kind: str) -> str:
        """From now on time is spent on `kind`; returns what it was spent on."""
        now, before = self._now(), self._kind
        self.move(now - self._since, before)
        self._kind, self._since, self.start.ended = kind, now, now
        return before

    def move(self, seconds: float, kind: str, source: str | None = None) -> None:
        """Count `seconds` as `kind`, and not as `source`, if that is given."""
        counted = self.start.seconds
        counted[kind] = counted.get(kind, 0.0) + seconds
        if source is not None:
            counted[source] = counted.get(source, 0.0) - seconds

    def write(self, step: int, always: bool = False) -> None:
        """`step` is done; written at most every few seconds, or now if `always`."""
        self.turn(self._kind)
        self.start.to_step = step
        if self._path is None or not (always or self._since - self._written >= _WRITE_SECONDS):
            return
        self._written = self._since
        lines = [json.dumps(dataclasses.asdict(start), sort_keys=True) + "\n" for start in self.starts()]
        replace_text(self._path, "".join(lines))

    def starts(self) -> list[Start]:
        """The earlier starts of the run and this one."""
        return [*self._before, self.start]


def read_starts(workdir: epath.PathLike) -> list[Start]:
    """The starts of the run in `workdir`, oldest first; none if nothing was written yet."""
    path = epath.Path(workdir) / FILE
    if not path.exists():
        return []
    return read_json_lines(path, Start, "it is no log of starts; move it away and start again")


def first_step(workdir: epath.PathLike, clock: Clock) -> int:
    """After which step the run in `workdir` began in the first of its starts: 0, or the one that it branched from.

    Of a run whose log was moved away it is where the first start since then resumed, maybe its end.
    """
    return (read_starts(workdir) or clock.starts())[0].from_step


@dataclasses.dataclass(frozen=True)
class Goodput:
    """Shares of the time in which the run ran; they add up to 1. `lost`: in steps that had to be repeated."""

    running: float  # seconds
    between: float  # seconds between one start's end and the next start
    starts: int
    lost_steps: int
    shares: dict[str, float]  # by kind; "steps" are those that count

    @property
    def share(self) -> float:
        """Of the time in steps that count."""
        return self.shares[STEPS]


def goodput(starts: Sequence[Start]) -> Goodput | None:
    """The sum of the starts; None before any time was counted."""
    begins = [start.from_step for start in starts]
    later = (min(begins[number:], default=start.to_step) for number, start in enumerate(starts, 1))
    kept = [max(0, min(start.to_step, back) - start.from_step) for start, back in zip(starts, later, strict=True)]
    totals = dict.fromkeys((*KINDS, "repeated steps"), 0.0)
    lost_steps = 0
    for start, kept_steps in zip(starts, kept, strict=True):
        done = start.to_step - start.from_step
        share = kept_steps / done if done else 1.0
        lost_steps += done - kept_steps
        for kind, seconds in start.seconds.items():
            totals[kind] = totals.get(kind, 0.0) + seconds * (share if kind == STEPS else 1.0)
        totals["repeated steps"] += start.seconds.get(STEPS, 0.0) * (1.0 - share)
    running = sum(totals.values())
    if running <= 0:
        return None
    gaps = (max(0.0, b.started - a.ended) for a, b in pairwise(starts))
    shares = {kind: seconds / running for kind, seconds in totals.items()}
    return Goodput(running, sum(gaps), len(starts), lost_steps, shares)


def describe_goodput(found: Goodput) -> str:
    """One line: "goodput 96.1 % of 602 s in 2 starts; outside steps: compilation 2.0 %, ..."."""
    outside = [f"{kind} {share:.1%}" for kind, share in found.shares.items() if kind != STEPS and share >= 0.0005]
    starts = f" in {found.starts} starts" if found.starts > 1 else ""
    lost = f" ({found.lost_steps} steps repeated)" if found.lost_steps else ""
    return (
        f"goodput {found.share:.1%} of {found.running:.0f} s{starts}{lost}; outside steps {1 - found.share:.1%}: "
        f"{', '.join(outside) or 'nothing'}"
    )
