"""Label names in the order of the model's outputs."""

import difflib
import re
from collections.abc import Iterable, Sequence

from bert_jax.errors import UserError


def in_order(labels: Iterable[str]) -> tuple[str, ...]:
    """All different labels: whole numbers by value, anything else by spelling."""
    names = set(labels)
    if all(re.fullmatch(r"-?\d+", name) for name in names):
        return tuple(sorted(names, key=lambda name: (int(name), name)))
    return tuple(sorted(names))


def check_known(labels: Iterable[tuple[str, str]], known: Sequence[str]) -> None:
    """Raise UserError at the first of (place, label) whose label is not `known`."""
    names = set(known)
    for place, label in labels:
        if label not in names:
            near = difflib.get_close_matches(label, known, 1)
            hint = f" (did it mean {near[0]!r}?)" if near else ""
            shown = ", ".join(map(repr, known[:8])) + (f" and {len(known) - 8} others" if known[8:] else "")
            raise UserError(f"{place}: the label {label!r:.80} is none that was trained on, {shown}{hint}; correct it")


def check_several(names: Sequence[str], file: str) -> None:
    """Raise UserError where there is nothing to tell apart."""
    if len(names) < 2:
        raise UserError(
            f"{file}: all rows have the label {names[0]!r:.80}, so there is nothing to learn; "
            "give the right column with --columns=label:NAME"
        )
