"""Where JAX looks for devices. Read when the package is first imported, before JAX is."""

import importlib.util
import os
from pathlib import Path

# A TPU's (up to v4; from v5e on), NVIDIA's, AMD's, and a GPU's in WSL.
DEVICE_FILES = ("accel*", "vfio/[0-9]*", "nvidia*", "kfd", "dxg")


def without_absent_tpu(devices: Path = Path("/dev")) -> None:
    """Have JAX look for no accelerator where none is in `devices` and libtpu is installed, as it is for `plan`.

    It would start libtpu all the same, which writes a page of errors and whose profiler crashes without a TPU.
    """
    if importlib.util.find_spec("libtpu") and not has_accelerator(devices):
        os.environ.setdefault("JAX_PLATFORMS", "cpu")


def has_accelerator(devices: Path = Path("/dev")) -> bool:
    """Whether the host has a TPU or a GPU, by the names of its device files."""
    return any(file for pattern in DEVICE_FILES for file in devices.glob(pattern))
