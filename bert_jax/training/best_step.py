"""The best step of a run by the headline score on the dev file, and its weights; and whether to hope for a better."""

import dataclasses
import math
from collections.abc import Mapping

import jax
import numpy as np
from absl import logging
from etils import epath
from jax.experimental import multihost_utils

from bert_jax.model.functional import Params, flatten
from bert_jax.objectives.metrics import Metric
from bert_jax.storage.json_file import finite_or_none, read_json, write_json
from bert_jax.workdir.fine_tuned import WEIGHTS, write_weights

FILE = "best.json"


@dataclasses.dataclass
class Best:
    """The content of best.json."""

    step: int = 0  # 0: none yet
    score: float | None = None
    weights_crc32c: str = ""
    history: list[tuple[int, float | None]] = dataclasses.field(default_factory=list)  # (step, score), ascending


class BestStep:
    """A Selection (run.py). What it keeps is a function of the run, so a run that is resumed finds the same."""

    def __init__(self, directory: epath.Path, metric: Metric, patience: int) -> None:
        """`patience`: evaluations without a better score that end the run; 0: none do."""
        self._directory, self._metric, self._patience = directory, metric, patience
        path = directory / FILE
        self.best = read_json(path, Best, "delete it, and the run evaluates again") if path.exists() else Best()

    def record(self, step: int, values: Mapping[str, float], params: Params) -> None:
        """See Selection; a step that was seen before a kill is passed over."""
        if any(seen == step for seen, _ in self.best.history):
            return
        score = values[self._metric.name]
        is_better = self.best.score is None or self._metric.gain(score, self.best.score) > 0
        self.best.history.append((step, finite_or_none(score)))
        if math.isfinite(score) and is_better:
            self.keep(step, score, params)
        elif jax.process_index() == 0:
            self._write()

    def keep(self, step: int, score: float | None, params: Params) -> None:
        """Write these weights as the best ones; every process calls it."""
        arrays = {path: np.asarray(array, np.float32) for path, array in flatten(on_host(params)).items()}
        self.best.step, self.best.score = step, score
        is_first = jax.process_index() == 0
        self.best.weights_crc32c = write_weights(self._directory / WEIGHTS, arrays, is_first)
        if is_first:
            self._write()

    def should_stop(self, step: int) -> bool:
        """Whether the last `patience` evaluations up to `step` gave nothing better than those before."""
        scores = [score for seen, score in self.best.history if seen <= step]
        if not self._patience or len(scores) <= self._patience:
            return False
        finite = [(self._metric.gain(score, 0.0), -place) for place, score in enumerate(scores) if score is not None]
        over = not finite or -max(finite)[1] < len(scores) - self._patience
        if over:
            logging.info("no better %s in %d evaluations: the run ends early", self._metric.name, self._patience)
        return over

    def _write(self) -> None:
        write_json(self._directory / FILE, self.best)


def on_host(params: Params) -> Params:
    """All parameters as NumPy arrays, on every process."""
    if jax.process_count() > 1:
        return multihost_utils.process_allgather(params, tiled=True)
    return jax.device_get(params)
