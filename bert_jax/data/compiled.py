"""Functions that Numba compiles to machine code, kept on disk so that it is compiled once and not by every process."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import numpy as np

# A counter that is passed on starts from this: Numba compiles a function for a literal 0, and then again for integers.
ZERO: Any = np.int64(0)

_SETTINGS: Any = numba.config


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, compiled when it is first called with arguments of new types.

    Its annotations are for readers: an int may be any of NumPy's integers, and none may outgrow 64 bits.

    The machine code is kept in this package's __pycache__, or in the user's cache if that is not writable. If that
    is not writable either, every process compiles for itself, which takes it some seconds.
    """
    others = _SETTINGS.CACHE_DIR
    _SETTINGS.CACHE_DIR = str(_CACHE)
    try:
        return numba.njit(function, cache=True)
    except RuntimeError:  # no cache directory that is writable
        return numba.njit(function)
    finally:
        _SETTINGS.CACHE_DIR = others


def is_cached() -> bool:
    """Whether there is machine code of these sources in the package, so that most likely nothing has to be compiled."""
    return any(_CACHE.glob("*/*.nbi"))


def _digest_of_sources() -> str:
    # Numba notices changes in a function's own file, but not in the files of the functions that it calls.
    sources = [path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py"))]
    return hashlib.sha256(b"".join(source for source in sources if b"@compiled" in source)).hexdigest()[:16]


_CACHE = Path(__file__).parent / "__pycache__" / f"numba-{_digest_of_sources()}"
