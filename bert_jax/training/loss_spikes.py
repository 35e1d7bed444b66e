"""Spikes of the loss: steps that stand out from those before."""

import math
from collections import deque
from collections.abc import Iterable
from statistics import median

from absl import logging

_WINDOW, _FEWEST = 128, 32  # steps whose losses a spike is compared with; fewer are no basis
_SPREAD = 1.4826  # of a normal distribution: its deviation over its median absolute deviation


class LossSpikes:
    """Which steps' losses stand out from those before, by median and median absolute deviation."""

    def __init__(self, threshold: float, losses: Iterable[float] = ()) -> None:
        """`threshold`: deviations above the median; 0: no step stands out. `losses`: of the steps before, in order."""
        self._threshold = threshold
        self.losses: deque[float] = deque(losses, maxlen=_WINDOW)
        self._in_one = False

    def record(self, step: int, loss: float) -> bool:
        """Whether the loss of `step` is a spike; the first step of one is logged."""
        spike, middle = False, math.nan
        if self._threshold and len(self.losses) >= _FEWEST:
            middle = median(self.losses)
            deviation = _SPREAD * median(abs(other - middle) for other in self.losses)
            spike = loss > middle + self._threshold * max(deviation, 1e-3 * abs(middle))
        if spike and not self._in_one:
            logging.warning("loss spike at step %d: %.3f, and %.3f was the last steps' median", step, loss, middle)
        self._in_one = spike
        self.losses.append(loss)
        return spike
