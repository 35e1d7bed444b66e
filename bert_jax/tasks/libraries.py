"""The libraries of the extra `tasks`: imported where they are needed, missed in one line."""

import contextlib
import importlib
import sys
import warnings
from collections.abc import Iterator

from bert_jax.errors import UserError

FLOORS = "the floors (scores of simple methods) need"


class MissingLibraryError(UserError):
    """A library of the extra is not installed."""


@contextlib.contextmanager
def needed(needs: str, package: str) -> Iterator[None]:
    """Around the import of a library; `needs` says for what: "the score needs"; `package` is its name for pip.

    Raises:
      MissingLibraryError: it is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise MissingLibraryError(f"{needs} {package}; run launch/setup.sh tasks") from error


def check_needed(needs: str, package: str, module: str) -> None:
    """Import the library's `module` before work whose result needs it; arguments and errors as `needed`."""
    with needed(needs, package):
        importlib.import_module(module)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without the warnings of libraries about values that are not defined: what is returned says so."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Around arithmetic of many small steps, for which more threads of a BLAS only wait, many times as long."""
    with needed(FLOORS, "scikit-learn"):
        from threadpoolctl import threadpool_limits
    with threadpool_limits(1):
        yield


@contextlib.contextmanager
def without_jax() -> Iterator[None]:
    """Around the import of bm25s, which would start JAX's devices to select among numbers."""
    before = {name: module for name, module in sys.modules.items() if name == "jax.lax"}
    sys.modules["jax.lax"] = None  # type: ignore[assignment]  # to the import system: there is none
    try:
        yield
    finally:
        del sys.modules["jax.lax"]
        sys.modules.update(before)
