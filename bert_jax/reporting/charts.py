"""What is worth a curve: which metrics, how their values are formatted, and a run's points of them. Draws nothing."""

import dataclasses
from collections.abc import Callable, Sequence

from bert_jax.objectives.metrics import Metric
from bert_jax.reporting.percent import percent
from bert_jax.reporting.reference import Band
from bert_jax.reporting.run_history import Run

Points = Sequence[tuple[float, float]]


def _percent(value: float) -> str:
    return percent(value).replace(".0%", "%")


def _count(value: float) -> str:
    return f"{value:,.0f}"


@dataclasses.dataclass(frozen=True)
class Curve:
    """What can be drawn over the steps, by its name in metrics.jsonl, and how its values are formatted.

    `floor` is the name of what can be had without learning from context, `floor_title` what the line is called.
    """

    name: str
    title: str
    format: Callable[[float], str]
    tick: Callable[[float], str]
    from_zero: bool = False
    floor: str = ""
    floor_title: str = ""


def _curve_of(metric: Metric) -> Curve:
    is_share = metric.unit == "share"
    return Curve(
        metric.name,
        metric.title,
        format=_percent if is_share else "{:.2f}".format,
        tick=_percent if is_share else "{:g}".format,
        from_zero=is_share,
        floor=metric.baseline,
        floor_title=metric.baseline_title,
    )


CURVES_OF_ANY_RUN = (
    Curve("learning_rate", "Learning rate", format="{:g}".format, tick="{:g}".format, from_zero=True),
    Curve("gradient_norm", "Gradient norm", format="{:.2f}".format, tick="{:g}".format, from_zero=True),
    Curve("tokens_per_second", "Throughput (tokens a second)", format=_count, tick=_count, from_zero=True),
)


@dataclasses.dataclass(frozen=True)
class Chart:
    """The curves of one metric in both splits; `phases`: (step, name) where a new phase begins.

    `others` are the same of other seeds, in the split that has points, and `name` is what sets this one apart.
    """

    curve: Curve
    train: Points
    held_out: Points
    floor: Points
    phases: Sequence[tuple[int, str]]
    last_step: int
    others: Sequence[Points] = ()
    name: str = ""
    band: Sequence[Band] = ()  # of a reference
    band_name: str = ""


def charts(run: Run, metrics: Sequence[Metric]) -> list[Chart]:
    """A chart of each of the objective's metrics, and of what every run has, that the run has logged."""
    phases = [(begun, f"{phase['max_seq_length']} tokens") for begun, phase in run.phases()[1:]]
    drawn = [
        Chart(
            curve=curve,
            train=run.points("train", curve.name),
            held_out=run.points("validation", curve.name),
            floor=run.points("validation", curve.floor),
            phases=[(begun, name) for begun, name in phases if begun < run.last_step()],
            last_step=run.last_step(),
        )
        for curve in (*(_curve_of(metric) for metric in metrics if metric.has_chart), *CURVES_OF_ANY_RUN)
    ]
    return [chart for chart in drawn if chart.train or chart.held_out]
