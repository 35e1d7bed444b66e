"""The rows' own ids, which stand beside answers and vectors."""

import json
from collections.abc import Iterable, Iterator

from bert_jax.errors import UserError
from bert_jax.tasks.examples import TextExample
from bert_jax.tasks.task import Example


def check_id(example: Example) -> None:
    """Raise UserError at an id that is neither text nor a whole number: NaN, say, which could not be read again."""
    if example.id is not None and (isinstance(example.id, bool) or not isinstance(example.id, str | int)):
        raise UserError(
            f"{example.place}: its id is {json.dumps(example.id):.60}, and an id is text or a whole number; fix it, "
            "or say with --columns=id:NAME which column has the ids"
        )


def all_or_none(examples: Iterable[TextExample]) -> Iterator[TextExample]:
    """The same examples; raise UserError at a bad id, and where only some have one: a row's number may be another's."""
    has_id: bool | None = None
    for example in examples:
        check_id(example)
        has_one = example.id is not None
        if has_id not in (None, has_one):
            what = "has an id, and the rows before have none" if has_one else "has no id, and the rows before have one"
            raise UserError(f"{example.place} {what}; give each row its own, or none")
        has_id = has_one
        yield example
