"""A model that becomes a program of another runtime (serving/), and what lies beside it: settings and tokenizer.

These are the files that lie beside Hugging Face's weights, so that AutoTokenizer and optimum take the directory; of a
model that is none of transformers', the settings are our own, without a model_type, and optimum refuses it.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from etils import epath

from bert_jax.config import ModelConfig
from bert_jax.interchange.conversions import Weights, add_type_to_positions, add_types
from bert_jax.interchange.families import ENCODER, without_place
from bert_jax.interchange.family import Family
from bert_jax.interchange.huggingface import ends_of_text, takes_types, to_huggingface_config
from bert_jax.interchange.huggingface_tasks import labels_of, on_the_scale_of_the_labels, task_config
from bert_jax.interchange.huggingface_tokenizer import write_tokenizer
from bert_jax.model.functional import Params, flatten
from bert_jax.model.pretraining import MASKED_LM
from bert_jax.storage.json_file import write_json
from bert_jax.text.tokenizer import Tokenizer
from bert_jax.workdir.fine_tuned import FineTuned


@dataclasses.dataclass(frozen=True)
class Servable:
    """A trained model with one head, or none, on the host."""

    params: Params  # nested dict of float32 NumPy arrays; may hold more than the head needs
    config: ModelConfig
    head: str  # MASKED_LM, ENCODER, or a task's (model/tasks.py)
    tokenizer: Tokenizer
    max_length: int  # at which the tokenizer cuts
    family: Family  # as which its settings are written
    task: FineTuned | None = None
    pooling: str = "mean"  # of a text's hidden states, where there is no head (model/tasks.py's POOLINGS)
    normalized: bool = False  # that vector has length 1, whatever else is asked for

    @property
    def has_types(self) -> bool:
        """Whether its tokenizer gives token_type_ids."""
        return takes_types(self.config, self.family)

    @property
    def is_of_transformers(self) -> bool:
        """Whether a config.json of its family can say what it is."""
        return not without_place(self.config)

    @property
    def outputs(self) -> int:
        """How many logits there are; 0 without a head."""
        if self.head == ENCODER:
            return 0
        return self.config.vocab_size if self.head == MASKED_LM else len(self.params["classifier"]["bias"])

    def weights(self) -> Weights:
        """By our paths, of a model that reads token types exactly if it is given any, on the scale of its labels."""
        params = self.params
        if self.task is not None and self.head != ENCODER:
            params = on_the_scale_of_the_labels(self.task, params)
        weights = Weights(flatten(params), self.config)
        if self.has_types == bool(self.config.type_vocab_size):
            return weights
        if self.config.position_embedding != "learned" and not self.has_types:
            return weights  # there is no table to add the one type to; a program that is given none takes that one
        return add_types(weights, 2) if self.has_types else add_type_to_positions(weights)


def write_settings(directory: epath.Path, model: Servable) -> None:
    """Write config.json and the tokenizer's files."""
    settings = {**_settings(model), **(ends_of_text(model.tokenizer, model.family) if model.is_of_transformers else {})}
    write_json(directory / "config.json", settings, sort_keys=True)
    write_tokenizer(model.tokenizer, directory, model.max_length, model.has_types)


def _settings(model: Servable) -> Mapping[str, Any]:
    if not model.is_of_transformers:
        labels = labels_of(model.task) if model.task is not None and model.head != ENCODER else {}
        return dataclasses.asdict(model.config) | labels
    if model.task is not None and model.head != ENCODER:
        return task_config(model.task, model.tokenizer.pad_id, model.family)
    alone = dataclasses.replace(model.config, next_sentence=False)
    settings = to_huggingface_config(alone, model.tokenizer.pad_id, model.family)
    kind = "Model" if model.head == ENCODER else "ForMaskedLM"
    return settings | {"architectures": [f"{model.family.classes}{kind}"]}
