"""Pairs of texts for similarity: with scores, or of a text and its positive, maybe with negatives.

The columns say which: a score (score, similarity, relatedness_score, or a label of numbers) makes scored pairs; anchor
and positive (or two other texts without a score) positive ones; negative, negative_1 ... or negatives (a JSON list) are
texts that are none; a score beside them is not read, which is logged. A label of words is a score where it says yes or
no: 1 for duplicate, equivalent, paraphrase, true or yes, 0 for not_duplicate, not_equivalent, not_paraphrase, false or
no.
"""

from absl import logging

from bert_jax.errors import UserError
from bert_jax.tasks.columns import NEGATIVE, SCORES, Columns, find_label, listed, normal
from bert_jax.tasks.examples import PairExample
from bert_jax.tasks.lines import shown
from bert_jax.tasks.tables import Row, Table, as_list, read_table
from bert_jax.tasks.texts import cell_text, id_column, label_column, number, text_columns

_YES = {"duplicate", "equivalent", "paraphrase", "true", "yes"}
_NO = {"notduplicate", "notequivalent", "notparaphrase", "false", "no"}


def read_pairs(path: str, columns: Columns, need_labels: bool, header: bool | None = None) -> list[PairExample]:
    """An example a row, in their order: all with a score, or none.

    To predict, labels are not needed: then one that is absent or no number is None, and no column of them has to be.

    Raises:
      UserError: as `read_table`, or there are no two texts, or a score is no number.
    """
    table = read_table(path, columns, header)
    text, text2 = text_columns(table, columns)
    if text2 is None:
        raise UserError(
            f"{shown(path)} has one column of text, {text!r}, and a pair needs two; say which with "
            "--columns=text:NAME,text2:NAME"
        )
    negatives = _negative_columns(table, columns, need_labels)
    if negatives:
        _tell_unread_scores(table, columns, need_labels)
    score = None if negatives else _score_column(table, columns, need_labels, (text, text2))
    own = id_column(table, columns, need_labels)
    return [
        PairExample(
            place=row.place,
            id=None if own is None else row.cells.get(own),
            text=cell_text(row, text),
            text2=cell_text(row, text2),
            score=None if score is None else _score(row, score, need_labels),
            negatives=tuple(other for column in negatives for other in _negatives(row, column)),
        )
        for row in table.rows
    ]


def _negative_columns(table: Table, columns: Columns, needed: bool) -> list[str]:
    if columns.get("negatives") is not None:
        try:
            return table.all_said(columns, "negatives")
        except UserError:
            if needed:
                raise
            return []
    return [name for name in table.columns if normal(name).rstrip("0123456789") in (NEGATIVE, "negatives")]


def _tell_unread_scores(table: Table, columns: Columns, needed: bool) -> None:
    """Log columns of scores beside negatives; UserError if --columns asks for one that is needed."""
    path, asked = shown(table.path), columns.get("label")
    if asked is not None and needed:
        raise UserError(
            f"{path} has negatives, by which pairs are learned, not by a score; leave label:{asked} out of --columns"
        )
    if scores := [name for name in table.columns if normal(name) in SCORES]:
        logging.warning("%s has negatives, by which a pair is learned; not read: %s", path, listed(scores))


def _negatives(row: Row, column: str) -> list[str]:
    """The negatives in a cell, which may have none."""
    value = row.cells.get(column)
    if value is None or value == "":
        return []
    given = as_list(value) if isinstance(value, list) or normal(column) == "negatives" else [value]
    if given is None or not all(isinstance(text, str) for text in given):
        raise UserError(f'{row.place}: {column!r} is no text or list of texts; write it as in ["...", "..."]')
    return given


def _score_column(table: Table, columns: Columns, needed: bool, texts: tuple[str, str]) -> str | None:
    """The column of scores, None for pairs without: these are what they are, and not a mistake."""
    if columns.get("label") is not None:
        return label_column(table, columns, "number", needed, texts)
    others = [name for name in table.columns if name not in texts]
    return find_label(others, "number", shown(table.path))


def _score(row: Row, column: str, needed: bool) -> float | None:
    value = row.cells.get(column)
    word = normal(str(value)) if isinstance(value, str | bool) else ""
    if word in _YES or word in _NO:
        return float(word in _YES)
    try:
        return number(row, column)
    except UserError:
        if needed:
            raise
        return None
