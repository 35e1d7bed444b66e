"""How an int8 file differs from the float32 one: in scores, answers, size, speed, and by what else is in a batch."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bert_jax.config import TextConfig
from bert_jax.errors import UserError
from bert_jax.inference.predicting import options_of_input, read_inputs
from bert_jax.inference.predictor import REMEDY
from bert_jax.interchange.families import ENCODER
from bert_jax.interchange.huggingface_tasks import settings_of_export
from bert_jax.interchange.programs import Servable
from bert_jax.progress import counted
from bert_jax.serving.onnx_run import Feed, OnnxProgram, of_task, single_rows
from bert_jax.tasks.encoding import TextEncoder
from bert_jax.tasks.kinds import trained_task
from bert_jax.tasks.rows import EncodedText, Rows, make_rows
from bert_jax.tasks.task import Example, Task

SENTENCES = (
    "It rained for most of the night, and by the morning the river had reached the road.",
    "What is the capital of France?",
    "No.",
    "The committee has read the report, which was sent to it in March, and will answer within three weeks; until then "
    "nobody may speak about it in public, and neither the chairman nor the secretary will be there for questions.",
    "She plays the guitar, and her brother the drums.",
    "I would not buy this phone again: after two months the battery lasts for half a day.",
    "Patients with high blood pressure were given the drug for six weeks.",
    "Where did they find the keys?",
)


class Line(NamedTuple):
    """Of a table: what, of float32, of int8."""

    what: str
    float32: str
    int8: str


class Labelled(NamedTuple):
    """Examples with labels, and what is done with them."""

    task: Task
    examples: list[Example]
    rows: Rows


def read_labelled(model: Servable, file: str, columns: str, header: str = "") -> Labelled:
    """The examples of `file`, by the `columns` and `header`, "" being those of training.

    Raises:
      UserError: the model has no task, or the file cannot be read, or has labels that the model does not know.
    """
    if model.task is None or (model.head == ENCODER and model.task.kind != "similarity"):
        raise UserError(f"--test={file}: a model without a task's head has no scores; leave it out")
    task = trained_task(model.task.kind, settings_of_export(model.task))
    options = options_of_input(model.task.options, columns, header)
    examples = read_inputs(task, file, options, asked=bool(columns), needs_labels=True)
    task = task.for_scoring(examples)
    encoder = TextEncoder(model.tokenizer, model.task.text, task.windows)
    rows = task.encode(examples, encoder)
    encoder.log_lengths(file, REMEDY)
    return Labelled(task, examples, rows)


def compare(plain: Path, int8: Path, model: Servable, labelled: Labelled | None) -> list[Line]:
    """Run both, a text a batch, on what is `labelled`, or else on SENTENCES."""
    programs = OnnxProgram(plain), OnnxProgram(int8)
    sentences = _sentences(model)
    rows = labelled.rows if labelled else sentences
    of_plain, of_int8 = _in_turn(programs, rows, model.head)
    speeds = [f"{len(of_plain) / program.seconds:.1f}" for program in programs]
    table = [
        Line("size, MB", *(f"{_bytes(path) / 1e6:,.2f}" for path in (plain, int8))),
        Line("texts a second, one a batch", *speeds),
    ]
    if labelled:
        table += _scores(labelled, of_plain, of_int8, model.head)
    table.append(Line("as float32 answers", "", _agreement(of_plain, of_int8, model.head)))
    for what, some in (("padded beside longer ones", sentences), ("beside others of its length", _cut(sentences))):
        found = [_agreement(*_alone_and_beside(program, some), model.head) for program in programs]
        table.append(Line(f"a text alone, and {what}", *found))
    return table


def _bytes(file: Path) -> int:
    """Of a file, and of its weights where they lie beside it."""
    return sum(each.stat().st_size for each in file.parent.glob(f"{file.name}*"))


def _sentences(model: Servable) -> Rows:
    """SENTENCES; of a model of bare ids as many rows of some. The choices of a row are two of them."""
    encoder = TextEncoder(model.tokenizer, TextConfig(max_length=model.max_length), windows=False)
    if model.tokenizer.kind == "ids":
        some = [list(range(length)) for length in (9, 4, 2, 20)]
        texts = [encoder.row([one % max(1, model.tokenizer.cls_id) for one in ids], None) for ids in some]
    else:
        texts = [encoder.rows(sentence)[0] for sentence in SENTENCES]
    return _rows_of(texts, model.head)


def _rows_of(texts: Sequence[EncodedText], head: str) -> Rows:
    if head != "choice":
        return make_rows(texts, range(len(texts)))
    pairs = zip(texts, [*texts[1:], texts[0]], strict=True)
    return make_rows([text for pair in pairs for text in pair], range(len(texts)), texts_per_row=2)


def _in_turn(programs: tuple[OnnxProgram, OnnxProgram], rows: Rows, head: str) -> tuple[list[Feed], list[Feed]]:
    """What both give for each row, after one that warms up; in turn, since a host may be shared."""
    found: tuple[list[Feed], list[Feed]] = ([], [])
    batches = list(single_rows(rows, by_text=head == ENCODER and rows.texts_per_row > 0))
    for program in programs:
        program.run(batches[0])
        program.seconds = 0.0
    for batch in counted(batches, "comparing", len(batches)):
        for program, outputs in zip(programs, found, strict=True):
            outputs.append(program.run(batch))
    return found


def _scores(labelled: Labelled, plain: Sequence[Feed], int8: Sequence[Feed], head: str) -> list[Line]:
    """The task's own."""
    found = []
    for outputs in (plain, int8):
        numbers = of_task(outputs, head, labelled.rows.texts_per_row)
        predictions = labelled.task.predictions(numbers, labelled.rows, labelled.examples)
        found.append(labelled.task.scores(predictions, labelled.examples))
    return [Line(name, *(f"{each[name]:.4f}" for each in found)) for name in found[0]]


def _agreement(plain: Sequence[Feed], int8: Sequence[Feed], head: str) -> str:
    """Of vectors their cosine, of a single number its difference, else how often the largest logit is the same one."""
    if head == ENCODER:
        pairs = [
            (one["sentence_embedding"][0], other["sentence_embedding"][0])
            for one, other in zip(plain, int8, strict=True)
        ]
        cosines = [float(a @ b / np.linalg.norm(a) / np.linalg.norm(b)) for a, b in pairs]
        return f"cosine {np.mean(cosines):.4f}, at least {min(cosines):.4f}"
    if plain[0].get("logits", np.zeros(2)).shape[-1] == 1:
        off = [abs(float(one["logits"][0, 0] - other["logits"][0, 0])) for one, other in zip(plain, int8, strict=True)]
        return f"off by {np.mean(off):.3g}, at most {max(off):.3g}"
    same = [
        one[name].argmax(axis=-1) == other[name].argmax(axis=-1)
        for one, other in zip(plain, int8, strict=True)
        for name in one
    ]
    return f"{100 * np.concatenate([each.ravel() for each in same]).mean():.1f} %"


def _alone_and_beside(program: OnnxProgram, rows: Rows) -> tuple[list[Feed], list[Feed]]:
    """Of each row what it gives as a batch of its own, and in a batch of all rows, without what is of padding."""
    together = program.run(rows.batch(range(len(rows)), len(rows), int(rows.lengths.max())))
    alone = [program.run(batch) for batch in single_rows(rows, by_text=False)]
    beside = [
        {name: together[name][row : row + 1, *(slice(size) for size in array.shape[1:])] for name, array in one.items()}
        for row, one in enumerate(alone)
    ]
    return alone, beside


def _cut(rows: Rows) -> Rows:
    """The same, all as long as the shortest, whose last token is that of its end."""
    length = int(np.diff(rows.starts).min())
    texts = [rows.ids[start : start + length] for start in rows.starts[:-1]]
    return make_rows(
        [EncodedText(text.tolist(), length) for text in texts], range(len(rows)), texts_per_row=rows.texts_per_row
    )
