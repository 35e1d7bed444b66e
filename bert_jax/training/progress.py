"""How far a run is, for whoever watches: a bar, or plain lines."""

import math
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

from absl import logging
from tqdm import tqdm

from bert_jax.objectives.metrics import Metric

Format = Callable[[Mapping[str, float]], str]


def _tokens_per_second(values: Mapping[str, float]) -> str:
    rate = values["tokens_per_second"]
    return f"{tqdm.format_sizeof(rate)} tokens/s" if math.isfinite(rate) else "? tokens/s"


# What every objective's line has, before its own metrics and after them.
BEFORE: dict[str, Format] = {"loss": lambda values: f"loss {values['loss']:.3f}"}
AFTER: dict[str, Format] = {
    "learning_rate": lambda values: f"lr {values['learning_rate']:.1e}",
    "tokens_per_second": _tokens_per_second,
    "mfu": lambda values: f"mfu {values['mfu']:.1%}",
}
BAR_AFTER = ("tokens_per_second", "mfu")


class RunProgress:
    """How far the run is: a bar where a person watches (stderr is a terminal), plain log lines elsewhere."""

    def __init__(
        self,
        total_steps: int,
        first_step: int = 0,
        metrics: Sequence[Metric] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`first_step` of `total_steps` are done already; `metrics` are the objective's; `clock` gives seconds."""
        self._total_steps = total_steps
        self._clock = clock
        of_objective = {metric.name: metric.format for metric in metrics if metric.in_progress != "never"}
        self._formats: dict[str, Format] = BEFORE | of_objective | AFTER
        self._beside_bar = [*BEFORE, *(metric.name for metric in metrics if metric.in_progress == "bar"), *BAR_AFTER]
        self._start: tuple[int, float] | None = None
        self._bar = _bar(total_steps, first_step) if sys.stderr.isatty() else None

    def update(self, step: int, values: Mapping[str, float] | None = None) -> None:
        """`step` steps are done; `values`, named as in metrics.jsonl, are shown, if any."""
        if self._start is None:  # after compilation, which is no measure of the steps to come
            self._start = (step, self._clock())
        if self._bar is not None:
            self._bar.update(step - self._bar.n)
            if values:
                self._bar.set_postfix_str("  ".join(self._shown(values, self._beside_bar)))
        elif values:
            fields = [
                f"step {step}/{self._total_steps}",
                *self._shown(values, self._formats),
                f"eta {self._eta(step)}",
            ]
            logging.info("%s", "  ".join(fields))

    def message(self, text: str) -> None:
        """Log something that is worth a line of its own, without breaking the bar."""
        if self._bar is not None:
            self._bar.write(text, file=sys.stderr)
        else:
            logging.info("%s", text)

    def close(self) -> None:
        """Leave the bar as it stands and go to the next line."""
        if self._bar is not None:
            self._bar.close()

    def _shown(self, values: Mapping[str, float], names: Iterable[str]) -> list[str]:
        return [self._formats[name](values) for name in names if name in values]

    def _eta(self, step: int) -> str:
        first, started = self._start or (step, 0.0)
        if step == first:
            return "?"
        seconds_per_step = (self._clock() - started) / (step - first)
        return tqdm.format_interval(seconds_per_step * (self._total_steps - step))


def _bar(total_steps: int, first_step: int) -> tqdm:
    layout = "{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}{postfix}]"
    return tqdm(
        desc="step",
        total=total_steps,
        initial=first_step,
        bar_format=layout,
        dynamic_ncols=True,
        file=sys.stderr,
    )
