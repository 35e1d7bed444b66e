"""JSON files, ours and others', written whole and read against a schema: what a file must hold is a type, checked once.

A schema is a dataclass, or any type that msgspec converts to; `Annotated[int, msgspec.Meta(ge=0)]` is a number with its
range. Keys that the schema does not have are passed over.
"""

import dataclasses
import json
import math
from numbers import Integral
from typing import Any, TypeVar

import msgspec
from etils import epath

from bert_jax.errors import UserError
from bert_jax.storage.whole_file import replace_text

Schema = TypeVar("Schema")


def write_json(path: epath.PathLike, content: Any, *, sort_keys: bool = False) -> None:
    """Write a value, or a dataclass, in place of the file that may be there; letters stay letters."""
    value = dataclasses.asdict(content) if dataclasses.is_dataclass(content) else content  # type: ignore[arg-type]
    replace_text(path, json.dumps(value, indent=2, ensure_ascii=False, sort_keys=sort_keys) + "\n")


def finite_or_none(value: float | None) -> float | None:
    """A number as JSON can hold it, which has no NaN and no infinity; whole numbers stay whole."""
    if isinstance(value, Integral):
        return int(value)
    return float(value) if value is not None and math.isfinite(value) else None


def read_json(path: epath.PathLike, schema: type[Schema], remedy: str) -> Schema:
    """The content of a JSON file as `schema`; `remedy` ends the message, as in "build the records again".

    Raises:
      UserError: it is not JSON, or does not fit the schema; names the file, the place in it and the remedy.
      OSError: it cannot be read.
    """
    return decode_json(epath.Path(path).read_bytes(), schema, str(path), remedy)


def read_json_lines(path: epath.PathLike, schema: type[Schema], remedy: str) -> list[Schema]:
    """The lines of a file that grows, each as `schema`; a last one that a kill cut off is left out. Raises as above."""
    content = epath.Path(path).read_bytes()
    whole = content[: content.rfind(b"\n") + 1].split(b"\n")[:-1]
    return [decode_json(line, schema, f"{path}, line {number}", remedy) for number, line in enumerate(whole, 1)]


def decode_json(content: bytes | str, schema: type[Schema], source: str, remedy: str) -> Schema:
    """JSON text as `schema`; `source` names it in the UserError."""
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:  # also bad UTF-8, and numbers of thousands of digits
        raise UserError(f"{source} is not JSON ({_one_line(error)}); {remedy}") from None
    return check_schema(value, schema, source, remedy)


def check_schema(value: Any, schema: type[Schema], source: str, remedy: str) -> Schema:
    """A value that was read from JSON as `schema`; `source` names it in the UserError."""
    try:
        return msgspec.convert(value, schema)
    except (msgspec.ValidationError, RecursionError, UnicodeEncodeError) as error:  # the last of half a character
        raise UserError(f"{source} is damaged or of another version: {_one_line(error)}; {remedy}") from None


def _one_line(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "nested too deeply"
    return " ".join(str(error).replace(" - at `$.", " at `").replace(" - at `$", " at `").split())
