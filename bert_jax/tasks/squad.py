"""Questions and the texts that answer them: SQuAD 1.1 and 2.0 as published, and flat rows.

.json (also .gz, .bz2, .xz) is SQuAD's nested file: without `is_impossible` a question has an answer; answers of
impossible ones, plausible or not, are ignored. .jsonl, tfds: and - are rows of question, context, answers and id, where
answers are {"text": [...], "answer_start": [...]} or a list of {"text", "answer_start"}, and none of them means
impossible unless `is_impossible` says otherwise. A question without `answers` is one to predict.

Offsets count characters (Unicode code points) of the context as given. Where the answer is not at its offset the file
is wrong, most often because something counted bytes or removed spaces: these are counted, named and, with strict,
refused. Without it they keep their text, which scores compare with, and -1 as their offset, which no training uses.
"""

import collections
import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec
from absl import logging

from bert_jax.errors import UserError
from bert_jax.storage.json_file import check_schema, decode_json
from bert_jax.tasks.columns import listed
from bert_jax.tasks.examples import QuestionExample
from bert_jax.tasks.lines import STANDARD_INPUT, check_is_unicode, read_lines, shown, suffix
from bert_jax.tasks.tables import JSONL, Row, Table, read_table
from bert_jax.tasks.texts import cell_text
from bert_jax.text.tfds_split import PREFIX

_REMEDY = "give a file in SQuAD's form, or rows of question, context and answers as .jsonl"
_NOWHERE = -1
_NAMED = 3  # in a message


class _Answer(msgspec.Struct):
    text: str
    answer_start: int


class _Question(msgspec.Struct):
    question: str
    id: str | int
    answers: list[_Answer] | None = None
    is_impossible: bool | None = None


class _Paragraph(msgspec.Struct):
    context: str
    qas: list[_Question]


class _Article(msgspec.Struct):
    paragraphs: list[_Paragraph]


class _Squad(msgspec.Struct):
    data: list[_Article]


class _Columns(msgspec.Struct):
    text: list[str]
    answer_start: list[int]


def read_questions(path: str, need_answers: bool, strict: bool = False) -> list[QuestionExample]:
    """A question an example, in their order. An answer that is not at its offset has the offset -1.

    Raises:
      UserError: the file cannot be read, has no or twice the same question, or lacks needed answers; with `strict`, an
        answer is not at its offset.
    """
    if path.startswith(PREFIX) or path == STANDARD_INPUT or suffix(path) in JSONL:
        examples = list(_flat(read_table(path)))
    elif suffix(path) == ".json":
        examples = list(_nested(path))
    else:
        raise UserError(f"{path}: its name does not say what it is; call it .json (SQuAD's form) or .jsonl (rows)")
    if not examples:
        raise UserError(f"{shown(path)} has no questions; {_REMEDY}")
    _check_ids(examples, path)
    without = next((example for example in examples if not example.has_gold), None)
    if need_answers and without is not None:
        raise UserError(f"{without.place} has no answers; write them, or is_impossible, or remove it")
    _report(misplaced_answers(examples), path, strict)
    return examples


def misplaced_answers(examples: Iterable[QuestionExample]) -> list[tuple[str, str]]:
    """(place, answer) of each answer that is not at its offset."""
    return [(example.place, text) for example in examples for text, start in example.answers if start == _NOWHERE]


def placed_answers(example: QuestionExample) -> tuple[tuple[str, int], ...]:
    """Those answers that are where the file says."""
    return tuple(answer for answer in example.answers if answer[1] != _NOWHERE)


def for_training(examples: Sequence[QuestionExample]) -> list[QuestionExample]:
    """Those that are impossible or have an answer where the file says, with these answers; logs how many others go."""
    kept = []
    for example in examples:
        there = placed_answers(example)
        if there or example.is_impossible:
            kept.append(dataclasses.replace(example, answers=there))
    if len(kept) < len(examples):
        logging.warning(
            "%s of %s questions are not trained on: they have no answer at its offset",
            f"{len(examples) - len(kept):,}",
            f"{len(examples):,}",
        )
    return kept


def _nested(path: str) -> Iterator[QuestionExample]:
    text = "\n".join(line for _, line in read_lines(path))
    squad = decode_json(text, object, path, _REMEDY)
    if "\\u" in text:
        check_is_unicode(squad, path)
    for article in check_schema(squad, _Squad, path, _REMEDY).data:
        for paragraph in article.paragraphs:
            for question in paragraph.qas:
                yield _example(
                    f"{path}, question {question.id}", question, paragraph.context, bool(question.is_impossible)
                )


def _flat(table: Table) -> Iterator[QuestionExample]:
    missing = [name for name in ("question", "context") if name not in table.columns]
    if missing:
        raise UserError(f"{shown(table.path)} has no field {missing[0]!r} but {listed(table.columns)}; {_REMEDY}")
    for row in table.rows:
        question = _Question(
            question=cell_text(row, "question"),
            id=row.cells.get("id"),  # type: ignore[arg-type]  # None if it has none
            answers=_answers(row),
            is_impossible=row.cells.get("is_impossible"),
        )
        if question.is_impossible not in (None, True, False):  # 0 and 1 are these, "false" is neither
            raise UserError(f"{row.place}: is_impossible is {question.is_impossible!r:.80}; give true or false")
        is_impossible = question.answers == [] if question.is_impossible is None else bool(question.is_impossible)
        yield _example(row.place, question, cell_text(row, "context"), is_impossible)


def _answers(row: Row) -> list[_Answer] | None:
    value: Any = row.cells.get("answers")
    if isinstance(value, dict):
        columns = check_schema(value, _Columns, f"{row.place}, answers", _REMEDY)
        if len(columns.text) != len(columns.answer_start):
            raise UserError(
                f"{row.place} has {len(columns.text)} answers and {len(columns.answer_start)} offsets; fix it"
            )
        return [_Answer(*answer) for answer in zip(columns.text, columns.answer_start, strict=True)]
    return None if value is None else check_schema(value, list[_Answer], f"{row.place}, answers", _REMEDY)


def _example(place: str, question: _Question, context: str, is_impossible: bool) -> QuestionExample:
    answers = [] if is_impossible else [(answer.text, answer.answer_start) for answer in question.answers or ()]
    return QuestionExample(
        place=place,
        id=question.id,
        question=question.question,
        context=context,
        answers=tuple((text, start if _is_at(context, text, start) else _NOWHERE) for text, start in answers),
        is_impossible=is_impossible,
        has_gold=is_impossible or bool(answers),
    )


def _is_at(context: str, text: str, start: int) -> bool:
    return start >= 0 and text != "" and context.startswith(text, start)


def _check_ids(examples: Iterable[QuestionExample], path: str) -> None:
    """Answers are written by id: no two questions may have the same."""
    counts = collections.Counter(str(example.id) for example in examples if example.id is not None)
    twice = [name for name, count in counts.items() if count > 1]
    if twice:
        more = f" and {len(twice) - 1:,} other ids" if len(twice) > 1 else ""
        raise UserError(f"{shown(path)} has the id {twice[0]!r}{more} more than once; give each question its own")


def _report(misplaced: Sequence[tuple[str, str]], path: str, strict: bool) -> None:
    if not misplaced:
        return
    first = ", ".join(f"{text!r:.60} of {place}" for place, text in misplaced[:_NAMED])
    what = f"{shown(path)}: {len(misplaced):,} answers are not at their offsets, the first {first}"
    if strict:
        raise UserError(f"--strict: {what}; correct them (offsets count characters), or leave out --strict")
    logging.warning("%s; they are not trained on; --strict refuses them", what)
