"""What a loaded model is, beside its weights and its tokenizer."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from bert_jax.config import ModelConfig
from bert_jax.interchange.foreign import listed
from bert_jax.interchange.own_settings import NOTHING_SAID, OwnSettings
from bert_jax.model.functional import flatten
from bert_jax.model.pretraining import MASKED_LM, NEXT_SENTENCE, parts_of
from bert_jax.tasks.task import Task
from bert_jax.workdir.fine_tuned import FineTuned


@dataclasses.dataclass(frozen=True)
class ModelDescription:
    """How a model is used if nothing else is asked for."""

    name: str  # where it is from
    config: ModelConfig
    max_length: int  # tokens of a text
    task: Task | None = None
    fine_tuned: FineTuned | None = None  # where there is a task
    own: OwnSettings = NOTHING_SAID  # what it says of its vectors
    heads: Sequence[str] = ()  # others' names of what is in the file of another task's head, and not read
    dtype: str = "float32"  # of activations and products

    def what(self, params: Mapping[str, Any]) -> str:
        """For people: "a pretrained encoder with a masked-LM head"."""
        if self.task:
            return f"a model fine-tuned for {self.task.kind}"
        names = {MASKED_LM: "a masked-LM head", NEXT_SENTENCE: "a next-sentence head"}
        there = [name for part, name in names.items() if part in parts_of(flatten(dict(params)))]
        unread = f" (and {listed(self.heads, 2)}, which is not read)" if self.heads else ""
        return f"a pretrained encoder with {' and '.join(there) or 'no head'}{unread}"
