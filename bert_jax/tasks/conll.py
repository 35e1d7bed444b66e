"""Words with tags: CoNLL's columns, CoNLL-U, JSON Lines with a list of words and one of tags, or a TFDS split.

Columns are parted by one tab, or by spaces, throughout a file; spaces around a cell are nothing. A blank line, also one
of white space, ends a sentence; a -DOCSTART- line does so, too, and is dropped. The word is the first column, the tag
the last one, or as in --columns=word:0,tag:2; a file of one column is words without tags. A first line may be a header
(_names). In CoNLL-U, which is recognised by ten columns between tabs, comments, ranges (1-2) and empty nodes (1.1) are
dropped, the word is column 1 (FORM), the tag 3 (UPOS), and sent_id the id. Elsewhere # is a word.

A file whose tags mark spans may have others by mistake (tags.py). A single 0 among them is read as O; the rest stay,
and are in no loss, and O in scores (tagging.py). Either is logged.
"""

import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from absl import logging

from bert_jax.errors import UserError
from bert_jax.tasks.columns import Columns, listed, normal
from bert_jax.tasks.examples import TaggingExample
from bert_jax.tasks.lines import json_or_lines, place, shown, suffix
from bert_jax.tasks.tables import JSONL, json_rows, read_table, table_of_objects
from bert_jax.tasks.tags import check_tags, tag_scheme
from bert_jax.tasks.word_lists import tagged_rows
from bert_jax.text.tfds_split import PREFIX

_DOCUMENT = "-DOCSTART-"
# How a header calls its first and its last column: more words than word_lists.py has, which are of lists.
_WORD = {"word", "words", "token", "tokens", "form", "text", "sentence#"}
_TAG = {"tag", "tags", "label", "labels", "ner", "nertag", "nertags", "pos", "postag", "postags", "chunk", "chunktag"}
_CONLL_U_COLUMNS = 10
_SENT_ID = re.compile(r"#\s*sent_id\s*=\s*(.*\S)\s*")
_NAMES = {"\t": "tabs", " ": "spaces"}
_LOGGED = 3  # findings in a line of the log


def read_tagging(
    path: str,
    columns: Columns,
    need_tags: bool,
    is_known: Callable[[str], bool] | None = None,
    header: bool | None = None,
) -> list[TaggingExample]:
    """A sentence an example, in their order; without tags where none are needed and a sentence has none, or not all.

    `is_known` tells the tags of the model that is used, if there is one; `header` is --header, None: not given.

    Raises:
      UserError: the file cannot be read, mixes separators or numbers of columns, or lacks words or needed tags; or the
        column that is taken for the tags to predict has words, as a sentence a line does.
    """
    if path.startswith(PREFIX) or suffix(path) in JSONL:
        examples = tagged_rows(read_table(path), columns, need_tags)
    else:
        is_json, lines = json_or_lines(path)
        if is_json:
            examples = tagged_rows(table_of_objects(path, json_rows(path, lines)), columns, need_tags)
        else:
            examples = _of_columns(list(lines), path, columns, need_tags, header)
            if is_known and not need_tags and (columns.get("tag") or not columns.get("word")):
                _check_are_tags(examples, path, is_known)
    if odd := check_tags(examples):
        first = ", ".join(f"{tag!r} at {where}" for where, tag in odd[:_LOGGED])
        more = f" and {len(odd) - _LOGGED:,} more" if len(odd) > _LOGGED else ""
        message = "%s: tags of no span among tags of spans, left out of the loss and scored as O: %s%s"
        logging.warning(message, shown(path), first, more)
    return examples


def _check_are_tags(examples: Sequence[TaggingExample], path: str, is_known: Callable[[str], bool]) -> None:
    tags = dict.fromkeys(tag for example in examples for tag in example.tags or ())
    words = [tag for tag in tags if any(map(str.isalnum, tag))]  # a place kept for tags has _, - or ?
    if words and not any(map(is_known, tags)):
        raise UserError(
            f"{shown(path)} has {listed(words[:_LOGGED])} where tags are, none of them a tag of the model; give a word "
            "a line, with a blank line after each sentence, or --columns=word:0 if they are other tags"
        )


class _Line(NamedTuple):
    number: int
    cells: list[str]


def _of_columns(
    lines: Sequence[tuple[int, str]], path: str, columns: Columns, need_tags: bool, header: bool | None
) -> list[TaggingExample]:
    is_conll_u = _is_conll_u(lines)
    cells = list(_split(lines, path, is_conll_u))
    names = [] if is_conll_u else _names(cells, path, columns, header)
    if names:
        cells = list(itertools.dropwhile(lambda line: not line.cells, cells))[1:]
    sentences = [list(group) for blank, group in itertools.groupby(cells, lambda line: not line.cells) if not blank]
    if not sentences:
        raise UserError(f"{shown(path)} has no sentences; give one with a word a line, and a blank line after each")
    names = names or [str(number) for number in range(len(sentences[0][0].cells))]
    word, tag = _places(columns, names, is_conll_u, need_tags, shown(path))
    if tag is not None:
        _read_zeros_as_o(sentences, tag, path)
    ids = _sentence_ids(lines) if is_conll_u else {}
    return [_example(sentence, path, word, tag, ids.get(sentence[0].number), need_tags) for sentence in sentences]


def _names(cells: Sequence[_Line], path: str, columns: Columns, header: bool | None) -> list[str]:
    """Those of a header, [] where the first line is none.

    It is one if --header says so, if --columns names columns that are all in it, or if it calls the last column tag,
    pos, ner ... and the first one word or token.
    """
    first = next((line for line in cells if line.cells), None)
    if first is None or header is False:
        return []
    said = bool(columns.names) and set(columns.names) <= set(first.cells)
    known = len(first.cells) > 1 and normal(first.cells[0]) in _WORD and normal(first.cells[-1]) in _TAG
    if header or said or known:
        logging.info("%s is read as the header: %s; --header=no if not", place(path, first.number), listed(first.cells))
        return first.cells
    return []


def _read_zeros_as_o(sentences: Sequence[Sequence[_Line]], tag: int, path: str) -> None:
    """Each tag 0 among tags of spans becomes O, and a warning says where."""
    zeros = [line for sentence in sentences for line in sentence if line.cells[tag] == "0"]
    if not zeros or tag_scheme([line.cells[tag] for line in sentence] for sentence in sentences) == "none":
        return
    more = f" and {len(zeros) - 1:,} more" if len(zeros) > 1 else ""
    logging.warning("%s%s: the tag is the digit 0; it is read as O", place(path, zeros[0].number), more)
    for line in zeros:
        line.cells[tag] = "O"


def _split(lines: Iterable[tuple[int, str]], path: str, is_conll_u: bool) -> Iterator[_Line]:
    """The cells of each line, none for the end of a sentence."""
    separator, width = "", 0
    for number, line in lines:
        if not line.strip() or line.lstrip().startswith(_DOCUMENT):
            yield _Line(number, [])
        elif not (is_conll_u and line.startswith("#")):
            here, cells = _cells(line, separator)
            separator = separator or (here if len(cells) > 1 else "")
            width = width or len(cells)
            if len(cells) > 1 and here != separator:
                raise UserError(
                    f"{place(path, number)} has {_NAMES[here]} between its columns, and lines before it have "
                    f"{_NAMES[separator]}; use one of them throughout"
                )
            if len(cells) != width:
                raise UserError(
                    f"{place(path, number)} has {len(cells)} {'column' if len(cells) == 1 else 'columns'}, and lines "
                    f"before it have {width}; a word or tag is missing, or a blank in one; fix the line"
                )
            if not is_conll_u or cells[0].isdecimal():
                yield _Line(number, cells)


def _cells(line: str, separator: str) -> tuple[str, list[str]]:
    """What parts a line, and its cells; of a file that tabs part (`separator`), a last cell may be empty."""
    line = line if separator == "\t" else line.rstrip(" \t")
    if "\t" in line:
        return "\t", [cell.strip(" ") for cell in line.split("\t")]
    return " ", [cell for cell in line.split(" ") if cell]


def _is_conll_u(lines: Sequence[tuple[int, str]]) -> bool:
    for _, line in lines:
        if line.strip() and not line.startswith("#"):
            return line.count("\t") == _CONLL_U_COLUMNS - 1
    return False


def _sentence_ids(lines: Sequence[tuple[int, str]]) -> dict[int, str]:
    """By the number of a sentence's first line of a word, the sent_id above it."""
    ids, last = {}, None
    for number, line in lines:
        if match := _SENT_ID.fullmatch(line):
            last = match[1]
        elif line.partition("\t")[0].isdecimal() and last is not None:
            ids[number], last = last, None
    return ids


def _places(
    columns: Columns, names: Sequence[str], is_conll_u: bool, need_tags: bool, path: str
) -> tuple[int, int | None]:
    """The numbers of the columns of words and tags."""
    width = len(names)
    word = _number(columns, "word", names, path)
    if word is None:
        word = 1 if is_conll_u else 0
    tag = _number(columns, "tag", names, path, need_tags)
    if tag is None and (columns.get("tag") is not None or (width == 1 and not need_tags)):
        return word, None
    if tag is None:
        tag = 3 if is_conll_u else width - 1
    if tag == word:
        raise UserError(f"{path} has no column of tags beside the words; give a file of words and tags, or say tag:")
    return word, tag


def _number(columns: Columns, role: str, names: Sequence[str], path: str, needed: bool = True) -> int | None:
    said = columns.get(role)
    if said is None:
        return None
    if said in names:
        return names.index(said)
    if said.isdecimal() and int(said) < len(names):
        return int(said)
    if not needed:
        return None
    raise UserError(f"{path} has no column {said!r} but {listed(names)}; correct {role}: in --columns")


def _example(
    sentence: Sequence[_Line], path: str, word: int, tag: int | None, own: str | None, need_tags: bool
) -> TaggingExample:
    where = place(path, sentence[0].number)
    words = tuple(line.cells[word] for line in sentence)
    if "" in words:
        raise UserError(f"{place(path, sentence[words.index('')].number)} has an empty word; fix or remove the line")
    if tag is None:
        return TaggingExample(where, own, words, None)
    tags = tuple(line.cells[tag] for line in sentence)
    if "" in tags and need_tags:
        raise UserError(f"{place(path, sentence[tags.index('')].number)} has no tag; write one (O is outside)")
    return TaggingExample(where, own, words, None if "" in tags else tags)
