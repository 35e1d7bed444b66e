"""metrics.jsonl and TensorBoard event files. Plain numbers in, files out; knows no arrays, no model and no device."""

import json
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from etils import epath
from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.proto.summary_pb2 import Summary

from bert_jax.storage.json_file import finite_or_none
from bert_jax.storage.mirror import Mirror
from bert_jax.storage.whole_file import replace_text
from bert_jax.workdir.step_log import lines_up_to


class MetricsLog:
    """The metrics of a run: JSON lines in WORKDIR/metrics.jsonl, scalars in WORKDIR/tensorboard.

    A line holds split, step, time (unix seconds) and the values. JSON has no NaN and no infinity: such a
    value is written as null, so that any JSON reader can read any line; TensorBoard gets the number itself.
    """

    def __init__(self, workdir: epath.PathLike, resume_step: int) -> None:
        """Open the log of a run that resumes after `resume_step` steps; 0 when it starts from the beginning.

        A run that was killed after its last checkpoint repeats steps: their old lines are dropped here, so
        that no step is there twice, and so is a last line torn by the kill. UserError if the file is no log.
        """
        kept = lines_up_to(resume_step, epath.Path(workdir) / "metrics.jsonl")
        self._mirror = Mirror(workdir)
        path = self._mirror.local / "metrics.jsonl"
        replace_text(path, "".join(json.dumps(line) + "\n" for line in kept))
        self._written = {(line.get("split"), line["step"]) for line in kept}
        self._lines = path.open("a")
        self._events = _event_file(path.parent / "tensorboard", resume_step)

    def write(self, split: str, step: int, values: Mapping[str, float]) -> None:
        """Add the values of one step, in both files when this returns; a step that is there already stays as it is."""
        if (split, step) in self._written:
            return
        self._written.add((split, step))
        now = time.time()
        line = {"split": split, "step": step, "time": round(now, 3)}
        self._lines.write(json.dumps(line | {name: finite_or_none(value) for name, value in values.items()}) + "\n")
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
