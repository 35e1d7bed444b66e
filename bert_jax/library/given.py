"""What a caller gives by mistake, and what the system refuses at a path: one line each, as in the verbs."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from bert_jax.config import ModelConfig
from bert_jax.config.check import require
from bert_jax.errors import UserError
from bert_jax.storage.cloud import explained
from bert_jax.storage.paths import expanded, refusal


@contextmanager
def refusals_on_one_line() -> Iterator[None]:
    """Within it, an error of the system's or the bucket's at a path is a UserError; others stay what they are."""
    try:
        yield
    except Exception as error:  # TensorStore raises several kinds
        line = None if isinstance(error, UserError) else explained(error) or refusal(error)
        if line is None:
            raise
        raise UserError(line) from error


def path_of(name: str, given: Any) -> str:
    """The path that the argument of this `name` is given, a "~" at its beginning expanded; UserError if it is none."""
    require(isinstance(given, str | os.PathLike), name, f"{given!r:.80}", "give a path")
    return expanded(given)


def check_config(config: Any) -> None:
    """Raise UserError unless it is an architecture."""
    remedy = "give a bert_jax.ModelConfig, as in ModelConfig(hidden_size=256)"
    require(isinstance(config, ModelConfig), "config", f"{config!r:.80}", remedy)
