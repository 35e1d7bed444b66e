"""A fine-tuning's scores in tables: beside what simple methods reach, and seed by seed."""

from collections.abc import Sequence

from bert_jax.objectives.metrics import Metric
from bert_jax.reporting.answers.parts import Cell, Table, cells
from bert_jax.reporting.fine_tuning_files import Spread, Summary
from bert_jax.reporting.fine_tuning_history import SPLITS, FineTuning
from bert_jax.reporting.percent import percent

_FILES = {"test": "test file", "dev": "dev file"}


def score_tables(found: FineTuning) -> list[Table]:
    """One for each split that was scored, and one of the seeds if there are several."""
    summary, metrics = found.summary, found.metrics()
    if summary is None:
        return []
    tables = [_beside_floors(metrics, summary, split) for split in SPLITS if getattr(summary, split)]
    return tables + ([_seeds(metrics[0], summary)] if len(summary.seeds) > 1 and metrics else [])


def shown(metric: Metric, value: float | None) -> str:
    """A share in percent, another number with three digits."""
    if value is None:
        return "no number"
    return percent(value) if metric.unit == "share" else f"{value:.3f}"


def with_sd(metric: Metric, spread: Spread) -> str:
    """The mean over the seeds, and their standard deviation if there are several."""
    if spread.sd is None:
        return shown(metric, spread.mean)
    return (
        f"{shown(metric, spread.mean)} ± {100 * spread.sd:.1f}"
        if metric.unit == "share"
        else (f"{shown(metric, spread.mean)} ± {spread.sd:.3f}")
    )


def best_floor(metric: Metric, summary: Summary, split: str) -> tuple[str, float] | None:
    """The simple method that is best by the metric, and its score."""
    known = [
        (metric.gain(value, 0.0), name, value)
        for name, scores in summary.floors.get(split, {}).items()
        if (value := scores.get(metric.name)) is not None
    ]
    return max(known)[1:] if known else None


def _beside_floors(metrics: Sequence[Metric], summary: Summary, split: str) -> Table:
    floors, ours = summary.floors.get(split, {}), getattr(summary, split)
    rows = [
        [
            Cell(f"{metric.title} (lower is better)" if metric.better == "lower" else metric.title),
            Cell(with_sd(metric, ours[metric.name])),
            *(Cell(shown(metric, scores[metric.name]) if metric.name in scores else "–") for scores in floors.values()),
        ]
        for metric in metrics
        if metric.name in ours
    ]
    chosen = {"test": "", "dev": "The best step, and thresholds if the task has any, were chosen on this file."}[split]
    return Table(f"On the {_FILES[split]}", chosen, ("", "this model", *floors), rows)


def _seeds(headline: Metric, summary: Summary) -> Table:
    splits = [split for split in reversed(SPLITS) if headline.name in getattr(summary, split)]
    each = {split: getattr(summary, split)[headline.name].each for split in splits}
    rows = [
        cells(
            f"{seed}, kept" if seed == summary.best_seed else f"{seed}",
            f"{step:,}",
            *(shown(headline, each[split][place]) for split in splits),
        )
        for place, (seed, step) in enumerate(zip(summary.seeds, summary.steps, strict=True))
    ]
    return Table(
        "Scores by seed",
        "The same run with other random numbers; the one that is best on the dev file is kept.",
        ("Seed", "best step", *(f"{headline.title}, {split}" for split in splits)),
        rows,
    )
