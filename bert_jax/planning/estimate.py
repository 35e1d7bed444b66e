"""Time of a step by the compiler's model: its cycles, and for what has none, bytes over the machine's rates."""

import dataclasses
import math
import re
from collections import defaultdict

from bert_jax.planning.compilation import Compiled
from bert_jax.planning.hlo import ComputationRun, Hlo, chain_of, collective_bytes, group_size, kind_of_collective
from bert_jax.planning.network import transfer_seconds
from bert_jax.planning.scopes import part_of
from bert_jax.planning.topologies import Chip, Topology

NETWORK = "collectives"
PRODUCTS = {"convolution", "dot"}


@dataclasses.dataclass
class Collective:
    """An exchange between devices, all its turns together; bytes are of the whole array."""

    kind: str
    part: str
    bytes: int
    group: int
    times: int
    seconds: float
    hidden_seconds: float = 0.0  # of them, those in which the device computes on


@dataclasses.dataclass(frozen=True)
class StepTime:
    """Seconds of one step."""

    seconds_by_part: dict[str, float]  # what waits for collectives is a part of its own
    seconds_by_bound: dict[str, float]  # compute: matrix products; memory: all else; network: waiting for collectives
    collectives: list[Collective]
    cycles: int  # the compiler's own sum; 0 on a CPU

    @property
    def seconds(self) -> float:
        """The step."""
        return sum(self.seconds_by_part.values())

    @property
    def bound(self) -> str:
        """What takes most of the step."""
        return max(self.seconds_by_bound, key=lambda name: self.seconds_by_bound[name])


def step_time(compiled: Compiled, hlo: Hlo, topology: Topology) -> StepTime:
    """The step on this topology. A CPU's compiler gives no times: they are FLOPs at the rate that this host shows."""
    if topology.chip:
        return _Timeline(topology, topology.chip).run(hlo)
    parts = {part: flops / (compiled.host_flops or math.nan) for part, flops in compiled.flops.items()}
    return StepTime(parts, {"compute": sum(parts.values())}, [], 0)


class _Timeline:
    """The program's operations one after the other, with the collectives that run beside them."""

    def __init__(self, topology: Topology, chip: Chip) -> None:
        self.topology, self.chip = topology, chip
        self.clock = 0.0  # seconds, without waiting for collectives
        self.cycles = 0
        self.parts: defaultdict[str, float] = defaultdict(float)
        self.bounds = {"compute": 0.0, "memory": 0.0, "network": 0.0}
        self.collectives: list[Collective] = []
        self.started: dict[str, tuple[Collective, float]] = {}  # name -> what is under way, since when

    def run(self, hlo: Hlo) -> StepTime:
        for run in hlo.runs():
            seconds = self._seconds(run)
            self._advance(run, seconds)
            self._exchange(hlo, run, seconds)
        waited = sum(each.seconds - each.hidden_seconds for each in self.collectives)
        self.bounds["network"] = waited
        parts = dict(self.parts) | ({NETWORK: waited} if self.collectives else {})
        return StepTime(parts, self.bounds, self.collectives, self.cycles)

    def _seconds(self, run: ComputationRun) -> float:
        """Of an operation that is no collective, all its turns."""
        cycles = run.instruction.cycles * run.times
        self.cycles += cycles
        return cycles / self.chip.hertz + run.times * self._without_cycles(run)

    def _without_cycles(self, run: ComputationRun) -> float:
        instruction, rate = run.instruction, self.chip.memory_rate / self.chip.cores
        if instruction.opcode == "rng-bit-generator":
            return instruction.bytes / rate
        if instruction.opcode == "custom-call" and '"tpu_custom_call"' in instruction.rest:
            flops, moved = _number_in(instruction.rest, "flops"), _number_in(instruction.rest, "bytes_accessed")
            return max(flops / self.chip.core_peak, max(moved, instruction.bytes) / rate)
        return 0.0

    def _advance(self, run: ComputationRun, seconds: float) -> None:
        self.clock += seconds
        self.parts[part_of(run.instruction.op_name)] += seconds
        is_product = bool(PRODUCTS & {run.instruction.opcode, *run.inside}) or run.instruction.opcode == "custom-call"
        self.bounds["compute" if is_product else "memory"] += seconds

    def _exchange(self, hlo: Hlo, run: ComputationRun, own_seconds: float) -> None:
        """Note a collective that begins, and how long one that is waited for here had the device compute beside it."""
        instruction = run.instruction
        if instruction.opcode.endswith(("-done", "-update")):
            for name in instruction.operands:
                self._end(name)
            return
        inner = hlo.collective_in(instruction)
        if inner is None:
            return
        name = chain_of(inner) or instruction.name
        if name in self.started:  # another piece of it
            if hlo.calls_target(instruction, "AsyncCollectiveDone"):
                self._end(name)
            return
        kind, size, group = kind_of_collective(inner.opcode) or "", collective_bytes(inner), group_size(inner)
        seconds = run.times * transfer_seconds(self.topology, kind, size, group)
        part = part_of(inner.op_name or instruction.op_name)
        collective = Collective(kind, part, size, group or self.topology.devices, run.times, seconds)
        collective.hidden_seconds = min(seconds, own_seconds)  # fused with computation
        self.collectives.append(collective)
        if instruction.opcode.endswith("-start") or hlo.calls_target(instruction, "AsyncCollectiveStart"):
            self.started[name] = collective, self.clock

    def _end(self, name: str) -> None:
        if name in self.started:
            collective, since = self.started.pop(name)
            collective.hidden_seconds = min(collective.seconds, self.clock - since)


def _number_in(text: str, name: str) -> float:
    found = re.search(rf'"{name}":\s*"?(\d+)', text)
    return float(found[1]) if found else 0.0
