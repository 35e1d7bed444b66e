"""What a run says while it trains: metrics.jsonl, TensorBoard event files, and a bar or plain lines to watch.

Plain numbers in, files and text out; this file knows no arrays, no model and no device.
"""

import json
import math
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from numbers import Integral
from types import MappingProxyType, TracebackType
from typing import Self

from absl import logging
from etils import epath
from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.proto.summary_pb2 import Summary
from tqdm import tqdm

from bert_jax.storage.mirror import Mirror
from bert_jax.storage.whole_file import replace_text
from bert_jax.training.workdir import lines_up_to


class MetricsLog:
    """The metrics of a run: JSON lines in WORKDIR/metrics.jsonl, scalars in WORKDIR/tensorboard.

    A line holds split, step, time (unix seconds) and the values. JSON has no NaN and no infinity: such a
    value is written as null, so that any JSON reader can read any line; TensorBoard gets the number itself.
    """

    def __init__(self, workdir: epath.PathLike, resume_step: int) -> None:
        """Open the log of a run that goes on after `resume_step` steps; 0 when it starts from the beginning.

        A run that was killed after its last checkpoint repeats steps: their old lines are dropped here, so
        that no step is told twice, and so is a last line torn by the kill. UserError if the file is no log.
        """
        kept = lines_up_to(resume_step, epath.Path(workdir) / "metrics.jsonl")
        self._mirror = Mirror(workdir)
        path = self._mirror.local / "metrics.jsonl"
        replace_text(path, "".join(json.dumps(line) + "\n" for line in kept))
        self._written = {(line.get("split"), line["step"]) for line in kept}
        self._lines = path.open("a")
        self._events = _event_file(path.parent / "tensorboard", resume_step)

    def write(self, split: str, step: int, values: Mapping[str, float]) -> None:
        """Add the values of one step, in both files when this returns; a step told already stays as it is."""
        if (split, step) in self._written:
            return
        self._written.add((split, step))
        now = time.time()
        line = {"split": split, "step": step, "time": round(now, 3)}
        self._lines.write(json.dumps(line | {name: _json_number(value) for name, value in values.items()}) + "\n")
        self._lines.flush()
        scalars = [Summary.Value(tag=f"{split}/{name}", simple_value=float(v)) for name, v in values.items()]
        self._events.write_event(Event(wall_time=now, step=step, summary=Summary(value=scalars)))
        self._events.flush()

    def flush(self) -> None:
        """Return when an object store has all that was written."""
        self._mirror.flush()

    def close(self) -> None:
        """Close both files."""
        self._lines.close()
        self._events.close()
        self._mirror.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _json_number(value: float) -> float | int | None:
    if isinstance(value, Integral):
        return int(value)
    return float(value) if math.isfinite(value) else None


def _event_file(directory: epath.Path, resume_step: int) -> EventsWriter:
    """A new event file whose first event hides the steps after `resume_step` in the directory's older files.

    The plain writer, not SummaryWriter: that one writes from a thread, which on a full disk dies and leaves
    the caller waiting for ever, where this one raises.
    """
    directory.mkdir(parents=True, exist_ok=True)
    writer = EventsWriter(str(directory / "events"), filename_suffix=f".after-{resume_step}")
    start = SessionLog(status=SessionLog.START)
    writer.write_event(Event(wall_time=time.time(), step=resume_step + 1, session_log=start))
    writer.flush()
    return writer


class Progress:
    """How far the run is: a bar where a person watches (stderr is a terminal), plain log lines elsewhere."""

    def __init__(self, total_steps: int, first_step: int = 0, clock: Callable[[], float] = time.monotonic) -> None:
        """`first_step` of `total_steps` steps are done already; `clock` gives seconds."""
        self._total_steps = total_steps
        self._clock = clock
        self._start: tuple[int, float] | None = None
        self._bar = _bar(total_steps, first_step) if sys.stderr.isatty() else None

    def update(self, step: int, values: Mapping[str, float] | None = None) -> None:
        """`step` steps are done; `values`, named as in metrics.jsonl, are shown, if any."""
        if self._start is None:  # after compilation, which says nothing about the steps to come
            self._start = (step, self._clock())
        if self._bar is not None:
            self._bar.update(step - self._bar.n)
            if values:
                self._bar.set_postfix_str("  ".join(_shown(values, _BESIDE_BAR)))
        elif values:
            fields = [
                f"step {step}/{self._total_steps}",
                *_shown(values, tuple(_FORMATS)),
                f"eta {self._eta(step)}",
            ]
            logging.info("%s", "  ".join(fields))

    def message(self, text: str) -> None:
        """Say something that is worth a line of its own, without breaking the bar."""
        if self._bar is not None:
            self._bar.write(text, file=sys.stderr)
        else:
            logging.info("%s", text)

    def close(self) -> None:
        """Leave the bar as it stands and go to the next line."""
        if self._bar is not None:
            self._bar.close()

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


def _tokens_per_second(rate: float) -> str:
    return f"{tqdm.format_sizeof(rate)} tokens/s" if math.isfinite(rate) else "? tokens/s"


_FORMATS: Mapping[str, Callable[[float], str]] = MappingProxyType(
    {
        "loss": "loss {:.3f}".format,
        "masked_lm_accuracy": "mlm_acc {:.3f}".format,
        "next_sentence_accuracy": "nsp_acc {:.2f}".format,
        "learning_rate": "lr {:.1e}".format,
        "tokens_per_second": _tokens_per_second,
        "mfu": "mfu {:.1%}".format,
    }
)
_BESIDE_BAR = ("loss", "masked_lm_accuracy", "tokens_per_second", "mfu")


def _shown(values: Mapping[str, float], names: Iterable[str]) -> list[str]:
    return [_FORMATS[name](values[name]) for name in names if name in values]
