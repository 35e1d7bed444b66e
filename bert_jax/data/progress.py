"""The progress of going through records."""

import sys
from collections.abc import Iterable
from typing import TypeVar

import tqdm

_Item = TypeVar("_Item")


def with_bar(items: Iterable[_Item], name: str, number: int) -> Iterable[_Item]:
    """The items, with a progress bar on a terminal."""
    return tqdm.tqdm(items, name, number, leave=False, disable=not sys.stderr.isatty())
