"""What all drawings of the pages share: colours, sizes and frame, and how one becomes SVG in a page.

Colours have names, so that the page can show the same drawing in others when it is dark.
"""

import io
import re
from collections.abc import Callable
from types import MappingProxyType

import matplotlib as mpl
from markupsafe import escape
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bert_jax.reporting.charts import Points

# Every value differs from every other: in SVG it is replaced by the CSS variable of that name.
COLOURS = MappingProxyType(
    {
        "paper": "#fffefc",
        "ink": "#22262e",
        "faint": "#6b7280",
        "grid": "#e9e7e2",
        "train": "#9db3cf",
        "held-out": "#1d5bbf",
        "floor": "#b4530f",
        "reference": "#8d6cab",
    }
)
RUN_COLOURS = MappingProxyType(  # of several runs in one drawing
    {
        "run-1": "#2a66c4",
        "run-2": "#c8501e",
        "run-3": "#1a7f5a",
        "run-4": "#8a3ea8",
        "run-5": "#a97b08",
        "run-6": "#0d8ba3",
        "run-7": "#b8336a",
        "run-8": "#5b5f66",
    }
)
WIDE, NARROW, HALF = (9.0, 3.4), (4.6, 3.4), (4.6, 2.7)  # inches; a page's column is about 9 of them
_MOST_POINTS = 300  # of a curve; more cannot be seen and only make the page heavy


def as_svg(title: str, draw_into: Callable[[Axes], None], width: float, height: float) -> str:
    """What `draw_into` draws as an <svg> element to stand in a page: colours are CSS variables, text is text.

    `title` is read out in its place, and is another for each drawing of a page; inches, of 72 points; text is 9 points.
    """
    # The salt makes ids the same in every run and different for every drawing of a page.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": f"{title} {width}"}):
        figure = Figure(figsize=(width, height), layout="constrained")
        draw_into(figure.add_subplot())
        text = io.StringIO()
        no_metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(text, format="svg", transparent=True, metadata=no_metadata)
    element = text.getvalue()[text.getvalue().index("<svg") :]
    element = re.sub(r'<g id="[^"]*"', "<g", element)
    label = f' role="img" aria-label="{escape(title)}"'
    element = re.sub(r' width="[^"]*pt" height="[^"]*pt"', lambda _: label, element, count=1)
    for name, colour in (COLOURS | RUN_COLOURS).items():
        element = element.replace(colour, f"var(--{name})")
    return element


def plain_frame(axes: Axes, across: str) -> None:
    """What all drawings have around them: a line below, its name, and faint lines across."""
    axes.set_facecolor("none")
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(COLOURS["grid"])
    axes.tick_params(colors=COLOURS["faint"], labelsize=9, length=0, pad=5)
    axes.grid(axis="y", color=COLOURS["grid"], linewidth=0.8)
    axes.set_axisbelow(True)
    axes.set_xlabel(across, color=COLOURS["faint"], fontsize=9, loc="right", labelpad=1)


def thin(points: Points) -> Points:
    """At most `_MOST_POINTS` points, each the mean of as many neighbours; the last one stays itself."""
    size = -(-len(points) // _MOST_POINTS)
    if size <= 1:
        return points
    groups = [points[start : start + size] for start in range(0, len(points) - 1, size)]
    means = [(group[len(group) // 2][0], sum(value for _, value in group) / len(group)) for group in groups]
    return [*means, points[-1]]


def step_label(step: float) -> str:
    """A number of steps below an axis."""
    if step < 10_000:
        return f"{step:,.0f}"
    return f"{step / 1e6:g}M" if step >= 1e6 else f"{step / 1e3:g}k"
