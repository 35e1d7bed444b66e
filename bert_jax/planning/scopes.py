"""Which part of the model an operation belongs to, and how many floating-point operations each part's products are.

Its scopes (bert_jax/scopes.py) come back in JAX's own program and in the compiled text.
"""

import math
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from jax.extend.core import ClosedJaxpr, Jaxpr

from bert_jax.scopes import ONCE_AN_INTERVAL, PARTS, TEACHER

OTHER = "other"
_SCOPE = re.compile(rf"(?<![\w.])({'|'.join(PARTS)})(?![\w.])")


def part_of(name: str) -> str:
    """The part named in "jit(step)/transpose(jvp(attention))/dot_general"."""
    scopes = _SCOPE.findall(name)
    if TEACHER in scopes:
        return PARTS[TEACHER]
    return PARTS[scopes[-1]] if scopes else OTHER


def product_flops(program: ClosedJaxpr) -> dict[str, int]:
    """FLOPs of all matrix products by part, over all devices: a product of [m, k] and [k, n] counts 2mkn.

    What `remat` computes again is counted again, a loop's body as often as it runs, and nothing of what is computed
    once an interval.
    """
    counts: Counter[str] = Counter()
    _count(program.jaxpr, "", 1, counts)
    return dict(counts)


def _count(jaxpr: Jaxpr, scope: str, times: int, counts: Counter[str]) -> None:
    for equation in jaxpr.eqns:
        name = f"{scope}/{equation.source_info.name_stack}"
        if equation.primitive.name == "dot_general":
            counts[part_of(name)] += times * _dot_flops(equation)
        if equation.primitive.name == "cond":
            if ONCE_AN_INTERVAL not in name:
                counts += _of_branches(equation, name, times)
            continue
        inner_times = times * _repeats(equation)
        for inner in _inner(equation):
            _count(inner, name, inner_times, counts)


def _of_branches(equation: Any, name: str, times: int) -> Counter[str]:
    """Of the branch with the most products: the one that runs, or each has them in the form of its platform."""
    found = [Counter[str]() for _ in equation.params["branches"]]
    for branch, counts in zip(equation.params["branches"], found, strict=True):
        _count(branch.jaxpr, name, times, counts)
    return max(found, key=Counter.total)


def _inner(equation: Any) -> Iterator[Jaxpr]:
    """The programs inside an operation."""
    for value in equation.params.values():
        for inner in value if isinstance(value, (list, tuple)) else (value,):
            if isinstance(inner, ClosedJaxpr):
                yield inner.jaxpr
            elif isinstance(inner, Jaxpr):
                yield inner


def _repeats(equation: Any) -> int:
    """How often an operation's inner program runs, over all devices."""
    if equation.primitive.name == "scan":
        return equation.params["length"]
    if equation.primitive.name == "shard_map":  # inside it, shapes are one device's
        return math.prod(equation.params["mesh"].shape[axis] for axis in equation.params["newly_manual_axes"])
    if equation.primitive.name == "pallas_call":
        return math.prod(equation.params["grid_mapping"].grid)
    return 1


def _dot_flops(equation: Any) -> int:
    contracted = equation.params["dimension_numbers"][0][0]
    depth = math.prod(equation.invars[0].aval.shape[axis] for axis in contracted)
    return 2 * math.prod(equation.outvars[0].aval.shape) * depth
