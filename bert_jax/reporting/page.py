"""The report: one HTML file that needs nothing else, no network and no script."""

import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from etils import epath
from jinja2 import Environment, PackageLoader, StrictUndefined

from bert_jax.objectives.metrics import Metric
from bert_jax.objectives.pretraining_metrics import METRICS
from bert_jax.reporting import comparison_page, fine_tuning_page, pretraining_page
from bert_jax.reporting.comparison import Compared
from bert_jax.reporting.fine_tuning_files import is_fine_tuning
from bert_jax.reporting.fine_tuning_history import read_fine_tuning
from bert_jax.reporting.look import COLOURS
from bert_jax.reporting.run_history import Run, read_run
from bert_jax.storage.whole_file import replace_text


def write_report(workdir: epath.PathLike, output: epath.PathLike | None = None) -> epath.Path:
    """Write the report of the run in `workdir`, of pretraining or fine-tuning, and return its path.

    Args:
      workdir: Of the run, which may be still running.
      output: The file to write; default WORKDIR/report.html.

    Raises:
      UserError: `workdir` holds no run.
    """
    page = _fine_tuning(workdir) if is_fine_tuning(workdir) else _pretraining(workdir)
    output = epath.Path(output) if output else epath.Path(workdir) / "report.html"
    replace_text(output, page)
    return output


def write_comparison(runs: Sequence[Compared], output: epath.PathLike) -> epath.Path:
    """Write the page of several runs over each other, and return its path."""
    replace_text(
        epath.Path(output),
        _page("comparison_page.html", ", ".join(run.name for run in runs), {}, comparison_page.values(runs)),
    )
    return epath.Path(output)


def run_and_metrics(workdir: epath.PathLike) -> tuple[Run, Sequence[Metric]]:
    """The run in `workdir`, of several seeds the best one's, and the metrics that it has; raises as above."""
    if not is_fine_tuning(workdir):
        return read_run(workdir), METRICS
    found = read_fine_tuning(workdir)
    return found.runs[found.main], found.metrics()


def _pretraining(workdir: epath.PathLike) -> str:
    run = read_run(workdir)
    return _page("pretraining_page.html", run.name, run.config, pretraining_page.values(run, workdir))


def _fine_tuning(workdir: epath.PathLike) -> str:
    found = read_fine_tuning(workdir)
    return _page("fine_tuning_page.html", found.name, found.config, fine_tuning_page.values(found))


def _page(template: str, name: str, config: dict[str, Any], values: dict[str, Any]) -> str:
    """The template with the `values` that only its kind of run has."""
    templates = Environment(
        loader=PackageLoader("bert_jax.reporting", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return templates.get_template(template).render(
        name=name, colours=COLOURS, settings=_settings(config), versions=_versions(), **values
    )


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
