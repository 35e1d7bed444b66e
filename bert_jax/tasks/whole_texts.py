"""What the tasks with one answer for a whole text, or a pair of them, have in common."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from bert_jax.config import TaskConfig
from bert_jax.errors import UserError
from bert_jax.tasks.columns import Columns, LabelKind
from bert_jax.tasks.encoding import TextEncoder
from bert_jax.tasks.examples import TextExample
from bert_jax.tasks.headers import HAS_HEADER
from bert_jax.tasks.lines import STANDARD_INPUT, shown
from bert_jax.tasks.rows import EncodedText, Rows, make_rows
from bert_jax.tasks.texts import read_texts


def read(
    file: str, config: TaskConfig, kind: LabelKind, needs_labels: bool, pairs: bool | None = None
) -> list[TextExample]:
    """The examples of a file; UserError, with file and line, if it cannot be read, or is not what `pairs` says."""
    examples = read_texts(file, Columns.of(config.columns), kind, needs_labels, HAS_HEADER[config.header])
    check_pairs(examples, pairs)
    return examples


def are_pairs(examples: Sequence[TextExample]) -> bool:
    """Whether they have two texts, by the first; UserError if others differ from it."""
    pairs = examples[0].text2 is not None
    check_pairs(examples, pairs)
    return pairs


def check_pairs(examples: Iterable[TextExample], pairs: bool | None) -> None:
    """Raise UserError unless they have two texts, or one, as those of training, which `pairs` says; None: not known."""
    for example in examples if pairs is not None else ():
        if (example.text2 is not None) != pairs:
            number, others, columns = ("one text", "two", "text:A,text2:B") if pairs else ("two texts", "one", "text:A")
            remedy = f"say which with --columns={columns}"
            if example.place.startswith(shown(STANDARD_INPUT)):
                remedy = "give JSON Lines, or a file with columns"
            raise UserError(f"{example.place} has {number}, and the rows of training have {others}; {remedy}")


def encode(
    examples: Sequence[TextExample], encoder: TextEncoder, labels: Mapping[str, np.ndarray] | None = None
) -> Rows:
    """Rows of the examples, one each, or several windows; `labels` [examples, ...] are known or None."""
    texts: list[EncodedText] = []
    numbers: list[int] = []
    for number, example in enumerate(examples):
        rows = encoder.rows(example.text, example.text2)
        texts += rows
        numbers += [number] * len(rows)
    example_of = np.asarray(numbers, np.int64)
    share = (1.0 / np.bincount(example_of))[example_of].astype(np.float32)  # windows of a text count once together
    of_rows = {name: values[example_of] for name, values in (labels or {}).items()}
    return make_rows(texts, example_of, labels=of_rows | {"example_weights": share})


def mean_over_windows(outputs: Sequence[np.ndarray], rows: Rows, examples: int) -> np.ndarray:
    """The outputs [numbers] of each row -> their means [examples, numbers], float64, over the rows of each example."""
    sums = np.zeros((examples, outputs[0].shape[-1]))
    np.add.at(sums, rows.example, np.asarray(outputs, np.float64))
    return sums / np.bincount(rows.example, minlength=examples)[:, None]


def joined(examples: Sequence[TextExample]) -> list[str]:
    """Each example's text, or both of a pair, for methods that know no pairs."""
    return [f"{one.text} {one.text2}" if one.text2 else one.text for one in examples]


def pairs(examples: Sequence[TextExample]) -> list[tuple[str, str]]:
    """The two texts of each."""
    return [(one.text, one.text2 or "") for one in examples]
