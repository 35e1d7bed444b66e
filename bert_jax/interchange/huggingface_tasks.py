"""A fine-tuned model as transformers' BertFor... of its task, or another family's; a bi-encoder as BertModel.

What transformers has no place for is computed into the weights: a regression's outputs are on the scale of its labels.
"""

import functools
from typing import Any, NamedTuple

import numpy as np
from etils import epath

from bert_jax.config import ModelConfig
from bert_jax.interchange.bert_names import BERT
from bert_jax.interchange.conversions import Weights, drop_pairs
from bert_jax.interchange.families import ENCODER
from bert_jax.interchange.family import Family
from bert_jax.interchange.huggingface import (
    ends_of_text,
    state_dict_of,
    takes_types,
    to_huggingface_config,
    write_model,
)
from bert_jax.interchange.huggingface_tokenizer import write_tokenizer
from bert_jax.interchange.renames import ModelOf, has_module
from bert_jax.model.functional import Params, flatten
from bert_jax.model.tasks import task_model
from bert_jax.text.tokenizer import Tokenizer
from bert_jax.workdir.fine_tuned import FineTuned


class Class(NamedTuple):
    """What AutoModelFor... makes of a task's model."""

    name: str  # BERT's; other families' begin otherwise
    head: str  # ours, model/tasks.py
    problem_type: str | None = None  # by which BertForSequenceClassification chooses a loss

    def of(self, family: Family) -> str:
        """What it is called in that family."""
        return family.classes + self.name.removeprefix(BERT.classes)


CLASSES = {
    "classification": Class("BertForSequenceClassification", "sequence", "single_label_classification"),
    "multilabel": Class("BertForSequenceClassification", "sequence", "multi_label_classification"),
    "regression": Class("BertForSequenceClassification", "sequence", "regression"),
    "tagging": Class("BertForTokenClassification", "token"),
    "qa": Class("BertForQuestionAnswering", "span"),
    "choice": Class("BertForMultipleChoice", "choice"),
    "similarity": Class("BertModel", "embedding"),
}
_SCALE = ("mean", "sd")  # a regression's settings


def write_task_model(
    directory: epath.Path, model: FineTuned, params: Params, tokenizer: Tokenizer, family: Family = BERT
) -> None:
    """Write model.safetensors, config.json and the tokenizer's files; `params` are nested dicts of host arrays.

    The tokenizer cuts at the length that the model was trained with, where it is told to cut.
    """
    head, pad_id = CLASSES[model.kind].head, tokenizer.pad_id
    if head == ENCODER:
        state_dict = encoder_to_huggingface(params, model.model, family, pad_id)
    else:
        params = on_the_scale_of_the_labels(model, params)
        outputs = len(params["classifier"]["bias"])
        state_dict = task_to_huggingface(params, head, outputs, model.model, family, pad_id)
    write_model(directory, state_dict, task_config(model, pad_id, family) | ends_of_text(tokenizer, family))
    write_tokenizer(tokenizer, directory, model.text.max_length, takes_types(model.model, family))


def write_encoder(
    directory: epath.Path, params: Params, config: ModelConfig, tokenizer: Tokenizer, max_length: int, family: Family
) -> None:
    """Write the encoder of `params` alone, say as BertModel, and the tokenizer, which cuts at `max_length`."""
    settings = to_huggingface_config(config, tokenizer.pad_id, family) | ends_of_text(tokenizer, family)
    settings |= {"architectures": [f"{family.classes}Model"]}
    write_model(directory, encoder_to_huggingface(params, config, family, tokenizer.pad_id), settings)
    write_tokenizer(tokenizer, directory, max_length, takes_types(config, family))


def task_to_huggingface(
    params: Params, head: str, outputs: int, config: ModelConfig, family: Family = BERT, pad_id: int = 0
) -> dict[str, np.ndarray]:
    """The state dict, float32, of a model with this head (model/tasks.py), of nested dicts of host arrays."""
    weights = family.to_file(Weights(flatten(params), config), pad_id)
    return state_dict_of(weights, family.task_names(head), family, _with_head(head, outputs))


def encoder_to_huggingface(
    params: Params, config: ModelConfig, family: Family = BERT, pad_id: int = 0
) -> dict[str, np.ndarray]:
    """BertModel's state dict, float32, of a model's encoder, with its pooler if it has one and the family, too."""
    weights = Weights(flatten({"encoder": params["encoder"]}), config)
    names = family.encoder_names()
    if not has_module(names, "encoder/pooler"):
        weights = drop_pairs(weights)
    weights = family.to_file(weights, pad_id)
    head = "sequence" if any(path.startswith("encoder/pooler/") for path in weights.arrays) else "token"
    return state_dict_of(weights, names, family, _with_head(head, outputs=0))


def _with_head(head: str, outputs: int) -> ModelOf:
    return functools.partial(task_model, head, outputs)


def settings_of_export(model: FineTuned) -> dict[str, Any]:
    """The task's settings by which outputs of the exported model are read: a regression's are on the labels' scale."""
    return {name: value for name, value in model.settings.items() if name not in _SCALE}


def task_config(model: FineTuned, pad_id: int, family: Family = BERT) -> dict[str, Any]:
    """The content of config.json: labels in the order of the outputs, and what the task's class reads beside them."""
    theirs = CLASSES[model.kind]
    settings = to_huggingface_config(model.model, pad_id, family) | {"architectures": [theirs.of(family)]}
    settings |= {**family.of_a_task(model.model), **labels_of(model)}
    if theirs.problem_type:
        settings["problem_type"] = theirs.problem_type
    return settings


def labels_of(model: FineTuned) -> dict[str, Any]:
    """What config.json says of the outputs: labels in their order, and from which probability a label is given."""
    settings: dict[str, Any] = {}
    labels = ["score"] if model.kind == "regression" else model.settings.get("labels", ())
    if labels:
        settings["id2label"] = {str(number): label for number, label in enumerate(labels)}
        settings["label2id"] = {label: number for number, label in enumerate(labels)}
    if thresholds := model.settings.get("thresholds"):
        settings["thresholds"] = thresholds  # of probabilities; transformers keeps it and has no use for it
    return settings


def on_the_scale_of_the_labels(model: FineTuned, params: Params) -> Params:
    """A regression learns (label - mean) / sd: its last layer, times sd and plus mean, gives the label."""
    if model.kind != "regression":
        return params
    mean, sd = (np.float32(model.settings[name]) for name in _SCALE)
    kernel, bias = params["classifier"]["kernel"] * sd, params["classifier"]["bias"] * sd + mean
    return {**params, "classifier": {"kernel": kernel, "bias": bias}}
