"""What every side of benchmarks/cpu_step.py and gpu_step.py is given, and how each of them is timed."""

import dataclasses
import json
import resource
import sys
import time
from collections.abc import Callable

import numpy as np


@dataclasses.dataclass(frozen=True)
class Setting:
    """A model and a batch. Dropout is 0.1 everywhere, both heads are there, the optimizer is AdamW."""

    layers: int
    hidden: int
    heads: int
    rows: int
    length: int
    predictions: int
    dtype: str = "float32"
    vocab: int = 30522
    device: str = "cpu"  # or "cuda"
    steps: int = 6  # that are timed


def setting_of_this_process() -> Setting:
    """The setting that the parent gave as the first argument."""
    return Setting(**json.loads(sys.argv[1]))


def random_batch(setting: Setting) -> dict[str, np.ndarray]:
    """A batch of full rows, in the features of a record."""
    random, shape = np.random.default_rng(0), (setting.rows, setting.predictions)
    positions = [
        np.sort(random.choice(setting.length, setting.predictions, replace=False)) for _ in range(setting.rows)
    ]
    tokens = (setting.rows, setting.length)
    return {
        "input_ids": random.integers(1000, setting.vocab, tokens).astype(np.int32),
        "input_mask": np.ones(tokens, np.int32),
        "segment_ids": (np.arange(setting.length) >= setting.length // 2).astype(np.int32) * np.ones(tokens, np.int32),
        "masked_lm_positions": np.stack(positions).astype(np.int32),
        "masked_lm_ids": random.integers(1000, setting.vocab, shape).astype(np.int32),
        "masked_lm_weights": np.ones(shape, np.float32),
        "next_sentence_labels": random.integers(2, size=(setting.rows, 1)).astype(np.int32),
    }


def time_and_tell(
    step: Callable[[], float],
    product: Callable[[], object],
    device_bytes: Callable[[], int] = lambda: 0,
    warmup: int = 2,
) -> None:
    """Print, as JSON, the seconds of the first call and of later ones; `step` returns the loss.

    `product` is this side's own matrix product of the feed-forward's size, [rows * length, hidden] with [hidden, 4 *
    hidden], whose rate tells how much of a difference between sides is the libraries' kernels. `device_bytes` is the
    most that a device that is not the host had in use.
    """
    seconds, losses = [], []
    for _ in range(1 + warmup + setting_of_this_process().steps):
        started = time.perf_counter()
        losses.append(step())
        seconds.append(time.perf_counter() - started)
    assert np.isfinite(losses).all(), losses
    peak = (device_bytes() or 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) / 2**30
    told = {"first": seconds[0], "steps": seconds[1 + warmup :], "peak_gib": peak, "loss": losses[0]}
    print(json.dumps(told | {"gigaflops": product_rate(product)}))


def product_rate(product: Callable[[], object], times: int = 20) -> float:
    """GFLOP/s of `product`, the median of `times`."""
    setting, seconds = setting_of_this_process(), []
    for _ in range(times):
        started = time.perf_counter()
        product()
        seconds.append(time.perf_counter() - started)
    return 2 * setting.rows * setting.length * 4 * setting.hidden**2 / float(np.median(seconds)) / 1e9


def product_arrays(setting: Setting) -> tuple[np.ndarray, np.ndarray]:
    """What `product` multiplies, float32."""
    random = np.random.default_rng(0)
    shapes = (setting.rows * setting.length, setting.hidden), (setting.hidden, 4 * setting.hidden)
    return tuple(random.normal(size=shape).astype(np.float32) for shape in shapes)
