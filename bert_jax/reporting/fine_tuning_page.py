"""What only the page of a fine-tuning shows: scores beside the floors', curves of every seed, predictions, lengths."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

from bert_jax.objectives.metrics import Metric
from bert_jax.reporting.answer_figures import histogram_figure
from bert_jax.reporting.answers.parts import Drawing, Part
from bert_jax.reporting.answers.parts_of import parts_of, remark_on
from bert_jax.reporting.charts import CURVES_OF_ANY_RUN, Chart, charts
from bert_jax.reporting.facts import Fact, speed
from bert_jax.reporting.figures import drawing
from bert_jax.reporting.fine_tuning_history import FineTuning
from bert_jax.reporting.look import HALF, NARROW, WIDE
from bert_jax.reporting.score_tables import best_floor, score_tables, shown, with_sd
from bert_jax.tasks.chance import interval
from bert_jax.tasks.libraries import MissingLibraryError

_LOSS = Metric("loss", "Loss on the training file", "loss", unit="nats", better="lower")
_MOST_TILES = _MOST_CHARTS = 4  # scores
_PEOPLE = ("Matthews", "Pearson", "Spearman")
_LEVEL = 0.005  # a score that is this near to the floor's is neither above nor below it, where chance is not known

Interval = tuple[float, float] | None


def values(found: FineTuning) -> dict[str, Any]:
    """What fine_tuning_page.html shows of it."""
    metrics = found.metrics()
    chance = _chance(found)
    drawn = [chart for chart in seed_charts(found, metrics) if len(chart.train) > 1 or len(chart.held_out) > 1]
    main_chart = next((chart for chart in drawn if metrics and chart.curve.name == metrics[0].name), None)
    return {
        "kind": found.kind,
        "verdict": verdict(found, chance),
        "results": _results(found, metrics, chance),
        "tables": score_tables(found),
        "floors": bool(found.summary and found.summary.floors.get(found.split)),
        "chance": _of_chance(metrics, chance, found.split),
        "work": _work(found),
        "has_floor": bool(main_chart and main_chart.floor),
        "main_title": f"{main_chart.curve.title} on the dev file" if main_chart else "",
        "main_chart": [drawing(main_chart, WIDE), drawing(main_chart, NARROW)] if main_chart else [],
        "charts": [(chart.curve.title, drawing(chart, HALF)) for chart in drawn if chart is not main_chart],
        "answers": _answers(found),
        "split": found.split,
        "lengths": _lengths(found),
    }


def verdict(found: FineTuning, chance: Interval) -> str:
    """One sentence: the headline score beside the best simple method's; `chance` is its 95 % interval."""
    metrics, summary = found.metrics(), found.summary
    if any(run.diverged(_LOSS.name) for run in found.runs):
        return "The loss is no longer a number: this run has diverged."
    if summary is None or not metrics or metrics[0].name not in getattr(summary, found.split, {}):
        return _so_far(found, metrics)
    headline = metrics[0]
    ours, floor = getattr(summary, found.split)[headline.name], best_floor(headline, summary, found.split)
    seeds = f" over {len(ours.each)} seeds" if len(ours.each) > 1 else ""
    numbers = f"{_in_text(headline)} on the {found.split} file is {with_sd(headline, ours)}{seeds}"
    if ours.mean is None:
        return f"{_capital(numbers)}: the same answer to everything, or one that is no number."
    if floor is None:
        return f"{_capital(numbers)}. {remark_on(found.kind, found.answers.get(found.split, ()))}".rstrip()
    beside = f"the best simple method ({floor[0]}) reaches {shown(headline, floor[1])}"
    gain = headline.gain(ours.mean, floor[1])
    if abs(gain) <= _level(chance):
        return f"No better than a simple method, as far as this file can tell: {numbers}, {beside}."
    return (
        f"This model beats simple methods: {numbers}, {beside}."
        if gain > 0
        else f"A simple method does better: {numbers}, {beside}."
    )


def _level(chance: Interval) -> float:
    """How near to a floor a score is taken for equal to it: half of its interval."""
    return (chance[1] - chance[0]) / 2 if chance else _LEVEL


def _so_far(found: FineTuning, metrics: Sequence[Metric]) -> str:
    run = found.runs[found.main]
    done = f"{run.last_step():,} steps of {run.name.replace('_', ' ')} are done"
    score = run.final("validation", metrics[0].name) if metrics else None
    if score is None:
        return f"{done}; nothing has been scored yet."
    floor = run.final("validation", metrics[0].baseline)
    beside = f", simple methods reach {shown(metrics[0], floor)}" if floor is not None else ""
    return f"{done}; {_in_text(metrics[0])} on the dev file is {shown(metrics[0], score)} so far{beside}."


def _in_text(metric: Metric) -> str:
    """Its title inside a sentence: names of people, and such as F1, keep their capitals."""
    title = metric.title
    is_name = title.startswith(_PEOPLE) or title[1:2].isupper() or title[1:2].isdigit()
    return title if is_name else title[:1].lower() + title[1:]


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _chance(found: FineTuning) -> Interval:
    """The 95 % interval of the headline score of the best seed; None where it is not known."""
    answered = found.answers.get(found.split, ())
    if not answered or found.task is None:
        return None
    try:
        low, high = interval(found.task, [each for _, each in answered], [one for one, _ in answered])
    except MissingLibraryError:
        return None
    return (low, high) if math.isfinite(low) else None


def _of_chance(metrics: Sequence[Metric], chance: Interval, split: str) -> str:
    if chance is None:
        return ""
    low, high = (shown(metrics[0], end) for end in chance)
    return (
        f"With other examples of the same kind in the {split} file, {_in_text(metrics[0])} would lie between {low} and "
        f"{high} 95 times of 100 (bootstrap, the kept seed)."
    )


def _results(found: FineTuning, metrics: Sequence[Metric], chance: Interval) -> list[Fact]:
    """The scores, each beside the best simple method's, and the headline's interval."""
    if found.summary is None or not found.split:
        return []
    scores, facts = getattr(found.summary, found.split), []
    for metric in (metric for metric in metrics if metric.name in scores):
        floor = best_floor(metric, found.summary, found.split)
        beside = f"{floor[0]} {shown(metric, floor[1])}" if floor else ""
        if chance and metric is metrics[0]:
            low, high = (shown(metric, end).removesuffix("%") for end in chance)
            beside = f"95% interval {low}–{high}{', the kept seed' if len(found.runs) > 1 else ''}"
        facts.append(Fact(metric.title, shown(metric, scores[metric.name].mean), beside))
    return facts[:_MOST_TILES]


def seed_charts(found: FineTuning, metrics: Sequence[Metric]) -> list[Chart]:
    """A chart of each score and of the loss, with the curves of all seeds, the best one's before the others."""
    main = found.runs[found.main]
    others = [run for run in found.runs if run is not main]
    last_step = max(run.last_step() for run in found.runs)
    drawn = []
    for chart in charts(main, [_LOSS, *metrics[:_MOST_CHARTS]]):
        split = "validation" if chart.held_out else "train"
        curves = [points for run in others if (points := run.points(split, chart.curve.name))]
        if chart.curve in CURVES_OF_ANY_RUN:  # much the same in each
            curves = []
        drawn.append(
            dataclasses.replace(chart, others=curves, last_step=last_step, name=_name(found) if curves else "")
        )
    return drawn


def _name(found: FineTuning) -> str:
    return f"{found.runs[found.main].name.replace('_', ' ')}{' (kept)' if found.summary else ''}"


def _work(found: FineTuning) -> list[Fact]:
    run, summary = found.runs[found.main], found.summary
    steps = Fact("Steps", f"{run.last_step():,}", f"best: {summary.steps[found.main]:,}" if summary else "so far")
    seeds = [Fact("Seeds", f"{len(found.runs)}", "the rest is of the kept one")] if len(found.runs) > 1 else []
    return [steps, *seeds, *speed(run)]


def _answers(found: FineTuning) -> list[Part]:
    return parts_of(found.task, found.answers.get(found.split, ())) if found.task else []


def _lengths(found: FineTuning) -> list[Drawing]:
    """A histogram of each split's lengths, with what became of texts that are too long."""
    drawings = []
    for split, lengths in (found.summary.lengths if found.summary else {}).items():
        what = {"cut": "were cut", "windows": "were read in windows"}[lengths.long]
        too_long = f"{lengths.too_long:,} are longer than {lengths.max_length:,} tokens and {what}"
        explained = f"{lengths.texts:,} texts, the middle one of {lengths.median:,.0f} tokens; " + (
            f"{too_long}." if lengths.too_long else f"none is longer than {lengths.max_length:,}."
        )
        title = {"train": "Training file", "dev": "Dev file", "test": "Test file"}.get(split, split)
        svg = histogram_figure(f"{title}: lengths", lengths.edges, lengths.counts)
        drawings.append(Drawing(title, explained, svg))
    return drawings
