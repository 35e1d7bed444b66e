"""What a run came to, in words and in a few numbers, for a reader who has never seen one."""

import dataclasses
from statistics import median

from bert_jax.reporting.run_history import Run
from bert_jax.workdir.goodput import STEPS, goodput

_LEVEL = 0.05  # nats: a loss this near to the floor is neither below nor above it


@dataclasses.dataclass(frozen=True)
class Fact:
    """A number worth a large print; `beside` is what to hold it against."""

    name: str
    value: str
    beside: str = ""


def verdict(run: Run) -> str:
    """One sentence: the last held-out loss against the unigram floor."""
    loss = run.final("validation", "masked_lm_loss")
    floor = run.final("validation", "unigram_loss")
    if run.diverged():
        return "The loss is no longer a number: this run has diverged."
    if loss is None or floor is None:
        return f"{run.last_step():,} steps are done; nothing held out has been evaluated yet."
    numbers = f"its held-out loss is {loss:.2f} nats"
    if loss < floor - _LEVEL:
        return f"The model reads context: {numbers}, {floor - loss:.2f} below the {floor:.2f} of the unigram floor."
    if loss <= floor + _LEVEL:
        return f"The model knows how common each word is, and no more yet: {numbers}, the unigram floor {floor:.2f}."
    return f"The model has learnt little yet: {numbers}, {loss - floor:.2f} above the {floor:.2f} of the unigram floor."


def results(run: Run) -> list[Fact]:
    """The last held-out numbers beside what needs no learning; what was not told is left out."""
    rows = [
        ("Masked words, loss", "masked_lm_loss", _nats, "unigram floor", "unigram_loss"),
        ("Masked words, right", "masked_lm_accuracy", _percent, "always the commonest", "unigram_accuracy"),
        (
            "Next sentence, right",
            "next_sentence_accuracy",
            _percent,
            "always the commoner",
            "majority_next_sentence_accuracy",
        ),
    ]
    told = []
    for name, metric, unit, floor_name, floor_metric in rows:
        value, floor = run.final("validation", metric), run.final("validation", floor_metric)
        if value is not None:
            told.append(Fact(name, unit(value), f"{floor_name} {unit(floor)}" if floor is not None else ""))
    return told


def work(run: Run) -> list[Fact]:
    """How much was done, how long it took and how fast it went."""
    total = sum(phase["steps"] for _, phase in run.phases())
    facts = [
        Fact("Steps", f"{run.last_step():,}", f"of {total:,}" if run.last_step() < total else "all of them"),
        Fact("Tokens", compact(run.tokens()), "padding included"),
        Fact("Training time", duration(run.seconds()), "evaluation included"),
    ]
    rates = [value for _, value in run.points("train", "tokens_per_second")]
    if rates:
        facts.append(Fact("Tokens a second", f"{median(rates):,.0f}", "median"))
    shares = [value for _, value in run.points("train", "mfu")]
    if shares:
        facts.append(Fact("MFU", _percent(median(shares)), "of the hardware's peak, median"))
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
    rest = ", ".join(f"{kind} {_percent(share)}" for share, kind in largest if share >= 0.001)
    starts = f" in {found.starts} starts" if found.starts > 1 else ""
    return [Fact("Goodput", _percent(found.share), f"of {duration(found.running)}{starts}; {rest}".rstrip("; "))]


def compact(number: float) -> str:
    """12345678 as "12.3 million"."""
    for size, name in ((1e12, "trillion"), (1e9, "billion"), (1e6, "million")):
        if number >= size:
            return f"{number / size:.1f} {name}"
    return f"{number:,.0f}"


def duration(seconds: float) -> str:
    """Seconds in the two units that say most."""
    whole = round(seconds)
    units = [("d", whole // 86400), ("h", whole // 3600 % 24), ("min", whole // 60 % 60), ("s", whole % 60)]
    said = [f"{amount} {unit}" for unit, amount in units]
    first = next((at for at, (_, amount) in enumerate(units) if amount), len(units) - 1)
    return " ".join(said[first : first + 2])


def _nats(value: float) -> str:
    return f"{value:.2f}"


def _percent(value: float) -> str:
    return f"{100 * value:.1f}%"
