"""How long a collective takes on a slice: bytes over the links' rate, and a hop's delay for each chip on the way."""

import math

from bert_jax.planning.topologies import Topology

HOP_SECONDS = 1e-6
# Each byte of an all-reduce is sent twice, as it is a reduce-scatter and an all-gather.
PASSES = {"all-reduce": 2}


def transfer_seconds(topology: Topology, kind: str, size: int, group: int) -> float:
    """Seconds of one collective on `size` bytes among `group` devices (0: all), alone on the network.

    All axes of the slice carry it if all devices take part, and one axis otherwise. An axis that closes to a ring
    sends both ways; an open one has half of that. Devices of one chip exchange at the memory's rate. On a CPU, 0.
    """
    chip = topology.chip
    if not chip or group == 1:
        return 0.0
    group = group or topology.devices
    if group <= chip.cores:
        return PASSES.get(kind, 1) * size / chip.memory_rate
    axes = [length for length in topology.shape if length > 1]
    if group < topology.devices:
        axes = axes[:1]
    rate = sum(chip.axis_rate if length % chip.ring == 0 else chip.axis_rate / 2 for length in axes)
    hops = sum(length // 2 if length % chip.ring == 0 else length - 1 for length in axes)
    fraction = (group - 1) / group
    return PASSES.get(kind, 1) * (fraction * size / rate + hops * HOP_SECONDS) if rate else math.inf
