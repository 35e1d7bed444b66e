"""What a run came to in a few numbers, whatever its objective."""

import dataclasses
from collections.abc import Sequence
from statistics import median

from bert_jax.objectives.metrics import Metric
from bert_jax.reporting.percent import percent
from bert_jax.reporting.run_history import Run
from bert_jax.reporting.training_time import training_time
from bert_jax.workdir.goodput import STEPS, goodput


@dataclasses.dataclass(frozen=True)
class Fact:
    """A number worth a large print; `beside` is what to hold it against."""

    name: str
    value: str
    beside: str = ""


def results(run: Run, metrics: Sequence[Metric]) -> list[Fact]:
    """The last held-out numbers beside what needs no learning; what was not logged is left out."""
    facts = []
    for metric in (metric for metric in metrics if metric.has_chart):
        unit = percent if metric.unit == "share" else _nats
        value, floor = run.final("validation", metric.name), run.final("validation", metric.baseline)
        if value is not None:
            facts.append(
                Fact(metric.title, unit(value), f"{metric.baseline_title} {unit(floor)}" if floor is not None else "")
            )
    return facts


def work(run: Run) -> list[Fact]:
    """How much was done, how long it took and how fast it went."""
    total = sum(phase["steps"] for _, phase in run.phases())
    done = f"of {total:,}" if run.last_step() < total else "all of them"
    facts = [
        Fact("Steps", f"{run.last_step():,}", f"{done}; {run.parent.sentence}" if run.parent else done),
        Fact("Tokens", compact(run.tokens()), "padding included"),
    ]
    return facts + speed(run)


def speed(run: Run) -> list[Fact]:
    """How long it took and how fast it went."""
    seconds, what = training_time(run)
    since = f"since step {run.parent.step:,}, " if run.parent else ""
    facts = [Fact("Training time", duration(seconds), since + what)]
    rates = [value for _, value in run.points("train", "tokens_per_second")]
    if rates:
        facts.append(Fact("Tokens a second", f"{median(rates):,.0f}", "median"))
    shares = [value for _, value in run.points("train", "mfu")]
    if shares:
        facts.append(Fact("MFU", percent(median(shares)), "of the hardware's peak, median"))
    skipped = sum(int(value) for _, value in run.points("train", "skipped_steps"))
    if skipped:
        facts.append(Fact("Steps skipped", f"{skipped:,}", "no finite loss or gradient"))
    return facts + _time_spent(run)


def _time_spent(run: Run) -> list[Fact]:
    """The share of the time in steps that count, and where the rest went."""
    found = goodput(run.starts)
    if found is None:
        return []
    largest = sorted(((share, kind) for kind, share in found.shares.items() if kind != STEPS), reverse=True)[:2]
    rest = ", ".join(f"{kind} {percent(share)}" for share, kind in largest if share >= 0.001)
    starts = f" in {found.starts} starts" if found.starts > 1 else ""
    return [Fact("Goodput", percent(found.share), f"of {duration(found.running)}{starts}; {rest}".rstrip("; "))]


def compact(number: float) -> str:
    """12345678 as "12.3 million"."""
    for size, name in ((1e12, "trillion"), (1e9, "billion"), (1e6, "million")):
        if number >= size:
            return f"{number / size:.1f} {name}"
    return f"{number:,.0f}"


def duration(seconds: float) -> str:
    """Seconds in the two largest units."""
    whole = round(seconds)
    units = [("d", whole // 86400), ("h", whole // 3600 % 24), ("min", whole // 60 % 60), ("s", whole % 60)]
    amounts = [f"{amount} {unit}" for unit, amount in units]
    first = next((at for at, (_, amount) in enumerate(units) if amount), len(units) - 1)
    return " ".join(amounts[first : first + 2])


def _nats(value: float) -> str:
    return f"{value:.2f}"
