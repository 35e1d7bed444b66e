"""What is worth a curve: the metrics, how their values are said, and a run's points of them. Draws nothing."""

import dataclasses
from collections.abc import Callable, Sequence

from bert_jax.reporting.run_history import Run

Points = Sequence[tuple[int, float]]


def _percent(value: float) -> str:
    return f"{100 * value:.1f}%".replace(".0%", "%")


def _count(value: float) -> str:
    return f"{value:,.0f}"


@dataclasses.dataclass(frozen=True)
class Metric:
    """What can be drawn over the steps, by its name in metrics.jsonl, and how its values are said.

    `floor` is the name of what can be had without learning from context, `floor_title` how the line is called.
    """

    name: str
    title: str
    said: Callable[[float], str]
    tick: Callable[[float], str]
    from_zero: bool = False
    floor: str = ""
    floor_title: str = ""


METRICS = (
    Metric(
        "masked_lm_loss",
        "Masked words: loss (nats)",
        said="{:.2f}".format,
        tick="{:g}".format,
        floor="unigram_loss",
        floor_title="unigram floor",
    ),
    Metric(
        "masked_lm_accuracy",
        "Masked words: accuracy",
        said=_percent,
        tick=_percent,
        from_zero=True,
        floor="unigram_accuracy",
        floor_title="commonest word",
    ),
    Metric(
        "next_sentence_accuracy",
        "Next sentence: accuracy",
        said=_percent,
        tick=_percent,
        floor="majority_next_sentence_accuracy",
        floor_title="commoner answer",
    ),
    Metric("learning_rate", "Learning rate", said="{:g}".format, tick="{:g}".format, from_zero=True),
    Metric("gradient_norm", "Gradient norm", said="{:.2f}".format, tick="{:g}".format, from_zero=True),
    Metric("tokens_per_second", "Throughput (tokens a second)", said=_count, tick=_count, from_zero=True),
)


@dataclasses.dataclass(frozen=True)
class Chart:
    """The curves of one metric; `phases`: (step, name) where a new phase begins."""

    metric: Metric
    train: Points
    held_out: Points
    floor: Points
    phases: Sequence[tuple[int, str]]
    last_step: int


def charts(run: Run) -> list[Chart]:
    """A chart of every metric that the run has told."""
    phases = [(begun, f"{phase['max_seq_length']} tokens") for begun, phase in run.phases()[1:]]
    drawn = [
        Chart(
            metric=metric,
            train=run.points("train", metric.name),
            held_out=run.points("validation", metric.name),
            floor=run.points("validation", metric.floor),
            phases=[(begun, name) for begun, name in phases if begun < run.last_step()],
            last_step=run.last_step(),
        )
        for metric in METRICS
    ]
    return [chart for chart in drawn if chart.train or chart.held_out]
