"""A text and what may follow it, of which one is right: COPA, SWAG, HellaSwag, or any columns text, choices, label.

    columns that are there          text                        text2       a choice
    premise, question, choices      premise + "What was the     -           as it stands (COPA)
    (or choice1, choice2)           CAUSE of this?"
    sent1, sent2, ending0..3        sent1                       -           sent2 + " " + ending (SWAG)
    ctx_a, ctx_b, endings           ctx_a                       -           ctx_b + " " + ending (HellaSwag)
    ctx, endings                    ctx                         -           as it stands
    text[, text2], choices          text                        text2       as it stands

The question of COPA, cause or effect, is a sentence after the premise, in the words of its authors ("What was the CAUSE
of this?", "What happened as a RESULT?"; Roemmele et al. 2011), since both have the same premises and choices. SWAG's
join is the paper's: a choice is the whole second sentence (1810.04805, 4.4).

Choices are a JSON list, or columns with a number (choice1, ending0, option_2; or --columns=choices:2+3+4), of which
empty ones at the end are none. Rows may have different numbers of them, two or more. A label is a number from
0, or the name of the right choice's column, as TFDS has it.
"""

import re
from typing import NamedTuple

from bert_jax.errors import UserError
from bert_jax.tasks.columns import Columns, listed, normal
from bert_jax.tasks.examples import ChoiceExample
from bert_jax.tasks.lines import shown
from bert_jax.tasks.tables import Row, Table, as_list, read_table
from bert_jax.tasks.texts import cell_text, id_column, label_column, text_columns

COPA_QUESTIONS = {"cause": "What was the CAUSE of this?", "effect": "What happened as a RESULT?"}

_LISTS = ("choices", "endings", "options")
_NUMBERED = re.compile(r"(choice|ending|option)(\d+)")


def read_choices(path: str, columns: Columns, need_labels: bool, header: bool | None = None) -> list[ChoiceExample]:
    """An example a row, in their order.

    Raises:
      UserError: as `read_table`, or texts or choices are missing, or a needed label is not one of the choices' numbers.
    """
    table = read_table(path, columns, header)
    parts, choices = _parts(table, columns), _choice_columns(table, columns)
    label, own = label_column(table, columns, "class", need_labels, ()), id_column(table, columns, need_labels)
    return [_example(row, parts, choices, label, own, need_labels) for row in table.rows]


class _Parts(NamedTuple):
    """The columns of what is around the choices."""

    text: str
    text2: str | None = None
    question: str | None = None  # cause or effect, put into words after the text
    begun: str | None = None  # what each choice continues


def _parts(table: Table, columns: Columns) -> _Parts:
    at = {normal(name): name for name in table.columns}
    if columns.get("text") is None:
        if {"premise", "question"} <= at.keys():
            return _Parts(at["premise"], question=at["question"])
        for text, begun in (("sent1", "sent2"), ("ctxa", "ctxb")):
            if {text, begun} <= at.keys():
                return _Parts(at[text], begun=at[begun])
        if "ctx" in at:
            return _Parts(at["ctx"])
    return _Parts(*text_columns(table, columns))


def _choice_columns(table: Table, columns: Columns) -> list[str]:
    """One column of lists, or one for each choice."""
    if columns.get("choices") is not None:
        return table.all_said(columns, "choices")
    if lists := [name for name in table.columns if normal(name) in _LISTS]:
        return lists[:1]
    found = [(match, name) for name in table.columns if (match := _NUMBERED.fullmatch(normal(name)))]
    if len(found) < 2 or len({match[1] for match, _ in found}) > 1:
        raise UserError(
            f"{shown(table.path)} has no columns that are known to be choices, but {listed(table.columns)}; say which "
            "with --columns=choices:NAME (a list) or choices:NAME+NAME (one each)"
        )
    return [name for _, name in sorted(found, key=lambda item: int(item[0][2]))]


def _example(
    row: Row, parts: _Parts, columns: list[str], label: str | None, own: str | None, needed: bool
) -> ChoiceExample:
    choices = _choices(row, columns)
    if parts.begun is not None:
        begun = cell_text(row, parts.begun)
        choices = [f"{begun} {choice}" if begun else choice for choice in choices]
    return ChoiceExample(
        place=row.place,
        id=None if own is None else row.cells.get(own),
        text=cell_text(row, parts.text) + ("" if parts.question is None else " " + _asked(row, parts.question)),
        text2=None if parts.text2 is None else cell_text(row, parts.text2),
        choices=tuple(choices),
        label=None if label is None else _number(row, label, columns, len(choices), needed),
    )


def _asked(row: Row, column: str) -> str:
    question = cell_text(row, column)
    if question not in COPA_QUESTIONS:
        raise UserError(f"{row.place}: {column!r} is {question!r:.60}, neither cause nor effect; fix it")
    return COPA_QUESTIONS[question]


def _choices(row: Row, columns: list[str]) -> list[str]:
    if len(columns) == 1:
        choices = as_list(row.cells.get(columns[0]))
        if choices is None or not all(isinstance(choice, str) for choice in choices):
            raise UserError(f'{row.place}: {columns[0]!r} is no list of texts; write it as in ["...", "..."]')
    else:
        there = [column for column in columns if row.cells.get(column) not in (None, "")]
        choices = [cell_text(row, column) for column in columns[: columns.index(there[-1]) + 1 if there else 0]]
    if len(choices) < 2:
        raise UserError(f"{row.place} has {len(choices)} choices, and two or more are needed; fix or remove the row")
    return choices


def _number(row: Row, column: str, columns: list[str], choices: int, needed: bool) -> int | None:
    """The number of the right choice; None, where it is not needed, for anything else."""
    value = row.cells.get(column)
    is_number = not isinstance(value, bool) and str(value).strip().isdecimal()  # as columns without a header are called
    if is_number and int(str(value)) < choices:
        return int(str(value))
    if not is_number and value in columns[:choices] and len(columns) > 1:
        return columns.index(value)
    if not needed:
        return None
    raise UserError(
        f"{row.place}: {column!r} is {value!r:.60}, and its choices have the numbers 0 to {choices - 1}; "
        "fix or remove the row"
    )
