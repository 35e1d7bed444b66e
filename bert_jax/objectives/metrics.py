"""A number that an objective gives: its name in metrics.jsonl, and how people are shown it. Knows no array."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Literal


@dataclasses.dataclass(frozen=True)
class Metric:
    """One of an objective's metrics."""

    name: str  # in metrics.jsonl
    title: str  # of its chart
    short_name: str  # in a line of progress
    unit: Literal["nats", "share", "number"]
    better: Literal["lower", "higher"]
    baseline: str = ""  # name of the metric that is reached without learning from context
    baseline_title: str = ""
    baseline_short_name: str = ""
    has_chart: bool = True
    digits: int = 3  # in a line of progress
    in_progress: Literal["never", "log", "bar"] = (
        "never"  # "bar": beside a progress bar too, where there is little space
    )

    def gain(self, value: float, over: float) -> float:
        """By how much `value` is better than `over`; negative where it is worse."""
        return over - value if self.better == "lower" else value - over

    def format(self, values: Mapping[str, float], digits: int | None = None) -> str:
        """For a line of progress: "mlm_acc 0.164"."""
        return f"{self.short_name} {values[self.name]:.{self.digits if digits is None else digits}f}"


def evaluation_line(step: int, metrics: Sequence[Metric], values: Mapping[str, float]) -> str:
    """What the log shows of a held-out evaluation: each metric that has a baseline, and the baseline if it is known."""
    compared = [_compared(metric, values) for metric in metrics if metric.baseline and metric.name in values]
    return f"held-out at step {step}:  {'  '.join(compared)}"


def _compared(metric: Metric, values: Mapping[str, float]) -> str:
    beside = f" ({metric.baseline_short_name} {values[metric.baseline]:.3f})" if metric.baseline in values else ""
    return metric.format(values, 3) + beside
