"""The machines that a plan can be made for: each chip's rates, and the slices that are built of it.

Rates are the Cloud TPU documentation's, one page a generation; v2 and the first network are of Jouppi et al. 2020, "A
domain-specific supercomputer for training deep neural networks"; the networks' usable rates are of the scaling book
(jax-ml.github.io/scaling-book, "How to think about TPUs"). The peak of matrix products is in parallel/peak.py.
"""

import dataclasses
import importlib.util
import math
import os
import re
from typing import Any

import jax
from jax.experimental.topologies import get_topology_desc

from bert_jax.errors import UserError
from bert_jax.parallel.peak import published_peak

GIB = 2**30


@dataclasses.dataclass(frozen=True)
class Chip:
    """One generation. Sizes and rates are of a whole chip; JAX sees `cores` devices in it."""

    device_kind: str
    cores: int
    memory_bytes: int
    memory_rate: float  # bytes/s
    hertz: float  # turns the compiler's cycles into seconds
    axes: int  # of the network: a chip has two links along each
    axis_rate: float  # bytes/s of one axis, both directions together
    ring: int  # an axis of a multiple of so many chips closes to a ring
    most: int  # chips in the largest slice

    @property
    def core_peak(self) -> float:
        """bf16 FLOP/s of one JAX device."""
        return published_peak(self.device_kind) or math.nan

    @property
    def core_memory(self) -> int:
        """Bytes of one JAX device."""
        return self.memory_bytes // self.cores


# The clock is peak / (128 x 128 multipliers of all matrix units x 2); of v6e and tpu7x it is not known what the
# compiler's cycle is, and 524,288 FLOP a cycle are assumed.
CHIPS = {
    "v2": Chip("TPU v2", 2, 16 * GIB, 700e9, 0.70e9, 2, 124e9, 16, 256),
    "v3": Chip("TPU v3", 2, 32 * GIB, 900e9, 0.94e9, 2, 200e9, 32, 1024),
    "v4": Chip("TPU v4", 1, 32 * GIB, 1200e9, 1.05e9, 3, 90e9, 4, 4096),
    "v5e": Chip("TPU v5 lite", 1, 16 * GIB, 819e9, 1.50e9, 2, 90e9, 16, 256),
    "v5p": Chip("TPU v5", 1, 95 * GIB, 2765e9, 1.75e9, 3, 180e9, 4, 8960),
    "v6e": Chip("TPU v6 lite", 1, 32 * GIB, 1638e9, 1.75e9, 2, 180e9, 16, 256),
    "tpu7x": Chip("TPU7x", 2, 192 * GIB, 7380e9, 2.20e9, 3, 180e9, 4, 9216),
}
MEGACORE = {"v4", "v5p"}  # two cores that JAX sees as one device
_MOST_OF_CPU = 4096  # devices: more of them are compiled for minutes, and for nobody
KNOWN = "v2:4x4, v3:8x8, v4:4x4x4, v5e:16x16, v5p:4x4x4, v6e:8x8, tpu7x:2x2x1 (chips along each axis) or cpu:8"


@dataclasses.dataclass(frozen=True)
class Topology:
    """A slice of TPU chips, or (chip None) so many devices of this host's CPU."""

    name: str
    chip: Chip | None
    shape: tuple[int, ...]  # chips along each axis

    @property
    def chips(self) -> int:
        """How many chips one pays for."""
        return math.prod(self.shape) if self.chip else 1

    @property
    def devices(self) -> int:
        """How many devices JAX sees."""
        return math.prod(self.shape) * (self.chip.cores if self.chip else 1)

    @property
    def peak_flops(self) -> float:
        """Published bf16 FLOP/s of all chips; NaN of a CPU."""
        return self.chip.core_peak * self.devices if self.chip else math.nan

    @property
    def core_memory(self) -> int:
        """Bytes that one device has."""
        if self.chip:
            return self.chip.core_memory
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // self.devices

    def describe(self) -> list[jax.Device]:
        """The devices; of a TPU, descriptions that can be compiled for and nothing else.

        Raises:
          UserError: the TPU compiler refuses the shape.
        """
        if not self.chip:
            return jax.devices("cpu")[: self.devices]
        options: dict[str, Any] = {"chips_per_host_bounds": (1, 1, 1) if self.chips == 1 else (2, 2, 1)}
        if self.name.split(":")[0] in MEGACORE:
            options["chip_config_name"] = "megacore"
        try:
            return get_topology_desc(platform="tpu", topology_name=self.name, **options).devices
        except Exception as error:
            raise UserError(f"--topology={self.name}: {str(error).splitlines()[0]}; known: {KNOWN}") from error


def parse_topology(name: str) -> Topology:
    """The topology called `name`; needs no TPU library.

    Raises:
      UserError: there is no such chip, its slices have no such shape, or JAX cannot describe it.
    """
    kind, _, sizes = name.partition(":")
    if kind in ("gpu", "cuda", "rocm"):
        raise UserError(f"--topology={name}: JAX cannot compile for a GPU that is not there; known: {KNOWN}")
    if not re.fullmatch(r"[1-9]\d{0,8}(x[1-9]\d{0,8})*", sizes) or kind not in CHIPS | {"cpu": None}:
        raise UserError(f"--topology={name} is not known; known: {KNOWN}")
    shape = tuple(map(int, sizes.split("x")))
    if kind == "cpu" and math.prod(shape) > _MOST_OF_CPU:
        raise UserError(f"--topology={name}: of this host's CPU at most {_MOST_OF_CPU:,} devices; give fewer")
    if kind == "cpu":
        return Topology(name, None, shape)
    chip = CHIPS[kind]
    hosts_are_whole = math.prod(shape) == 1 or all(size % 2 == 0 for size in shape[:2])
    if len(shape) != chip.axes or not hosts_are_whole or math.prod(shape) > chip.most:
        axes = "x".join("NMK"[: chip.axes])
        raise UserError(
            f"--topology={name}: a slice of {kind} is {axes} chips, N and M even, at most {chip.most} together, or one "
            f"chip {kind}:{'x'.join('1' * chip.axes)}"
        )
    return Topology(name, chip, shape)


def check_compiler(topology: Topology) -> None:
    """Raise UserError where the TPU compiler is needed and not installed."""
    if topology.chip and importlib.util.find_spec("libtpu") is None:
        raise UserError(
            f"--topology={topology.name} needs the TPU compiler, not found here: run launch/setup.sh plan (Linux)"
        )
