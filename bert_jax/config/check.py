"""The check of all settings: a value is of its field's type and in its range, or one line names the remedy.

A range stands where the field is declared: `Annotated[int, Meta(ge=1, le=512)]`, or `Literal["none", "full"]`. The same
declaration is the schema of config.json (file.py).
"""

import dataclasses
import math
import numbers
import typing
from typing import Annotated, Any, Literal

import msgspec

from bert_jax.errors import UserError

Share = Annotated[float, msgspec.Meta(ge=0, lt=1)]


def check_fields(settings: Any, source: str) -> None:
    """Check each field of a dataclass of settings, and of those that it holds.

    `source` is what stands before a setting's name: "--config.", or "config.json: " for one that stands in a file.

    Raises:
      UserError: on the first value that is of another type or out of its range.
    """
    for name, kind in typing.get_type_hints(type(settings), include_extras=True).items():
        value = getattr(settings, name)
        if dataclasses.is_dataclass(kind):
            require(isinstance(value, typing.cast(type, kind)), source + name, value, f"give a {_name(kind)}")
            check_fields(value, f"{source}{name}.")
        elif typing.get_origin(kind) is tuple:
            _check_items(value, typing.get_args(kind)[0], source, name)
        else:
            _check_value(value, kind, source + name)


def require(holds: bool, name: str, value: Any, remedy: str) -> None:
    """Raise UserError unless what is asked of a setting holds; `name` is all that stands before its value."""
    if not holds:
        raise UserError(f"{name}={value} cannot be used; {remedy}")


def is_whole(value: Any, least: float, most: float = math.inf) -> bool:
    """Whether it is a whole number of this range, also one of NumPy's."""
    return isinstance(value, numbers.Integral) and not isinstance(value, bool) and least <= int(value) <= most


def _check_items(items: Any, kind: type, source: str, name: str) -> None:
    remedy = f"give a tuple of {_name(kind)}"
    good = isinstance(items, tuple | list) and all(isinstance(item, kind) for item in items)
    require(good, source + name, items, remedy)
    for number, item in enumerate(items):
        check_fields(item, f"{source}{name}[{number}].")


def _check_value(value: Any, kind: Any, name: str) -> None:
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError:
        is_text = isinstance(value, str) and not _takes_text(kind)
        remedy = _remedy(kind) + (", not text" if is_text else "")
        require(False, name, repr(value) if is_text else value, remedy)


def _takes_text(kind: Any) -> bool:
    return kind is str or typing.get_origin(kind) is Literal


def _remedy(kind: Any) -> str:
    """What to give for a field of this type: "give a whole number from 1 to 512"."""
    if typing.get_origin(kind) is Literal:
        *others, last = typing.get_args(kind)
        return f"use {', '.join(others)} or {last}"
    if typing.get_origin(kind) is not Annotated:
        return {bool: "give True or False", str: "give text"}[kind]
    base, meta = typing.get_args(kind)
    least = f"from {meta.ge}" if meta.ge is not None else f"above {meta.gt}, up"
    most = f"to {meta.le:.12g}" if meta.le is not None else f"to less than {meta.lt}"
    return f"give a {'whole ' if base is int else ''}number {least} {most}"


def _name(kind: Any) -> str:
    return kind.__name__
