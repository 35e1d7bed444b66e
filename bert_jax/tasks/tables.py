r"""Labelled rows out of a file: TSV, CSV, JSON Lines, plain lines, a TFDS split, or the standard input.

A file's name says what it is, with .gz, .bz2 or .xz after it, local or gs://:

    .tsv, .tab          cells between tabs; quotes are plain characters
    .csv                Python's csv module, strict: a quoted cell may hold commas, newlines and doubled quotes
    .jsonl, .ndjson     an object a line; blank lines are passed over
    .txt                a text a line, column "text"; a TSV if there is a tab in its first line
    tfds:NAME:SPLIT     a dataset of TensorFlow Datasets; class labels are their names if it has them
    -                   the standard input: JSON Lines if it begins with {, else a text a line

Cells stay what they are: "null", "NA", nothing, white space. Only blank lines at the end of a TSV of several columns,
and those between the rows of a CSV, are no rows. \r\n ends a line as \n does, and a byte order mark is dropped.
"""

import csv
import dataclasses
import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

from bert_jax.errors import UserError
from bert_jax.storage.json_file import decode_json
from bert_jax.tasks.columns import Columns, NoSuchColumnsError, listed, resolve
from bert_jax.tasks.headers import is_header
from bert_jax.tasks.lines import (
    STANDARD_INPUT,
    check_is_unicode,
    json_or_lines,
    place,
    read_lines,
    shown,
    suffix,
    without_return,
)
from bert_jax.tasks.tfds_rows import read_tfds
from bert_jax.text.tfds_split import PREFIX

Kind = TypeVar("Kind")
TSV, JSONL = (".tsv", ".tab"), (".jsonl", ".ndjson")
_FIELD_LIMIT = 2**31 - 1  # characters of a CSV's cell, which csv has at 131,072: documents are longer


class Row(NamedTuple):
    """One row and where it begins."""

    place: str  # "train.tsv, line 12"
    cells: dict[str, Any]  # by column; str but in JSON and TFDS, where a column may be missing


@dataclasses.dataclass(frozen=True)
class Table:
    """All rows of a file."""

    path: str
    columns: tuple[str, ...]  # names; "0", "1", ... without a header; all keys of JSON's objects
    rows: list[Row]  # one or more
    by_number: bool = False  # whether columns have an order, so that a number means one

    def said(self, columns: Columns, role: str) -> str | None:
        """The name of the column that --columns gives to a role, None if none; UserError if it is not there."""
        column = columns.get(role)
        try:
            return None if column is None else resolve(column, self.columns, self.by_number, shown(self.path), role)
        except UserError as error:
            raise error if self._has_any(columns) else NoSuchColumnsError(str(error)) from None

    def _has_any(self, columns: Columns) -> bool:
        parts = [part for _, column in columns.said for part in (column, *column.split("+"))]
        return any(part in self.columns or self._has_number(part) for part in parts)

    def said_and_there(self, columns: Columns, role: str) -> str | None:
        """The same, None also if it is not there."""
        column = columns.get(role)
        return self.said(columns, role) if column in self.columns or self._has_number(column) else None

    def _has_number(self, column: str | None) -> bool:
        return self.by_number and column is not None and column.isdecimal() and int(column) < len(self.columns)

    def all_said(self, columns: Columns, role: str) -> list[str]:
        """Those that are joined by + for a role, in that order."""
        column = columns.get(role)
        if column is None or column in self.columns:
            return [] if column is None else [column]
        return [resolve(part, self.columns, self.by_number, shown(self.path), role) for part in column.split("+")]


def read_table(path: str, columns: Columns | None = None, header: bool | None = None) -> Table:
    """The rows of a file; `columns` and `header` (None: not given) decide whether its first row is one: headers.py.

    Raises:
      UserError: the file cannot be read, has no rows, or has a row that cannot be read; one line with file and line.
    """
    table, rows = open_table(path, columns or Columns(), header)
    return _whole(table, rows)


def open_table(path: str, columns: Columns, header: bool | None) -> tuple[Table, Iterator[Row]]:
    """The columns of a file, as a table without rows, and its rows, each read when it is asked for.

    Of JSON's objects the columns are the keys of the first one. Raises as `read_table` does, each when it is met.
    """
    kind = suffix(path)
    if path.startswith(PREFIX):
        return _of_objects(path, itertools.starmap(Row, read_tfds(path)))
    if path == STANDARD_INPUT or kind == ".txt":
        return _of_lines(path, columns, header)
    if kind in TSV:
        return _of_cells(path, _tsv_rows(path, without_return(read_lines(path))), columns, header)
    if kind == ".csv":
        return _of_cells(path, _csv_rows(path), columns, header)
    if kind in JSONL:
        return _of_objects(path, json_rows(path, read_lines(path)))
    raise UserError(
        f"{path}: its name does not say what it is; call it .tsv, .csv, .jsonl or .txt (also with .gz, .bz2 or .xz)"
    )


def json_rows(path: str, lines: Iterable[tuple[int, str]]) -> Iterator[Row]:
    """JSON objects, one a line."""
    for number, line in lines:
        if line and not line.isspace():
            where = place(path, number)
            value = decode_json(line, object, where, "fix or remove it")
            if not isinstance(value, dict):
                raise UserError(f'{where} is no JSON object; each line is one, as in {{"text": "...", "label": "..."}}')
            if "\\u" in line:
                check_is_unicode(value, where)
            yield Row(where, value)


def table_of_objects(path: str, rows: Iterable[Row]) -> Table:
    """A table of JSON's objects: its columns are all of their keys."""
    return _whole(*_of_objects(path, rows))


def _whole(table: Table, rows: Iterable[Row]) -> Table:
    kept = list(rows)
    names = dict.fromkeys(itertools.chain(table.columns, (name for row in kept for name in row.cells)))
    return dataclasses.replace(table, columns=tuple(names), rows=kept)


def _of_lines(path: str, columns: Columns, header: bool | None) -> tuple[Table, Iterator[Row]]:
    is_json, lines = json_or_lines(path)
    if is_json:
        return _of_objects(path, json_rows(path, lines))
    first, lines = _peeked(lines, path)
    if path != STANDARD_INPUT and "\t" in first[1]:
        return _of_cells(path, _tsv_rows(path, lines), columns, header)
    rows = (Row(place(path, number), {"text": line}) for number, line in lines)
    return Table(path, ("text",), [], by_number=True), rows


def _of_objects(path: str, rows: Iterable[Row]) -> tuple[Table, Iterator[Row]]:
    first, rows = _peeked(rows, path)
    return Table(path, tuple(first.cells), []), rows


def _of_cells(
    path: str, rows: Iterable[tuple[int, list[str]]], columns: Columns, header: bool | None
) -> tuple[Table, Iterator[Row]]:
    """Of rows of equally many cells."""
    (number, cells), rows = _peeked(rows, path)
    names = [str(column) for column in range(len(cells))]
    if is_header(cells, columns, header, place(path, number)):
        names = _column_names(cells, place(path, number))
        next(rows)
        _, rows = _peeked(rows, path, " below its header")
    named = (Row(place(path, number), dict(zip(names, cells, strict=True))) for number, cells in rows)
    return Table(path, tuple(names), [], by_number=True), named


def _peeked(rows: Iterable[Kind], path: str, where: str = "") -> tuple[Kind, Iterator[Kind]]:
    """The first of the rows, and all of them. The second is looked at, too: it may have another width."""
    rows = iter(rows)
    if first := list(itertools.islice(rows, 2)):
        return first[0], itertools.chain(first, rows)
    raise UserError(f"{shown(path)} has no rows{where}; give one with text")


def _column_names(cells: Sequence[str], where: str) -> list[str]:
    """Those that a header gives; a column without one is called by its number."""
    names = [cell.strip() or str(number) for number, cell in enumerate(cells)]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UserError(f"{where}: the header has {listed(twice)} more than once; give each column its own name")
    return names


def _tsv_rows(path: str, lines: Iterable[tuple[int, str]]) -> Iterator[tuple[int, list[str]]]:
    """Cells between tabs, each row with as many as the first."""
    width, blank = 0, 0  # blank: the first of the blank lines just before, which are rows only in a single column
    for number, line in lines:
        cells = line.split("\t")
        width = width or len(cells)
        if width > 1 and not line:
            blank = blank or number
            continue
        _check_width(cells if not blank else [""], width, path, blank or number, "tabs")
        yield number, cells


def _csv_rows(path: str) -> Iterator[tuple[int, list[str]]]:
    """Cells as the csv module reads them, with the line where each row begins."""
    limit = csv.field_size_limit(_FIELD_LIMIT)
    try:
        reader = csv.reader((f"{line}\n" for _, line in read_lines(path)), strict=True)
        begun, width = 1, 0
        while (cells := _next(reader, path, begun)) is not None:
            width = width or len(cells)
            if cells:
                _check_width(cells, width, path, begun, "commas")
                yield begun, cells
            begun = reader.line_num + 1
    finally:
        csv.field_size_limit(limit)


def _next(reader: Any, path: str, line: int) -> list[str] | None:
    try:
        return next(reader, None)
    except csv.Error as error:
        raise UserError(
            f"{place(path, line)}: the row that begins there is no CSV ({error}); write a quote in a quoted cell twice "
            "and close each quoted cell, or give a .tsv, where quotes are text"
        ) from None


def _check_width(cells: Sequence[str], width: int, path: str, line: int, between: str) -> None:
    if len(cells) != width:
        hint = "; a .txt without a tab in its first line is a text a line" if suffix(path) == ".txt" else ""
        raise UserError(
            f"{place(path, line)} has {len(cells)} {'cell' if len(cells) == 1 else 'cells'} and the first row {width}; "
            f"fix the {between} there{hint}"
        )


def as_list(value: Any) -> list[Any] | None:
    """A list out of JSON, or out of a cell with JSON in it; None if it is none."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return None
    return value if isinstance(value, list) else None
