"""A collection for retrieval in BEIR's form: documents and queries as JSON Lines, judgements as a table.

Documents and queries are objects of `_id` (or `id`), `text` and maybe `title`, which goes before the text. Judgements
(qrels) are rows of query, document and grade between tabs, with or without a header; or TREC's four columns, query,
iteration, document and grade, between any white space. A grade of 0 or less is irrelevant.
"""

from bert_jax.errors import UserError
from bert_jax.tasks.columns import listed
from bert_jax.tasks.lines import place, read_lines, shown, without_return
from bert_jax.tasks.tables import Row, Table, read_table
from bert_jax.tasks.texts import cell_text

_FORM = "write query, document and grade between tabs, as in q1<TAB>d7<TAB>1"


def read_documents(path: str) -> dict[str, str]:
    """The text of each document or query by its id, in their order; it may be empty.

    Raises:
      UserError: the file cannot be read, or a row has no text, no id or another's.
    """
    table = read_table(path)
    column = _id_column(table)
    documents: dict[str, str] = {}
    for row in table.rows:
        own = row.cells.get(column)
        if not isinstance(own, str | int) or own == "":
            raise UserError(f"{row.place} has no {column!r}; give each document its own")
        if str(own) in documents:
            raise UserError(f"{row.place}: {column!r} is {own!r:.60}, as in a row before it; give each its own")
        documents[str(own)] = _text(row)
    return documents


def read_judgements(path: str) -> dict[str, dict[str, int]]:
    """The grade of each judged document by query and document, in their order.

    Raises:
      UserError: the file cannot be read, or a row is no judgement; names its line.
    """
    judgements: dict[str, dict[str, int]] = {}
    first = True
    for number, line in without_return(read_lines(path)):
        if not line.strip():
            continue
        cells = line.split("\t") if "\t" in line else line.split()
        if len(cells) not in (3, 4):
            raise UserError(f"{place(path, number)} has {len(cells)} columns; {_FORM}")
        query, document, grade = cells[0].strip(), cells[-2].strip(), _grade(cells[-1])
        if grade is None and not (first and _is_word(cells[-1])):  # which a header ends in
            raise UserError(f"{place(path, number)}: the grade is {cells[-1]!r:.60}, no whole number; {_FORM}")
        first = False
        if grade is not None:
            _add(judgements.setdefault(query, {}), document, grade, place(path, number))
    if not judgements:
        raise UserError(f"{shown(path)} has no judgements; {_FORM}")
    return judgements


def _id_column(table: Table) -> str:
    column = next((name for name in ("_id", "id") if name in table.columns), None)
    if column is None or "text" not in table.columns:
        raise UserError(
            f"{shown(table.path)} has the columns {listed(table.columns)}; a row of a collection is "
            '{"_id": "...", "title": "...", "text": "..."}, as in BEIR'
        )
    return column


def _text(row: Row) -> str:
    title = row.cells.get("title")
    text = cell_text(row, "text")
    return f"{title} {text}" if isinstance(title, str) and title else text


def _grade(cell: str) -> int | None:
    try:
        return int(cell)
    except ValueError:
        return None


def _is_word(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return bool(cell.strip())
    return False


def _add(of_query: dict[str, int], document: str, grade: int, where: str) -> None:
    if of_query.setdefault(document, grade) != grade:
        raise UserError(f"{where} judges a document anew, and otherwise; leave one of the two")
