"""The texts of a file one by one, as tables.py reads them, but never all of them in memory.

Which columns of JSON Lines hold the texts is decided by the keys of the first object, and a later one whose keys say
otherwise is refused; each row has its own id and title, or none. A row of BEIR's form, of _id, title and text, is its
title and its text, with a space between, as in retrieval.py.
"""

from collections.abc import Iterable, Iterator

from bert_jax.errors import UserError
from bert_jax.tasks.columns import Columns, find_id
from bert_jax.tasks.examples import TextExample
from bert_jax.tasks.tables import Row, Table, open_table
from bert_jax.tasks.texts import cell_text, text_columns


def stream_texts(path: str, columns: Columns, header: bool | None = None) -> Iterator[TextExample]:
    """An example a row, in their order, each read when it is asked for; labels are None.

    Raises:
      UserError: the file cannot be read, has no rows, or a row has no text; one line with file and line.
    """
    table, rows = open_table(path, columns, header)
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
