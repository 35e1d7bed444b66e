"""Reference curves: what runs of a config came to on the same records, so that a run can be held against them.

They lie in curves/, a JSON file each, made of finished runs with several seeds by benchmarks/curves.py. A run has one
if all settings that decide its result are the same but the seed, and so are the digests of its records, those that it
is evaluated on among them.
"""

import contextlib
import dataclasses
import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from etils import epath
from msgspec import Meta

from bert_jax.config import Config
from bert_jax.config.file import deciding_settings, from_dict
from bert_jax.errors import UserError
from bert_jax.objectives.metrics import Metric
from bert_jax.reporting.run_files import Count, Number
from bert_jax.reporting.run_history import Run
from bert_jax.reporting.run_records import PhaseDigests, evaluated, read_records
from bert_jax.storage.json_file import read_json
from bert_jax.storage.paths import files_of

DIRECTORY = epath.Path(__file__).parent / "curves"
_FREE = "train.seed"
# Student's t for 95 %, by degrees of freedom; of more, by its expansion around the normal distribution's 1.96.
_T = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306, 9: 2.262}


@dataclasses.dataclass(frozen=True)
class Seed:
    """One run: (step, value) of each held-out evaluation, by metric."""

    seed: int
    points: dict[str, list[tuple[Count, Number]]]


@dataclasses.dataclass(frozen=True)
class Reference:
    """A file of curves/. `config` is resolved, of the first seed; `records` is of each phase."""

    command: str
    config: dict[str, Any]
    records: list[PhaseDigests]
    versions: dict[str, str]
    seeds: Annotated[list[Seed], Meta(min_length=2)]


@dataclasses.dataclass(frozen=True)
class Band:
    """Where the runs of a reference are at a step, and within which ends 95 of 100 runs with other seeds would be."""

    step: float
    low: float
    mean: float
    high: float


def reference_of(run: Run, workdir: epath.PathLike, directory: epath.PathLike | None = None) -> Reference | None:
    """The reference of the run in `workdir`, which has checkpoints so that its records are known; None without one."""
    config, records = run_config(run), read_records(workdir)
    if config is None or not records or not all(evaluated(phase) for phase in records):
        return None  # of an earlier version, what evaluation.records held is not known
    settings = settings_of(config)
    found = (read_reference(path) for path in files_of(directory or DIRECTORY, "*.json"))
    return next((each for each in found if each.records == records and _settings(each) == settings), None)


def read_reference(path: epath.Path) -> Reference:
    """A file of curves/; UserError if it is damaged."""
    return read_json(path, Reference, "make it again with benchmarks/curves.py")


def run_config(run: Run) -> Config | None:
    """The run's settings; None if they are another version's."""
    with contextlib.suppress(UserError):
        return from_dict(run.config, run.name, Config)
    return None


def settings_of(config: Config) -> Mapping[str, Any]:
    """All that runs of one reference have in common: what decides what they learn, and which words are scored."""
    settings = {name: value for name, value in deciding_settings(config).items() if name != _FREE}
    scored = {"max_batches": config.evaluation.max_batches, "has_records": bool(config.evaluation.records)}
    return settings | scored | {"teacher": config.teacher}


def band(reference: Reference, metric: str) -> list[Band]:
    """At each step at which all seeds were evaluated, oldest first: a prediction interval by Student's t."""
    curves = [dict(seed.points.get(metric, ())) for seed in reference.seeds]
    steps = sorted(set.intersection(*map(set, curves)))
    return [_band(step, [curve[step] for curve in curves]) for step in steps]


def sentence(run: Run, reference: Reference, metric: Metric) -> str:
    """Where the run's last held-out value lies; "" if there is none at a step that the reference has."""
    found, points = band(reference, metric.name), run.points("validation", metric.name)
    inside = [(step, value) for step, value in points if found and found[0].step <= step <= found[-1].step]
    if not inside:
        return ""
    step, value = inside[-1]
    at = _between(found, step)
    where = "below" if value < at.low else "above" if value > at.high else "inside"
    beside = f"{abs(value - at.mean):.3f} {'below' if value < at.mean else 'above'} the mean of {at.mean:.3f}"
    return (
        f"Held-out loss at step {step:,}, {value:.3f}, lies {where} the reference: {len(reference.seeds)} runs of this "
        f"config on these records, each with a seed of its own. By their spread 95 of 100 such runs would be between "
        f"{at.low:.3f} and {at.high:.3f} there; this one is {beside}."
    )


def _settings(reference: Reference) -> Mapping[str, Any] | None:
    with contextlib.suppress(UserError):  # it has settings that this version has not
        return settings_of(from_dict(reference.config, "the reference", Config))
    return None


def _band(step: float, values: Sequence[float]) -> Band:
    number, mean, degrees = len(values), statistics.fmean(values), len(values) - 1
    t = _T.get(degrees, 1.96 + 2.372 / degrees + 2.823 / degrees**2)
    half = t * statistics.stdev(values) * math.sqrt(1 + 1 / number)
    return Band(step, mean - half, mean, mean + half)


def _between(bands: Sequence[Band], step: float) -> Band:
    """The band at a step within `bands`, on straight lines from one evaluation to the next."""
    after = next(at for at in bands if at.step >= step)
    before = next(at for at in reversed(bands) if at.step <= step)
    share = (step - before.step) / (after.step - before.step) if after.step > before.step else 0.0
    low, mean, high = (
        getattr(before, name) + share * (getattr(after, name) - getattr(before, name))
        for name in ("low", "mean", "high")
    )
    return Band(step, low, mean, high)
