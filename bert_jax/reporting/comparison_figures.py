"""The curves of several runs over each other, drawn by what was spent."""

from collections.abc import Callable, Sequence
from typing import Any

from etils import epath
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from bert_jax.errors import UserError
from bert_jax.objectives.pretraining_metrics import HEADLINE
from bert_jax.reporting.charts import Points
from bert_jax.reporting.comparison import Compared
from bert_jax.reporting.course import Over
from bert_jax.reporting.look import COLOURS, NARROW, RUN_COLOURS, as_svg, plain_frame, step_label, thin
from bert_jax.reporting.picture import write_figure

AXES: dict[Over, str] = {"step": "Steps", "tokens": "Tokens", "seconds": "Training time", "flops": "FLOPs"}
# Of the first runs, of as many more, and so on; beside each, how a page draws such a line (CSS's border-style).
_DASHES = (("-", "solid"), ((0, (5, 2)), "dashed"), ((0, (1, 1.5)), "dotted"))
_SIZES = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k"))
_UNITS = ((86400, "days"), (3600, "hours"), (60, "minutes"), (1, "seconds"))


def drawings(runs: Sequence[Compared]) -> list[tuple[str, Markup]]:
    """A title and a chart for each way to count what was spent that is known of two runs at least."""
    return [
        (f"By {_title(over)}", Markup(as_svg(f"{HEADLINE.title} by {_title(over)}", _drawer(runs, over), *NARROW)))
        for over in _known(runs)
    ]


def save_comparison(runs: Sequence[Compared], path: epath.PathLike) -> None:
    """All of them in one picture, of the kind that the name ends in.

    Raises:
      UserError: fewer than two runs have logged a loss yet.
    """
    known = _known(runs)
    if not known:
        raise UserError(
            f"--picture={path}: fewer than two of the runs have logged a loss yet; leave it out until they have"
        )
    figure = Figure(figsize=(9.4, 3.5 * -(-len(known) // 2) + 0.4), facecolor=COLOURS["paper"])
    figure.set_layout_engine("constrained", w_pad=0.15, h_pad=0.15)
    for number, over in enumerate(known):
        axes = figure.add_subplot(-(-len(known) // 2), min(2, len(known)), number + 1)
        draw(axes, runs, over)
        axes.set_title(f"{HEADLINE.title} by {_title(over)}", loc="left", color=COLOURS["ink"], fontsize=11)
    _legend(figure, runs)
    write_figure(figure, path)


def _legend(figure: Figure, runs: Sequence[Compared]) -> None:
    """Every run, also one whose curve is in no chart."""
    looks = [style(number) for number in range(len(runs))]
    handles = [Line2D([], [], color=colour, linestyle=dashes, linewidth=1.8) for colour, dashes in looks]
    places = [str(number) for number in range(len(runs))]
    legend = figure.legend(
        handles, places, loc="outside upper left", ncols=4, frameon=False, labelcolor=COLOURS["ink"], fontsize=9
    )
    for text, run in zip(legend.get_texts(), runs, strict=True):
        text.set_parse_math(False)  # a name is no formula, whatever it begins with or holds
        text.set_text(run.name)


def draw(axes: Axes, runs: Sequence[Compared], over: Over) -> None:
    """Each run's held-out losses, and its training losses as a thin line."""
    end = max((at for run in runs for split in ("train", "validation") for at, _ in run.curve(split, over)), default=1)
    unit, name = _unit(end) if over == "seconds" else (1, AXES[over].lower() if over != "flops" else "FLOPs")
    plain_frame(axes, name)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=over == "step", steps=[1, 2, 2.5, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda at, _: _tick(at, over)))
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    for number, run in enumerate(runs):
        for split in ("train", "validation"):
            _curve(axes, [(at / unit, loss) for at, loss in run.curve(split, over)], split, number)
    axes.set_xlim(0, end / unit or 1)
    _vertical_range(axes, runs, over)


def _curve(axes: Axes, points: Points, split: str, number: int) -> None:
    found, (colour, dashes) = thin(points), style(number)
    if not found:
        return
    axes.plot(
        *zip(*found, strict=True),
        color=colour,
        linestyle=dashes,
        alpha=0.4 if split == "train" else 1.0,
        linewidth=0.8 if split == "train" else 1.8,
        marker="o" if split == "validation" else "",
        markersize=3 if len(found) < 40 else 0,
        clip_on=split == "train",  # the last dot is on the edge
        zorder=3 if split == "train" else 4,
    )


def style(number: int) -> tuple[str, Any]:
    """Colour and dashes of a run."""
    return list(RUN_COLOURS.values())[number % len(RUN_COLOURS)], _dashes(number)[0]


def swatch(number: int) -> str:
    """The same in CSS: a border's style and colour."""
    return f"{_dashes(number)[1]} var(--{list(RUN_COLOURS)[number % len(RUN_COLOURS)]})"


def _dashes(number: int) -> tuple[Any, str]:
    return _DASHES[number // len(RUN_COLOURS) % len(_DASHES)]


def _vertical_range(axes: Axes, runs: Sequence[Compared], over: Over) -> None:
    """Of the held-out losses: the first training losses are far above all that matters."""
    held_out = [loss for run in runs for _, loss in run.curve("validation", over)]
    values = held_out if len(set(held_out)) > 1 else [loss for run in runs for _, loss in run.curve("train", over)]
    if values:
        low, high = min(values), max(values)
        air = 0.06 * (high - low) or 0.1
        axes.set_ylim(low - air, high + air)


def _known(runs: Sequence[Compared]) -> list[Over]:
    def has(run: Compared, over: Over) -> bool:
        return bool(run.curve("validation", over) or run.curve("train", over))

    return [over for over in AXES if sum(has(run, over) for run in runs) > 1]


def _drawer(runs: Sequence[Compared], over: Over) -> Callable[[Axes], None]:
    return lambda axes: draw(axes, runs, over)


def _title(over: Over) -> str:
    title = AXES[over]
    return title if over == "flops" else title.lower()


def _unit(end: float) -> tuple[int, str]:
    return next(((size, name) for size, name in _UNITS if end >= 2 * size), _UNITS[-1])


def _tick(at: float, over: Over) -> str:
    if over == "step":
        return step_label(at)
    if over == "tokens":
        return _short(at)
    return f"{at:g}" if over == "seconds" else f"{at:.1e}".replace("e+", "e").replace(".0e", "e") if at else "0"


def _short(number: float) -> str:
    """2500000 as "2.5M"."""
    size, name = next(((size, name) for size, name in _SIZES if number >= size), (1, ""))
    return f"{number / size:g}{name}"
