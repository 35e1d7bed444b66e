"""Logs of steps, a JSON object a line: a resumed run keeps the lines up to the step from which it does."""

import dataclasses
from typing import Annotated, Any

from etils import epath
from msgspec import Meta

from bert_jax.storage.json_file import check_schema, read_json_lines

_AGAIN = "it is no log of steps; move it away and start again"


@dataclasses.dataclass(frozen=True)
class _Line:
    """What each line of a log of steps has."""

    step: Annotated[int, Meta(ge=0)]


def lines_up_to(step: int, path: epath.Path, remedy: str = _AGAIN) -> list[dict[str, Any]]:
    """The lines of an older log of steps that stay: those up to `step` that were written to their end.

    Raises:
      UserError: the file is not a log of ours; ends with the remedy.
    """
    lines = read_json_lines(path, dict[str, Any], remedy) if path.exists() else []
    steps = [check_schema(line, _Line, f"{path}, line {number}", remedy).step for number, line in enumerate(lines, 1)]
    return [line for line, at in zip(lines, steps, strict=True) if at <= step]
