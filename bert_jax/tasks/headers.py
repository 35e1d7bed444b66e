"""Whether the first row of a table is its header: found or asked for, and no row of data is eaten.

In this order:

1. --header=yes or --header=no says it.
2. --columns names columns (text:sentence): they must be in the first row, which then is the header. Those that
   predicting does not need, such as the label, may be missing there.
3. The first row consists of words that known headers consist of (columns.py: text, sentence1, label, score ...), all
   different; the first may be empty, as pandas writes it: it is a header, whether or not --columns gives numbers.
4. --columns gives numbers, and the cells at all of them are such words: a header with other columns between.
5. --columns gives numbers: the first row is data.
6. Nothing decides, and the user is asked.

A row of data is taken for a header only where all of it, or all that is used of it, is such words; --header=no says so.
"""

from collections.abc import Sequence

from absl import logging

from bert_jax.errors import UserError
from bert_jax.tasks.columns import NOT_TO_PREDICT, Columns, NoSuchColumnsError, is_known, listed

HAS_HEADER = {"auto": None, "yes": True, "no": False}  # what --header says


def is_header(first: Sequence[str], columns: Columns, header: bool | None, place: str) -> bool:
    """Whether the cells of a table's first row, which is at `place`, are names; `header` is --header, None: not given.

    Raises:
      UserError: --columns names a column that is not there, or nothing decides.
    """
    names = [cell.strip() for cell in first]  # "id, text" has a column text
    found = header if header is not None else _by_columns(names, columns, place)
    if found is None:
        raise UserError(
            f"{place}: is it a header ({listed(first)})? Give --header=yes or --header=no; or say the columns "
            "by their names or numbers, as in --columns=text:3,label:1 (numbers are from 0)"
        )
    what = "the header" if found else "a row of data"
    logging.info("%s is read as %s: %s; --header=%s if not", place, what, listed(first), "no" if found else "yes")
    return found


def _by_columns(first: Sequence[str], columns: Columns, place: str) -> bool | None:
    names = columns.names
    missing = [] if _joins_names(columns, first) else [name for name in names if name not in first]
    optional = {part for role in NOT_TO_PREDICT for part in (columns.get(role) or "").split("+")}
    if not {*missing} <= optional:
        wrong = NoSuchColumnsError if len(missing) == len(columns.said) else UserError
        raise wrong(
            f"{place} has no column {missing[0]!r} but {listed(first)}; correct --columns, or give numbers, from 0, "
            "if that is no header"
        )
    if len(names) > len(missing):
        return True
    if _are_known(first):
        return True
    used = [first[number] for number in columns.numbers if number < len(first)]
    if used and len(used) == len(columns.numbers) and _are_known(used):
        return True
    return False if columns.numbers else None


def _joins_names(columns: Columns, first: Sequence[str]) -> bool:
    """Whether each column is there as it was said, a + in its name and all."""
    return all(column in first or column.isdecimal() for _, column in columns.said)


def _are_known(cells: Sequence[str]) -> bool:
    words = cells[1:] if len(cells) > 1 and not cells[0] else cells
    return len(set(words)) == len(words) and all(map(is_known, words))
