"""Sentences as lists: a row has a list of words, and one of tags."""

from collections.abc import Sequence
from typing import Any

from bert_jax.errors import UserError
from bert_jax.tasks.columns import Columns, listed, normal
from bert_jax.tasks.examples import TaggingExample
from bert_jax.tasks.lines import shown
from bert_jax.tasks.tables import Row, Table, as_list
from bert_jax.tasks.texts import class_name, id_column

_WORDS, _TAGS = ("words", "tokens"), ("tags", "nertags", "ner", "postags", "pos", "chunktags", "labels")


def tagged_rows(table: Table, columns: Columns, need_tags: bool) -> list[TaggingExample]:
    """An example a row, in their order.

    Raises:
      UserError: a column or a row's words are missing, or needed tags, or there are not as many of them as words.
    """
    word, tag = _column(table, columns, "word", _WORDS, True), _column(table, columns, "tag", _TAGS, need_tags)
    if word is None or (tag is None and need_tags):
        role = "tag" if word else "word"
        raise UserError(
            f"{shown(table.path)} has no column that is known to hold {role}s, but {listed(table.columns)}; "
            f"say which with --columns={role}:NAME"
        )
    own = id_column(table, columns, need_tags)
    return [_of_row(row, word, tag, None if own is None else row.cells.get(own), need_tags) for row in table.rows]


def _column(table: Table, columns: Columns, role: str, names: Sequence[str], needed: bool) -> str | None:
    if columns.get(role) is not None:
        return table.said(columns, role) if needed else table.said_and_there(columns, role)
    found = [name for name in table.columns if normal(name) in names]
    if len(found) > 1 and needed:
        raise UserError(
            f"{shown(table.path)} has more than one column that may hold {role}s ({listed(found)}); "
            f"say which with --columns={role}:NAME"
        )
    return found[0] if len(found) == 1 else None


def _of_row(row: Row, word: str, tag: str | None, own: Any, need_tags: bool) -> TaggingExample:
    words = as_list(row.cells.get(word))
    if not words or not all(isinstance(part, str) and part.strip() for part in words):
        raise UserError(f'{row.place}: {word!r} is no list of words; write it as in ["Ada", "writes"]')
    given = None if tag is None else as_list(row.cells.get(tag))
    tags = [class_name(part) for part in given or ()]
    if len(tags) == len(words) and all(tags):
        return TaggingExample(row.place, own, tuple(words), tuple(tags))
    if need_tags:
        raise UserError(f"{row.place} has {len(words)} words and {len([t for t in tags if t])} tags in {tag!r}; fix it")
    return TaggingExample(row.place, own, tuple(words), None)
