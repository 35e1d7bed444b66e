"""The report: one HTML file that needs nothing else, no network and no script."""

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from etils import epath
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from bert_jax.objectives.pretraining_metrics import METRICS
from bert_jax.reporting.charts import Chart, charts
from bert_jax.reporting.facts import results, work
from bert_jax.reporting.figures import COLOURS, svg
from bert_jax.reporting.pretraining_page import HEADLINE, verdict
from bert_jax.reporting.run_history import Run, read_run
from bert_jax.reporting.sentences import readable
from bert_jax.storage.whole_file import replace_text

_WIDE, _NARROW, _HALF = (9.0, 3.4), (4.6, 3.4), (4.6, 2.7)  # inches; a page's column is about 9 of them


def write_report(workdir: epath.PathLike, output: epath.PathLike | None = None) -> epath.Path:
    """Write the report of the run in `workdir` to `output` (default WORKDIR/report.html) and return its path.

    Raises:
      UserError: `workdir` holds no run.
    """
    run = read_run(workdir)
    output = epath.Path(output) if output else epath.Path(workdir) / "report.html"
    replace_text(output, _page(run))
    return output


def _page(run: Run) -> str:
    templates = Environment(
        loader=PackageLoader("bert_jax.reporting", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    drawn = charts(run, METRICS)
    main_chart = next((chart for chart in drawn if chart.curve.name == HEADLINE.name), None)
    return templates.get_template("pretraining_page.html").render(
        name=run.name,
        colours=COLOURS,
        verdict=verdict(run),
        results=results(run, METRICS),
        work=work(run),
        has_floor=bool(main_chart and main_chart.floor),
        main_title=HEADLINE.title,
        main_chart=[_drawing(main_chart, _WIDE), _drawing(main_chart, _NARROW)] if main_chart else [],
        charts=[(chart.curve.title, _drawing(chart, _HALF)) for chart in drawn if chart is not main_chart],
        samples=[readable(sample) for sample in run.samples],
        settings=_settings(run.config),
        versions=_versions(),
    )


def _drawing(chart: Chart, size: tuple[float, float]) -> Markup:
    return Markup(svg(chart, *size))  # our own drawing; matplotlib escapes its texts


def _settings(config: dict[str, Any]) -> list[tuple[str, list[tuple[str, str]]]]:
    """The config as tables, a group's name and its rows: each phase is a group, single values are one at the end."""
    groups: dict[str, Any] = {}
    single = {}
    for name, value in config.items():
        if isinstance(value, list) and all(isinstance(member, dict) for member in value):
            groups |= {f"{name}[{number}]": member for number, member in enumerate(value)}
        elif isinstance(value, dict):
            groups[name] = value
        else:
            single[name] = value
    if single:
        groups["run"] = single
    return [(name, [(key, _formatted(value)) for key, value in group.items()]) for name, group in groups.items()]


def _formatted(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return "none" if value in (None, "") else str(value)


def _versions() -> str:
    """What is installed where the report is written."""
    versions = []
    for package in ("bert_jax", "jax", "flax", "optax"):
        try:
            versions.append(f"{package} {version(package)}")
        except PackageNotFoundError:  # run from a source tree that is not installed
            continue
    return ", ".join([*versions, f"Python {platform.python_version()}"])
