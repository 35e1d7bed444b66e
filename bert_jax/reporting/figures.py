"""The curves of a run, drawn with matplotlib: as SVG for the page, as a picture file for anything else."""

from collections.abc import Sequence

from etils import epath
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from bert_jax.errors import UserError
from bert_jax.objectives.metrics import Metric
from bert_jax.reporting.charts import Chart, charts
from bert_jax.reporting.look import COLOURS, as_svg, plain_frame, step_label, thin
from bert_jax.reporting.picture import write_figure
from bert_jax.reporting.run_history import Run

_MOST_SEEDS = 20  # of other seeds' curves; more cannot be seen and only make the page heavy


def drawing(chart: Chart, size: tuple[float, float]) -> Markup:
    """The chart as an element for the page's template."""
    return Markup(svg(chart, *size))  # our own drawing; matplotlib escapes its texts


def svg(chart: Chart, width: float, height: float) -> str:
    """The chart as an <svg> element to stand in a page: colours are CSS variables, text is text.

    Args:
      chart: What to draw.
      width: In inches of 72 points; text is 9 points.
      height: Likewise.
    """
    return as_svg(chart.curve.title, lambda axes: draw(axes, chart), width, height)


def save_picture(run: Run, metrics: Sequence[Metric], path: epath.PathLike) -> None:
    """The metrics that have a floor side by side, as the kind of file that the name ends in.

    Raises:
      UserError: the run has logged none yet.
    """
    found = charts(run, metrics)
    if not found:
        raise UserError(f"--picture={path}: {run.name} has logged nothing to draw yet; leave it out until it has")
    drawn = [chart for chart in found if chart.curve.floor] or found
    figure = Figure(figsize=(4.4 * len(drawn), 3.4), facecolor=COLOURS["paper"])
    figure.set_layout_engine("constrained", w_pad=0.15, h_pad=0.15, wspace=0.05)
    for number, chart in enumerate(drawn):
        axes = figure.add_subplot(1, len(drawn), number + 1)
        draw(axes, chart)
        axes.set_title(chart.curve.title, loc="left", color=COLOURS["ink"], fontsize=11, pad=24)
    write_figure(figure, path)


def draw(axes: Axes, chart: Chart) -> None:
    """Draw the chart into `axes`."""
    _frame(axes, chart)
    _other_seeds(axes, chart)
    _band(axes, chart)
    train, held_out = thin(chart.train), thin(chart.held_out)
    if train:
        colour = COLOURS["held-out" if chart.others else "train"]  # before those of other seeds
        axes.plot(*zip(*train, strict=True), color=colour, linewidth=1.6, label=chart.name or "training", zorder=3)
    if held_out:
        axes.plot(
            *zip(*held_out, strict=True),
            color=COLOURS["held-out"],
            linewidth=1.8,
            marker="o",
            markersize=3.5 if len(held_out) < 40 else 0,
            label=chart.name or "held-out",
            clip_on=False,  # the last dot is on the edge
            zorder=4,
        )
        _end_value(axes, held_out[-1], chart.curve.format(held_out[-1][1]))
    _vertical_range(axes, chart)
    if chart.floor:
        _floor(axes, chart)
    _phases(axes, chart)
    if (train and held_out) or chart.others or chart.band:
        axes.legend(
            loc="lower left",
            bbox_to_anchor=(0, 1),
            ncols=3,
            frameon=False,
            labelcolor=COLOURS["ink"],
            fontsize=9,
            borderaxespad=0.2,
            borderpad=0,
            handlelength=1.4,
        )


def _other_seeds(axes: Axes, chart: Chart) -> None:
    for number, points in enumerate(chart.others[:_MOST_SEEDS]):
        label = "" if number else "other seeds"
        axes.plot(*zip(*thin(points), strict=True), color=COLOURS["train"], linewidth=0.8, label=label, zorder=2.5)


def _band(axes: Axes, chart: Chart) -> None:
    """The mean of a reference, and the interval of its seeds."""
    if not chart.band:
        return
    steps = [each.step for each in chart.band]
    low, mean, high = ([getattr(each, name) for each in chart.band] for name in ("low", "mean", "high"))
    colour = COLOURS["reference"]
    axes.fill_between(steps, low, high, color=colour, alpha=0.22, linewidth=0, zorder=2.2)
    axes.plot(steps, mean, color=colour, linewidth=1.2, label=chart.band_name, zorder=2.4)


def _frame(axes: Axes, chart: Chart) -> None:
    plain_frame(axes, "step")
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: chart.curve.tick(value)))
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda step, _: step_label(step)))
    axes.set_xlim(0, max(1, chart.last_step))


def _vertical_range(axes: Axes, chart: Chart) -> None:
    """A little air around all that is drawn."""
    values = [value for points in (chart.train, chart.held_out, chart.floor, *chart.others) for _, value in points]
    values += [each.mean for each in chart.band]
    low, high = min(values), max(values)
    low = 0 if chart.curve.from_zero else low
    air = 0.08 * (high - low) or 0.1 * abs(high) or 1
    axes.set_ylim(0 if chart.curve.from_zero else low - air, high + air)


def _end_value(axes: Axes, point: tuple[float, float], text: str) -> None:
    axes.annotate(
        text,
        point,
        xytext=(6, 0),
        textcoords="offset points",
        color=COLOURS["held-out"],
        fontsize=10,
        fontweight="bold",
        va="center",
        annotation_clip=False,
    )


def _floor(axes: Axes, chart: Chart) -> None:
    """A dashed line from edge to edge: between evaluations and beyond them the floor stays as last logged."""
    steps, values = zip(*chart.floor, strict=True)
    steps, values = (0, *steps, chart.last_step), (values[0], *values, values[-1])
    axes.step(steps, values, where="pre", color=COLOURS["floor"], linewidth=1.3, linestyle=(0, (4, 3)), zorder=2)
    axes.annotate(
        f"{chart.curve.floor_title} {chart.curve.format(values[-1])}",
        (chart.last_step, values[-1]),
        xytext=(-2, 3),
        textcoords="offset points",
        color=COLOURS["floor"],
        fontsize=9,
        ha="right",
        va="bottom",
        zorder=5,
        bbox={"facecolor": COLOURS["paper"], "edgecolor": "none", "pad": 0.5},
    )


def _phases(axes: Axes, chart: Chart) -> None:
    for begun, name in chart.phases:
        axes.axvline(begun, color=COLOURS["faint"], linewidth=0.8, zorder=1)
        axes.annotate(
            f"{name} →",
            (begun, 1),
            xycoords=("data", "axes fraction"),
            xytext=(0, 4),
            textcoords="offset points",
            color=COLOURS["faint"],
            fontsize=8,
            ha="center",
        )
