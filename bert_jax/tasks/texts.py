"""Rows of one or two texts with a class, several classes or a number, for classification, multilabel and regression.

A class is the text of its cell without white space around it; JSON's numbers, true and false are 1, 1.0, True, False,
and null and NaN are none.
"-1", the label of GLUE's unlabelled test sets, is a class like any other: such a set is predicted, not evaluated.

Several classes are a JSON list, in JSON or in a cell (["a", "b"]), or names between |, or between commas where there is
no |; "a, b|" is the one class "a, b". An empty cell or list is a row of no class.

Where labels are not needed (to predict), one that is absent, empty or unreadable is None, and no column of labels is
needed, even if --columns says one.
"""

import json
import math
from collections.abc import Sequence
from typing import Any

from bert_jax.errors import UserError
from bert_jax.tasks.columns import Columns, LabelKind, find_id, find_label, find_texts, is_known, listed
from bert_jax.tasks.examples import TextExample
from bert_jax.tasks.lines import shown
from bert_jax.tasks.tables import Row, Table, as_list, read_table


def read_texts(
    path: str, columns: Columns, label_kind: LabelKind, need_labels: bool, header: bool | None = None
) -> list[TextExample]:
    """An example a row, in their order. `label_kind`: "class" (str), "labels" (tuple of str), "number" (float).

    Raises:
      UserError: as `read_table`, or a column, a text or a needed label is missing or is not what it must be.
    """
    table = read_table(path, columns, header)
    text, text2 = text_columns(table, columns)
    label = label_column(table, columns, label_kind, need_labels, (text, text2))
    own = id_column(table, columns, need_labels)
    return [
        TextExample(
            place=row.place,
            id=None if own is None else row.cells.get(own),
            text=cell_text(row, text),
            text2=None if text2 is None else cell_text(row, text2),
            label=None if label is None else _label(row, label, label_kind, need_labels),
        )
        for row in table.rows
    ]


def text_columns(table: Table, columns: Columns) -> tuple[str, str | None]:
    """The columns of the first and second text: as --columns says, else by their names.

    A single one is the text, whatever it is called, unless it is called like another thing. Where --columns says the
    text and no second one, there is none.
    """
    text, text2 = table.said(columns, "text"), table.said(columns, "text2")
    if text is not None:
        return text, text2
    taken = (text2, table.said_and_there(columns, "label"), table.said_and_there(columns, "id"))
    others = [name for name in table.columns if name not in taken]
    if len(others) == 1 and not is_known(others[0]):
        return others[0], text2
    found, second = find_texts(others, shown(table.path))
    return found, text2 or second


def label_column(
    table: Table, columns: Columns, kind: LabelKind, needed: bool, texts: Sequence[str | None]
) -> str | None:
    """The column of the label, None if there is none; UserError if it is needed, and none or several may be it."""
    if columns.get("label") is not None:
        return table.said(columns, "label") if needed else table.said_and_there(columns, "label")
    others = [name for name in table.columns if name not in texts]
    try:
        found = find_label(others, kind, shown(table.path))
    except UserError:
        if needed:
            raise
        return None
    if found is None and needed:
        raise UserError(
            f"{shown(table.path)} has no column that is known to be the label, but {listed(table.columns)}; "
            "say which with --columns=label:NAME"
        )
    return found


def id_column(table: Table, columns: Columns, needed: bool) -> str | None:
    """The column of the rows' own ids, None if there is none; `needed`: if --columns says one, it must be there."""
    said = table.said(columns, "id") if needed else table.said_and_there(columns, "id")
    return said or find_id(table.columns)


def cell_text(row: Row, column: str) -> str:
    """The text in a cell, as it stands there; UserError if it is no text."""
    value = row.cells.get(column)
    if isinstance(value, str):
        return value
    what = f"{json.dumps(value):.60}" if column in row.cells else "missing"
    raise UserError(
        f'{row.place}: {column!r} is {what}, not text; fix it ("" is an empty text), or name another column'
    )


def _label(row: Row, column: str, kind: LabelKind, needed: bool) -> Any:
    value = row.cells.get(column)
    try:
        if kind == "labels":
            return _classes(row, column, value)
        return _class(row, column, value) if kind == "class" else number(row, column)
    except UserError:
        if needed:
            raise
        return None


def class_name(value: Any) -> str:
    """The class that a value is; "" if it is none, as null, or NaN, which pandas has where one is missing."""
    is_class = isinstance(value, str | int | float) and value == value
    return str(value).strip() if is_class else ""


def _class(row: Row, column: str, value: Any) -> str:
    if name := class_name(value):
        return name
    what = "a label that is a list or object" if isinstance(value, list | dict) else "no label"
    raise UserError(f"{row.place} has {what} in {column!r}; fix or remove the row")


def _classes(row: Row, column: str, value: Any) -> tuple[str, ...]:
    if value is None:
        raise UserError(f"{row.place} has no {column!r}; fix it ([] or an empty cell is a row of no class)")
    given = as_list(value)
    if given is None and isinstance(value, str):
        if value.lstrip().startswith("["):
            raise UserError(f'{row.place}: {column!r} is no JSON list; write it as in ["a", "b"], or as a|b')
        given = [part for part in value.split("|" if "|" in value else ",") if part.strip()]
    if given is None:
        given = [value]
    return tuple(dict.fromkeys(_class(row, column, part) for part in given))


def number(row: Row, column: str) -> float:
    """The number in a cell; UserError if it is none, or not finite."""
    value = row.cells.get(column)
    try:
        if isinstance(value, bool) or "_" in str(value):  # which Python takes
            raise ValueError
        result = float(value)  # type: ignore[arg-type]  # TypeError is caught
        if math.isfinite(result):
            return result
    except (TypeError, ValueError, OverflowError):
        pass
    hint = "; a decimal point is a point" if isinstance(value, str) and "," in value else ""
    raise UserError(f"{row.place}: {column!r} is {value!r:.60}, not a number{hint}; fix or remove the row")
