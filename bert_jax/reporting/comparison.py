"""Several pretraining runs beside each other: in what they differ, and what each spent to reach the same loss."""

import collections
import dataclasses
import functools
import itertools
import re
from collections.abc import Callable, Sequence
from typing import Any

from etils import epath

from bert_jax.config import Config
from bert_jax.config.file import deciding_settings
from bert_jax.errors import UserError
from bert_jax.objectives.pretraining_metrics import HEADLINE
from bert_jax.reporting.course import Over, Spent, course, points
from bert_jax.reporting.evaluated_words import Words, words_of
from bert_jax.reporting.fine_tuning_files import is_fine_tuning
from bert_jax.reporting.run_history import Run, read_run
from bert_jax.reporting.run_records import PhaseDigests, read_fingerprint, read_records
from bert_jax.storage.cloud import absolute
from bert_jax.workdir.run_directory import read_config

_MASKS = ("masking", "masked_lm_prob", "random_share", "kept_share", "whole_word_mask")  # of config.data


@dataclasses.dataclass(frozen=True)
class Compared:
    """A run, its config, and what its losses are of: a vocabulary ("": not written yet) and records ([]: likewise)."""

    name: str
    run: Run
    config: Config
    vocabulary: str
    records: Sequence[PhaseDigests]

    @functools.cached_property
    def spent(self) -> Callable[[int], Spent]:
        """What it had spent after a step (course.py)."""
        return course(self.run)

    @property
    def held_out(self) -> list[tuple[int, float]]:
        """(step, loss), in all phases."""
        return self.run.points("validation", HEADLINE.name)

    @property
    def has_diverged(self) -> bool:
        """Whether its loss is no longer a number."""
        return self.run.diverged(HEADLINE.name)

    @property
    def loss(self) -> float | None:
        """The last one, held out; None before there is any, and of a run that has diverged."""
        return self.held_out[-1][1] if self.held_out and not self.has_diverged else None

    @property
    def has_ended(self) -> bool:
        """Whether all its steps are done."""
        return self.run.last_step() >= self.config.total_steps

    def curve(self, split: str, over: Over) -> list[tuple[float, float]]:
        """(what was spent, loss) of a split; [] where that is not known."""
        return points(self.run, split, HEADLINE.name, over)

    def reached(self, loss: float, words: Words) -> Spent | None:
        """What it had spent when its loss of these held-out words was first this low, on a straight line between two
        evaluations; those of other words, as in another phase, do not count.
        """
        before: tuple[int, float] | None = None
        for step, value in self.held_out:
            if not self.words_at(step).same(words):
                continue
            if value <= loss:
                return self.spent(round(_crossing(before, (step, value), loss)))
            before = step, value
        return None

    @property
    def words(self) -> Words:
        """Those of its newest evaluation; before there is one, of the phase that it is in."""
        return self.words_at(self.held_out[-1][0] if self.held_out else self.run.last_step())

    def words_at(self, step: int) -> Words:
        """Those of an evaluation at a step."""
        return words_of(self.config, self.records, step)


def read_compared(workdirs: Sequence[str]) -> list[Compared]:
    """The runs in `workdirs`, which may be still running.

    Raises:
      UserError: there are not two or more different ones, or one holds no pretraining run.
    """
    places = [str(absolute(epath.Path(workdir))) for workdir in workdirs]
    twice = [place for place, times in collections.Counter(places).items() if times > 1]
    if twice or len(places) < 2:
        what = f"names {twice[0]} twice" if twice else "is no list of runs"
        raise UserError(f"--compare={','.join(workdirs)} {what}; give two different workdirs or more: DIR,DIR")
    runs = [_read(epath.Path(workdir)) for workdir in workdirs]
    names = _names(places)
    return [dataclasses.replace(run, name=name) for run, name in zip(runs, names, strict=True)]


def _read(workdir: epath.Path) -> Compared:
    if (workdir / "config.json").exists() and is_fine_tuning(workdir):
        raise UserError(
            f"{workdir} is the workdir of a fine-tuning, and --compare lays pretraining runs over each other; give "
            "--workdir for its own page (scores of two fine-tunings are in their scores.json)"
        )
    run = read_run(workdir)
    return Compared(run.name, run, read_config(workdir), read_fingerprint(workdir), read_records(workdir))


def _names(places: Sequence[str]) -> list[str]:
    """The last parts of each path, as few as tell them apart."""
    parts = [place.rstrip("/").split("/") for place in places]
    for number in range(1, max(map(len, parts))):
        names = ["/".join(each[-number:]) for each in parts]
        if len(set(names)) == len(names):
            return names
    return list(places)


def _crossing(before: tuple[int, float] | None, after: tuple[int, float], loss: float) -> float:
    if before is None:
        return after[0]
    return before[0] + (after[0] - before[0]) * (before[1] - loss) / (before[1] - after[1])


def not_comparable(runs: Sequence[Compared]) -> list[str]:
    """Why the losses of these runs are not of the same words, a sentence each; [] if they are, as far as is known."""
    found = []
    if _differ([run.vocabulary for run in runs]):
        found.append(
            "The runs have different vocabularies: a loss is of a token, and tokens of another vocabulary are longer "
            "or shorter."
        )
    pairs = list(itertools.combinations([run.words for run in runs], 2))
    if not all(one.same_records(other) for one, other in pairs):
        found.append("The newest evaluations are not of the same held-out records in all runs.")
    if len({_masks(run.config) for run in runs}) > 1:
        found.append(
            "The runs draw their masks by different rules, also of held-out text: with more of it masked, there is "
            "less to guess a word by (evaluation.records gives all the same)."
        )
    if any(one.same_records(other) and not one.same_rows(other) for one, other in pairs):
        found.append("The runs are evaluated on different parts of the held-out records (evaluation.max_batches).")
    return found


def _differ(values: Sequence[Any]) -> bool:
    """Whether the known ones do."""
    known = [value for value in values if value]
    return any(value != known[0] for value in known)


def _masks(config: Config) -> tuple[Any, ...]:
    """By which rule those of held-out text are drawn; () if they are the records' own, whose digest says which."""
    if config.data.masking == "static" or config.evaluation.records:
        return ()
    return tuple(getattr(config.data, name) for name in _MASKS)


def differing_settings(runs: Sequence[Compared]) -> list[tuple[str, list[Any]]]:
    """Each setting that decides a result and is not the same in all runs, with each run's value, or None."""
    settings = [deciding_settings(run.config) | {"teacher": run.config.teacher} for run in runs]
    names = dict.fromkeys(name for each in settings for name in each)
    rows = [(name, [each.get(name) for each in settings]) for name in names]
    return [(re.sub(r"^phases\.(\d+)\.", r"phases[\1].", name), row) for name, row in rows if len(set(row)) > 1]


def worst(runs: Sequence[Compared]) -> Compared | None:
    """The run whose last held-out loss is the highest; None unless two have one."""
    scored = [run for run in runs if run.loss is not None]
    return max(scored, key=lambda run: run.loss or 0.0) if len(scored) > 1 else None
