"""Reads the compiler's text of a program for one device: what runs, in which order, how often, in how many cycles.

The TPU compiler writes `estimated_cycles` on most operations; the body of a loop stands there once, whatever the
number of its turns. Collectives, random bits and hand-written kernels carry no cycles, so their bytes are read.
"""

import dataclasses
import math
import re
from collections.abc import Iterator

from bert_jax.scopes import ONCE_AN_INTERVAL

COLLECTIVES = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute", "collective-broadcast")

_COMPUTATION = re.compile(r"^(ENTRY )?%?([\w.\-]+) \(.*\) -> .*\{$")
_INSTRUCTION = re.compile(r"^\s+(?:ROOT )?%?([\w.\-]+) = (.*)$")
_OPCODE = re.compile(r"^\s*([a-z][\w\-]*)\((.*)$")
_ARRAY = re.compile(r"\b(pred|bf16|[suf]\d+|f8\w+|c\d+)\[([\d,]*)\]")
_CALLED = {name: re.compile(rf"\b{name}=%?([\w.\-]+)") for name in ("body", "condition", "calls", "to_apply")}
_BRANCHES = re.compile(r"branch_computations=\{([^}]*)\}|(?:true|false)_computation=%?([\w.\-]+)")


@dataclasses.dataclass(frozen=True)
class Instruction:
    """One line of the text."""

    name: str
    opcode: str
    shape: str  # of the result
    operands: tuple[str, ...]  # names
    rest: str  # from the operands on

    @property
    def cycles(self) -> int:
        """The compiler's estimate; 0 where it gives none."""
        found = re.search(r'"estimated_cycles":"(\d+)"', self.rest)
        return int(found[1]) if found else 0

    @property
    def op_name(self) -> str:
        """The scopes and the operation of the source program."""
        found = re.search(r'op_name="([^"]*)"', self.rest)
        return found[1] if found else ""

    @property
    def bytes(self) -> int:
        """Size of the result."""
        return sum(_array_bytes(*array) for array in _ARRAY.findall(self.shape))

    def called(self, role: str) -> str | None:
        """The computation named as this one's `body`, `condition`, `calls` or `to_apply`."""
        found = _CALLED[role].search(self.rest)
        return found[1] if found else None


@dataclasses.dataclass(frozen=True)
class ComputationRun:
    """An instruction as the program runs it."""

    instruction: Instruction
    times: int  # loops around it multiplied
    inside: tuple[str, ...]  # opcodes of the operations fused into it


class Hlo:
    """A compiled module."""

    def __init__(self, text: str) -> None:
        """Read the text of `compiled.as_text()`; ValueError if it has no entry computation."""
        self.computations: dict[str, list[Instruction]] = {}
        self.entry = ""
        lines: list[Instruction] = []
        for line in text.splitlines():
            if head := _COMPUTATION.match(line):
                lines = self.computations[head[2]] = []
                self.entry = head[2] if head[1] else self.entry
            elif parsed := _parse(line):
                lines.append(parsed)
        if not self.entry:
            raise ValueError("this is no text of a compiled program: it has no ENTRY")

    def runs(self, computation: str = "", times: int = 1) -> Iterator[ComputationRun]:
        """What most steps run, in their order; loops, calls and the longest of branches are entered, fusions not."""
        for instruction in self.computations[computation or self.entry]:
            opcode = instruction.opcode
            if opcode == "while":
                yield from self.runs(instruction.called("body") or "", times * self.turns(instruction))
            elif opcode == "call":
                yield from self.runs(instruction.called("to_apply") or "", times)
            elif opcode == "conditional" and ONCE_AN_INTERVAL in instruction.op_name:
                continue
            elif opcode == "conditional":
                yield from max((list(self.runs(branch, times)) for branch in _branches(instruction)), key=_weight)
            else:
                yield ComputationRun(instruction, times, self.inside(instruction))

    def scheduled(self, computation: str = "") -> Iterator[str]:
        """The computations whose operations have memory of their own: the entry and the bodies of loops."""
        yield computation or self.entry
        for line in self.computations[computation or self.entry]:
            if line.opcode == "while" and (body := line.called("body")):
                yield from self.scheduled(body)

    def turns(self, loop: Instruction) -> int:
        """How often a loop's body runs: what its condition compares with, where the text does not have it."""
        known = re.search(r'known_trip_count":\s*\{"n":"(\d+)"', loop.rest)
        if known:
            return int(known[1])
        names = [loop.called("condition") or ""]
        names += [fused for line in self.computations[names[0]] if (fused := line.called("calls"))]
        lines = [line for name in names for line in self.computations[name] if line.opcode == "constant"]
        bounds = [int(number[1]) for line in lines if (number := re.match(r"(\d+)\)", line.rest))]
        return max(bounds, default=1)

    def inside(self, instruction: Instruction) -> tuple[str, ...]:
        """Opcodes of what is fused into an instruction."""
        fused = instruction.called("calls")
        lines = self.computations.get(fused, []) if fused else []
        return tuple(opcode for line in lines for opcode in (line.opcode, *self.inside(line)))

    def collective_in(self, instruction: Instruction) -> Instruction | None:
        """The collective that an instruction is, or that is wrapped or fused in it."""
        if kind_of_collective(instruction.opcode):
            return instruction
        fused = instruction.called("calls")
        for line in self.computations.get(fused, []) if fused else []:
            if found := self.collective_in(line):
                return found
        return None

    def calls_target(self, instruction: Instruction, target: str) -> bool:
        """Whether the custom call of that name is fused into an instruction."""
        fused = instruction.called("calls")
        lines = self.computations.get(fused, []) if fused else []
        return any(f'custom_call_target="{target}"' in line.rest for line in lines)


def _weight(runs: list[ComputationRun]) -> tuple[int, int]:
    """By which the branch of a condition is found that takes longest: it is taken to be the one that runs."""
    return sum(run.instruction.cycles * run.times for run in runs), len(runs)


def kind_of_collective(opcode: str) -> str | None:
    """The collective, say all-reduce of all-reduce-start; None of what is none or only waits for one."""
    kind = opcode.removesuffix("-start")
    return kind if kind in COLLECTIVES else None


def chain_of(collective: Instruction) -> str:
    """What the pieces of one collective have in common: it begins in one fusion, continues in others beside their work,
    and ends in a last one, and stands in each of them. "" of a collective that is in one piece.
    """
    found = re.search(r'chain_id="(\d+)"', collective.rest)
    return f"chain {found[1]}" if found else ""


def collective_bytes(collective: Instruction) -> int:
    """Bytes of the whole array that a collective makes or takes together, per device."""
    kind, group = kind_of_collective(collective.opcode), group_size(collective)
    if kind == "reduce-scatter":
        return collective.bytes * group
    if collective.opcode == "all-gather-start":  # its result is (what it took, what it gives)
        return collective.bytes * group // (group + 1)
    return collective.bytes // 2 if collective.opcode == "collective-permute-start" else collective.bytes


def group_size(collective: Instruction) -> int:
    """How many devices exchange; 0 if, by the text, all do."""
    rest = collective.rest
    if named := re.search(r"replica_groups=mesh\[([^\]]*)\]\s*\{([^}]*)\}", rest):
        sizes = dict(re.findall(r"'(\w+)'=(\d+)", named[1]))
        return math.prod(int(sizes[axis]) for axis in re.findall(r"'(\w+)'", named[2]))
    if iota := re.search(r"replica_groups=\[\d+,(\d+)\]", rest):
        return int(iota[1])
    if listed := re.search(r"replica_groups=\{\{([\d,]*)\}", rest):
        return listed[1].count(",") + 1
    return 2 if "source_target_pairs" in rest else 0


def _parse(line: str) -> Instruction | None:
    found = _INSTRUCTION.match(line)
    if not found:
        return None
    shape, after = _split_shape(found[2])
    operation = _OPCODE.match(after)
    if not operation:
        return None
    operands = tuple(re.findall(r"%([\w.\-]+)", operation[2].split(")", 1)[0]))
    return Instruction(found[1], operation[1], shape, operands, operation[2])


def _split_shape(text: str) -> tuple[str, str]:
    """`text` split after the shape it begins with, which is a tuple in parentheses or has no space."""
    if not text.startswith("("):
        shape, _, after = text.partition(" ")
        return shape, after
    depth = 0
    for place, sign in enumerate(text):
        depth += (sign == "(") - (sign == ")")
        if depth == 0:
            return text[: place + 1], text[place + 1 :]
    return text, ""


def _array_bytes(dtype: str, sizes: str) -> int:
    bits = 8 if dtype.startswith(("pred", "f8")) else int(re.sub(r"\D", "", dtype))
    return math.prod(int(size) for size in sizes.split(",") if size) * bits // 8


def _branches(conditional: Instruction) -> list[str]:
    found = _BRANCHES.findall(conditional.rest)
    return [name.strip(" %") for listed, single in found for name in (listed or single).split(",")]
