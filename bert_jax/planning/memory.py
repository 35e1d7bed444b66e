"""A device's memory by what lies in it."""

import re

from bert_jax.planning.compilation import Compiled
from bert_jax.planning.hlo import Hlo, Instruction

_NO_MEMORY_OF_THEIR_OWN = {"parameter", "constant", "bitcast", "get-tuple-element", "tuple", "iota", "partition-id"}

# The backward pass is known by its matrix products: zeros and numbers for it may be made at the very start.
_BACKWARD = re.compile(r"transpose\(.*dot_general")
_PRODUCTS = {"fusion", "convolution", "dot", "custom-call", "call"}


def memory_by_kind(compiled: Compiled, hlo: Hlo) -> dict[str, int]:
    """Bytes of one device; their sum is what the step needs. The next state lies where the present one did.

    What the forward pass keeps for the backward pass is "activations"; "temporaries" are all the rest: gradients,
    gathered weights, work space.
    """
    sizes = compiled.bytes
    activations = min(kept_for_backward(hlo), sizes["temporaries"])
    named = {name: sizes[name] for name in ("parameters", "optimizer state", "batch", "teacher") if name in sizes}
    padding = max(0, sizes["arguments"] - sum(named.values()))
    return named | {
        "activations": activations,
        "temporaries": sizes["temporaries"] - activations,
        "program and padding": sizes["program"] + padding,
    }


def kept_for_backward(hlo: Hlo) -> int:
    """Bytes that are made before the first operation of the backward pass and used from there on."""
    return max(_kept(hlo.computations[name]) for name in hlo.scheduled())


def _is_backward(line: Instruction) -> bool:
    return line.opcode in _PRODUCTS and bool(_BACKWARD.search(line.op_name))


def _kept(lines: list[Instruction]) -> int:
    """The same of one computation; 0 if it holds no backward pass of its own."""
    turn = next((place for place, line in enumerate(lines) if _is_backward(line)), None)
    if turn is None:
        return 0
    last_use = {name: place for place, line in enumerate(lines) for name in line.operands}
    for place in reversed(range(len(lines))):  # a view is used as long as what is made of it
        line = lines[place]
        if line.opcode in ("bitcast", "get-tuple-element"):
            for name in line.operands:
                last_use[name] = max(last_use[name], last_use.get(line.name, place))
    return sum(
        line.bytes
        for line in lines[:turn]
        if last_use.get(line.name, -1) >= turn
        and line.opcode not in _NO_MEMORY_OF_THEIR_OWN
        and not line.opcode.endswith("-start")
        and "S(1)" not in line.shape  # that is the core's own fast memory
    )
