"""Drawings of what a model answers: calibration, numbers beside gold, lengths. In the colours of look.py."""

from collections.abc import Callable, Sequence

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from bert_jax.reporting.look import COLOURS, as_svg, plain_frame
from bert_jax.tasks.scores.classification import ReliabilityBin

_SQUARE, _FLAT = (4.6, 3.6), (4.6, 2.5)  # inches
_MOST_DOTS = 800  # more make the page heavy


def reliability_figure(bins: Sequence[ReliabilityBin]) -> Markup:
    """Bars of the share that is right, one for each bin of confidence, beside the line on which both are equal."""

    def draw(axes: Axes) -> None:
        _frame(axes, "the model's confidence", "share that is right")
        some = [a_bin for a_bin in bins if a_bin.count]
        axes.bar(
            [(a_bin.low + a_bin.high) / 2 for a_bin in some],
            [a_bin.accuracy for a_bin in some],
            width=0.9 * (bins[0].high - bins[0].low),
            color=COLOURS["train"],
            zorder=2,
        )
        for a_bin in some:
            middle, height = (a_bin.low + a_bin.high) / 2, a_bin.accuracy
            _note(axes, middle, height, f"{a_bin.count:,}")
        axes.plot([0, 1], [0, 1], color=COLOURS["floor"], linewidth=1.3, linestyle=(0, (4, 3)), zorder=3)
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1.08)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(MaxNLocator(5))
            axis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.0f}%"))

    return _drawn("Calibration", draw, _SQUARE)


def scatter_figure(gold: Sequence[float], predicted: Sequence[float], same_scale: bool) -> Markup:
    """A dot for each example; where both are on one scale, the line on which they are equal."""
    places = np.unique(np.linspace(0, len(gold) - 1, min(len(gold), _MOST_DOTS)).astype(np.int64))
    some_gold, some_predicted = np.asarray(gold)[places], np.asarray(predicted)[places]

    def draw(axes: Axes) -> None:
        _frame(axes, "gold", "predicted")
        axes.scatter(some_gold, some_predicted, s=9, color=COLOURS["held-out"], alpha=0.45, linewidths=0, zorder=3)
        if same_scale:
            ends = [min(gold), max(gold)]
            axes.plot(ends, ends, color=COLOURS["floor"], linewidth=1.3, linestyle=(0, (4, 3)), zorder=2)

    return _drawn("Predicted vs. gold", draw, _SQUARE)


def histogram_figure(title: str, edges: Sequence[int], counts: Sequence[int]) -> Markup:
    """Bars of how many texts have a length between two edges."""

    def draw(axes: Axes) -> None:
        _frame(axes, "tokens", "")
        widths = np.diff(edges)
        axes.bar(edges[:-1], counts, width=0.92 * widths, align="edge", color=COLOURS["train"], zorder=2)
        axes.set_xlim(0, edges[-1])
        axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))

    return _drawn(title, draw, _FLAT)


def _drawn(title: str, draw: Callable[[Axes], None], size: tuple[float, float]) -> Markup:
    return Markup(as_svg(title, draw, *size))  # our own drawing; matplotlib escapes its texts


def _frame(axes: Axes, across: str, up: str) -> None:
    plain_frame(axes, across)
    axes.set_ylabel(up, color=COLOURS["faint"], fontsize=9, loc="top", labelpad=3)


def _note(axes: Axes, across: float, up: float, text: str) -> None:
    axes.annotate(
        text,
        (across, up),
        xytext=(0, 2),
        textcoords="offset points",
        color=COLOURS["ink"],
        fontsize=8,
        ha="center",
        va="bottom",
        zorder=4,
    )
