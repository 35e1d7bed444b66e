"""What a student learns from its teacher, in pretraining and in fine-tuning."""

import dataclasses
import re
from typing import Annotated, Literal

from msgspec import Meta

from bert_jax.config.check import require

Weight = Annotated[float, Meta(ge=0, le=1e6)]
Temperature = Annotated[float, Meta(gt=0, le=1000)]


@dataclasses.dataclass
class DistillationConfig:
    """The loss and the start of a student (arXiv 1910.01108); only read where there is a teacher.

    Layers are counted from 0, so that 11 is the last of 12.
    """

    temperature: Temperature = 2.0  # both models' logits are divided by it
    kl_weight: Weight = 5.0  # of temperature^2 times the KL divergence from the teacher's distribution of words
    # its mean is over all tokens but padding, or over masked tokens alone, which takes a fraction of the work
    kl_tokens: Literal["all", "masked"] = "all"
    pretraining_weight: Weight = 2.0  # of the loss without a teacher
    cosine_weight: Weight = 1.0  # of 1 - cosine of the two models' hidden states, a mean over tokens and layers
    # "last", or a layer of the teacher for each of the student's, say 1,3,5,7,9,11
    cosine_layers: str = "last"
    # layers of the teacher with which the student's are initialised, say 0,2,4,7,9,11; "": new weights. Layers by
    # number from 0, as layer_0; not indices into hidden_states
    init_layers: str = ""
    init_transform: bool = False  # the masked-LM head's dense layer is the teacher's at the start, too
    freeze_positions: bool = False  # position embeddings are not trained; with init_layers they are the teacher's

    def layer_pairs(self, student: int, teacher: int, source: str = "--config.distillation.") -> list[tuple[int, int]]:
        """Of models with as many layers, the pairs whose hidden states are compared: (student's, teacher's).

        Raises:
          UserError: cosine_layers are not a layer of the teacher for each of the student's.
        """
        if self.cosine_layers == "last":
            return [(student - 1, teacher - 1)]
        return list(enumerate(_layers(f"{source}cosine_layers", self.cosine_layers, student, teacher)))

    def first_layers(self, student: int, teacher: int, source: str = "--config.distillation.") -> list[int]:
        """The teacher's layers that the student's begin as, [] if they are fresh; UserError as above."""
        return _layers(f"{source}init_layers", self.init_layers, student, teacher) if self.init_layers else []


def _layers(name: str, value: str, student: int, teacher: int) -> list[int]:
    numbers = value.replace(" ", "").split(",")
    good = len(numbers) == student and all(re.fullmatch("[0-9]{1,4}", each) for each in numbers)
    good = good and all(int(each) < teacher for each in numbers)
    remedy = f"give {student} of the teacher's layers, from 0 to {teacher - 1}, with commas between"
    require(good, name, value, remedy)
    return [int(each) for each in numbers]


@dataclasses.dataclass
class TaskDistillationConfig:
    """What a student that is fine-tuned learns from a fine-tuned teacher; only read where there is one.

    The defaults are those of DistilBERT's second distillation (arXiv 1910.01108, section 4.1).
    """

    temperature: Temperature = 2.0  # both models' outputs are divided by it
    kl_weight: Weight = 0.5  # of temperature^2 times the KL divergence from the teacher's distribution
    task_weight: Weight = 0.5  # of the loss on the labels


def without_teacher(settings: DistillationConfig | TaskDistillationConfig, teacher: str) -> list[str]:
    """For people: a line where `settings` were given, and no teacher whom they are about."""
    if teacher or settings == type(settings)():
        return []
    return ["the settings of distillation are not used: there is no --config.teacher"]
