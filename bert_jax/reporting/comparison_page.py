"""What the page of several runs shows: their curves over each other, what they cost, and in what they differ."""

from collections.abc import Sequence
from typing import Any

from bert_jax.objectives.metrics import Metric
from bert_jax.objectives.pretraining_metrics import METRICS
from bert_jax.reporting.comparison import Compared, differing_settings, not_comparable, worst
from bert_jax.reporting.comparison_figures import drawings, swatch
from bert_jax.reporting.course import Spent
from bert_jax.reporting.facts import compact, duration
from bert_jax.reporting.look import RUN_COLOURS
from bert_jax.reporting.percent import percent

_NONE = "–"


def values(runs: Sequence[Compared]) -> dict[str, Any]:
    """What comparison_page.html shows of the runs."""
    remarks, last = not_comparable(runs), worst(runs)
    return {
        "verdict": verdict(runs, remarks),
        "remarks": remarks,
        "run_colours": RUN_COLOURS,
        "results": [],
        "work": [],
        "main_chart": [],
        "charts": drawings(runs),
        "no_flops": [run.name for run in runs if run.spent(run.run.last_step()).flops is None],
        "columns": ["Parameters", "Steps", "Tokens", "Training time", "FLOPs", *_titles(runs)],
        "branches": [_branch(run) for run in runs if run.run.parent],
        "rows": [(run.name, swatch(number), _row(run, runs)) for number, run in enumerate(runs)],
        "loss": f"{last.loss:.2f}" if last and not remarks else "",
        "worst": last.name if last else "",
        "some_diverged": any(run.has_diverged for run in runs),
        "reached": _reached(runs, last) if last and not remarks else [],
        "differing": [(name, [_shown(value) for value in row]) for name, row in differing_settings(runs)],
    }


def verdict(runs: Sequence[Compared], remarks: Sequence[str]) -> str:
    """Which runs have diverged, and how soon the quickest other one is where the worst one is at its end."""
    diverged = "".join(f"{run.name} has diverged. " for run in runs if run.has_diverged)
    if remarks:
        return f"{diverged}The losses of these runs are not of the same words: compare shapes, not heights."
    return diverged + _quickest([run for run in runs if not run.has_diverged], "other" if diverged else "of these")


def _quickest(runs: Sequence[Compared], which: str) -> str:
    last = worst(runs)
    if last is None or last.loss is None:
        return f"Fewer than two {which} runs have been evaluated on held-out text yet."
    seconds = last.spent(last.held_out[-1][0]).seconds
    times = {run.name: spent.seconds for run in runs if (spent := run.reached(last.loss, last.words)) and spent.seconds}
    quickest = min(times, key=lambda name: times[name]) if times else last.name
    where = f"held-out loss {last.loss:.2f}, where {last.name} {'ended' if last.has_ended else 'is'}"
    if not seconds:
        return f"How long {last.name} took to its held-out loss of {last.loss:.2f} is not known: its log has no rates."
    if quickest == last.name:
        return f"No run reaches {where}, in less training time."
    return (
        f"{quickest} reaches {where} after {duration(seconds)}, in {duration(times[quickest])}: "
        f"{times[quickest] / seconds:.0%} of the training time."
    )


def _titles(runs: Sequence[Compared]) -> list[str]:
    return [metric.title for metric in _metrics(runs)]


def _metrics(runs: Sequence[Compared]) -> list[Metric]:
    """Those with a chart that a run has logged."""
    return [
        metric
        for metric in METRICS
        if metric.has_chart and any(run.run.final("validation", metric.name) is not None for run in runs)
    ]


def _row(run: Compared, runs: Sequence[Compared]) -> list[str]:
    done, all_steps = run.run.last_step(), run.config.total_steps
    steps = f"{done:,}" if run.has_ended else f"{done:,} of {all_steps:,}"
    finals = [(metric, run.run.final("validation", metric.name)) for metric in _metrics(runs)]
    return [
        f"{run.config.model.parameters:,}",
        f"{steps}, diverged" if run.has_diverged else steps,
        *_amounts(run.spent(done))[1:],
        *(
            _NONE if value is None else percent(value) if metric.unit == "share" else f"{value:.3f}"
            for metric, value in finals
        ),
    ]


def _branch(run: Compared) -> str:
    parent = run.run.parent
    assert parent is not None
    whose = "" if parent.lines else "; the log of that run is not there, so its steps are taken to be as the next known"
    return f"{run.name} is a {parent.sentence}: what it took up to there is in its amounts{whose}."


def _amounts(spent: Spent) -> list[str]:
    """Steps, tokens, time, FLOPs."""
    return [
        f"{spent.step:,}",
        compact(spent.tokens),
        _NONE if spent.seconds is None else duration(spent.seconds),
        _NONE if spent.flops is None else f"{spent.flops:.2e}".replace("e+", "e"),
    ]


def _reached(runs: Sequence[Compared], last: Compared) -> list[tuple[str, str, list[tuple[str, str]]]]:
    """Of each run: its name and swatch, and (amount, share of the worst run's) of steps, tokens, time and FLOPs."""
    assert last.loss is not None
    whole, rows = last.spent(last.held_out[-1][0]), []
    for number, run in enumerate(runs):
        spent = run.reached(last.loss, last.words)
        cells = [(_NONE, "")] * 4
        if spent:
            pairs = [(getattr(spent, name), getattr(whole, name)) for name in ("step", "tokens", "seconds", "flops")]
            shares = [
                f"{of_run / of_worst:.0%}" if of_run is not None and of_worst else "" for of_run, of_worst in pairs
            ]
            cells = list(zip(_amounts(spent), shares, strict=True))
        rows.append((run.name, swatch(number), cells))
    return rows


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else _NONE if value in (None, "") else str(value)
