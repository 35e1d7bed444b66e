"""Peak matrix-multiplication rate of one JAX device: the denominator of model FLOP utilisation (MFU).

Published dense bfloat16 peaks, whatever dtype the model computes in: that is how papers quote MFU. A device
without a published number (every CPU) is timed instead, and that is logged.
"""

import functools
import time
from types import MappingProxyType

import jax
import jax.numpy as jnp
from absl import logging
from jax.typing import DTypeLike

# FLOP/s of one JAX device by `device_kind`. A chip of v2, v3 and 7x shows itself as two, every other as one.
# From the Cloud TPU documentation, one page a generation, "peak compute per chip (bf16)"; v2 from Jouppi et
# al. 2020, "A domain-specific supercomputer for training deep neural networks".
TPU_PEAKS = MappingProxyType(
    {
        "TPU v2": 46e12 / 2,
        "TPU v3": 123e12 / 2,
        "TPU v4": 275e12,
        "TPU v5 lite": 197e12,
        "TPU v5e": 197e12,
        "TPU v5": 459e12,
        "TPU v5p": 459e12,
        "TPU v6 lite": 918e12,
        "TPU v6e": 918e12,
        "TPU7x": 2307e12 / 2,
    }
)

# Tensor-core FLOP/s without sparsity, from NVIDIA's data sheet of each card; bf16, and fp16 for V100 and T4,
# which have no bf16. Where a card comes in several forms, the plain name is the SXM one.
NVIDIA_PEAKS = MappingProxyType(
    {
        "T4": 65e12,
        "V100": 125e12,
        "V100 PCIE": 112e12,
        "A10": 125e12,
        "A30": 165e12,
        "A40": 149.7e12,
        "A100": 312e12,
        "L4": 121e12,
        "L40": 181e12,
        "L40S": 362e12,
        "H100": 989e12,
        "H100 PCIE": 756e12,
        "H100 NVL": 835e12,
        "H200": 989e12,
        "GH200": 989e12,
        "B200": 2250e12,
    }
)

_SIZES = (512, 1024, 2048)
_LONG_ENOUGH_SECONDS = 0.03


def peak_flops(device: jax.Device, dtype: DTypeLike) -> float:
    """FLOP/s of one local `device`: the published dense bf16 peak, else the measured rate in `dtype`."""
    published = published_peak(device.device_kind)
    if published is not None:
        return published
    measured = measured_peak(dtype, device)
    logging.info(
        "no published peak for %r: MFU is against this host's own measured matrix-multiplication rate, "
        "%.3g FLOP/s in %s",
        device.device_kind,
        measured,
        jnp.dtype(dtype).name,
    )
    return measured / _devices_on_the_same_silicon(device)


def published_peak(device_kind: str) -> float | None:
    """Published dense bf16 FLOP/s of a JAX device by its `device_kind`; None where there is no number."""
    if device_kind in TPU_PEAKS:
        return TPU_PEAKS[device_kind]
    words = set(device_kind.upper().replace("-", " ").split())
    fitting = [name for name in NVIDIA_PEAKS if words.issuperset(name.split())]
    if not fitting or not words & {"NVIDIA", "TESLA"}:
        return None
    return NVIDIA_PEAKS[max(fitting, key=len)]


def measured_peak(dtype: DTypeLike, device: jax.Device | None = None) -> float:
    """Best FLOP/s over square `dtype` matrix products of growing size; well under a second on a CPU."""
    best = 0.0
    for size in _SIZES:
        seconds = _matmul_seconds(size, dtype, device)
        best = max(best, 2 * size**3 / seconds)
        if seconds > _LONG_ENOUGH_SECONDS:
            break
    return best


def _matmul_seconds(size: int, dtype: DTypeLike, device: jax.Device | None) -> float:
    matrix = jax.device_put(jnp.ones((size, size), dtype), device)
    multiply = jax.jit(functools.partial(jnp.matmul, preferred_element_type=jnp.float32))  # as model/products.py does
    multiply(matrix, matrix).block_until_ready()  # compilation is not part of the rate
    durations = []
    for _ in range(3):
        start = time.perf_counter()
        multiply(matrix, matrix).block_until_ready()
        durations.append(time.perf_counter() - start)
    return min(durations)


def _devices_on_the_same_silicon(device: jax.Device) -> int:
    """Virtual CPU devices share the host's cores, so each is given an equal part of the rate; a GPU has its own."""
    return len(jax.local_devices(backend="cpu")) if device.platform == "cpu" else 1
