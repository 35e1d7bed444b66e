"""The texts of a file one by one, as tables.py reads them, but never all of them in memory.

Which columns of JSON Lines hold the texts is decided by the keys of the first object, and a later one whose keys say
otherwise is refused; each row has its own id and title, or none. A row of BEIR's form, of _id, title and text, is its
title and its text, with a space between, as in retrieval.py.
"""

import itertools
from collections.abc import Iterable, Iterator
from typing import TypeVar

from bert_jax.errors import UserError
from bert_jax.tasks.columns import Columns, find_id
from bert_jax.tasks.examples import TextExample
from bert_jax.tasks.headers import is_header
from bert_jax.tasks.lines import STANDARD_INPUT, place, read_lines, shown, suffix, without_return
from bert_jax.tasks.tables import JSONL, TSV, Row, Table, column_names, csv_rows, json_rows, tsv_rows
from bert_jax.tasks.texts import cell_text, text_columns
from bert_jax.tasks.tfds_rows import read_tfds
from bert_jax.text.tfds_split import PREFIX

Kind = TypeVar("Kind")


def stream_texts(path: str, columns: Columns, header: bool | None = None) -> Iterator[TextExample]:
    """An example a row, in their order, each read when it is asked for; labels are None.

    Raises:
      UserError: the file cannot be read, has no rows, or a row has no text; one line with file and line.
    """
    table, rows = _opened(path, columns, header)
    text, text2 = text_columns(table, columns)
    said, known = table.said(columns, "id"), dict.fromkeys(table.columns)
    for row in rows:
        if not row.cells.keys() <= known.keys():
            known |= dict.fromkeys(row.cells)
            _check_texts(row, known, columns, (text, text2))
        own = said or find_id(list(row.cells))
        title = row.cells.get("title") if "_id" in row.cells and columns.get("text") is None else None
        first = cell_text(row, text)
        yield TextExample(
            place=row.place,
            id=None if own is None else row.cells.get(own),
            text=f"{title} {first}" if isinstance(title, str) and title else first,
            text2=None if text2 is None else cell_text(row, text2),
            label=None,
        )


def _check_texts(row: Row, names: Iterable[str], columns: Columns, before: tuple[str, str | None]) -> None:
    """Raise UserError if by the names of the columns up to this row, its texts are others than of the rows before.

    Where so many names decide nothing, they are what they were.
    """
    try:
        found = text_columns(Table(row.place, tuple(names), []), columns)
    except UserError:
        return
    if found != before:
        texts, others = (" and ".join(repr(name) for name in each if name) for each in (found, before))
        raise UserError(
            f"{row.place}: the text is in {texts}, and in the rows before in {others}; give all rows alike, or say "
            "which it is with --columns=text:NAME"
        )


def _opened(path: str, columns: Columns, header: bool | None) -> tuple[Table, Iterator[Row]]:
    """The columns of a file, as a table without rows, and its rows."""
    kind = suffix(path)
    if path.startswith(PREFIX):
        return _of_objects(path, itertools.starmap(Row, read_tfds(path)))
    if path == STANDARD_INPUT or kind == ".txt":
        return _of_lines(path, columns, header)
    if kind in TSV:
        return _of_cells(path, tsv_rows(path, without_return(read_lines(path))), columns, header)
    if kind == ".csv":
        return _of_cells(path, csv_rows(path), columns, header)
    if kind in JSONL:
        return _of_objects(path, json_rows(path, read_lines(path)))
    raise UserError(
        f"{path}: its name does not say what it is; call it .tsv, .csv, .jsonl or .txt (also with .gz, .bz2 or .xz)"
    )


def _of_lines(path: str, columns: Columns, header: bool | None) -> tuple[Table, Iterator[Row]]:
    first, lines = _peeked(without_return(read_lines(path)), path)
    if path == STANDARD_INPUT and first[1].startswith("{"):
        return _of_objects(path, json_rows(path, lines))
    if path != STANDARD_INPUT and "\t" in first[1]:
        return _of_cells(path, tsv_rows(path, lines), columns, header)
    rows = (Row(place(path, number), {"text": line}) for number, line in lines)
    return Table(path, ("text",), [], by_number=True), rows


def _of_objects(path: str, rows: Iterable[Row]) -> tuple[Table, Iterator[Row]]:
    first, rows = _peeked(rows, path)
    return Table(path, tuple(first.cells), []), rows


def _of_cells(
    path: str, rows: Iterable[tuple[int, list[str]]], columns: Columns, header: bool | None
) -> tuple[Table, Iterator[Row]]:
    (number, cells), rows = _peeked(rows, path)
    names = [str(column) for column in range(len(cells))]
    if is_header(cells, columns, header, place(path, number)):
        names = column_names(cells, place(path, number))
        next(rows)
        _, rows = _peeked(rows, path, " below its header")
    named = (Row(place(path, number), dict(zip(names, cells, strict=True))) for number, cells in rows)
    return Table(path, tuple(names), [], by_number=True), named


def _peeked(rows: Iterable[Kind], path: str, where: str = "") -> tuple[Kind, Iterator[Kind]]:
    """The first of the rows, and all of them."""
    rows = iter(rows)
    for first in rows:
        return first, itertools.chain([first], rows)
    raise UserError(f"{shown(path)} has no rows{where}; give one with text")
