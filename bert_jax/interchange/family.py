"""What Hugging Face's files of one family of models have of their own; a family's file (bert_names.py) fills it in."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from bert_jax.config import ModelConfig
from bert_jax.interchange.conversions import Weights
from bert_jax.interchange.renames import Module, Names
from bert_jax.interchange.settings import Settings

# Per kind of module, the last part of a name: ours -> (Hugging Face's, the originals'); ".T": transposed there.
Kind = Mapping[str, tuple[str, str]]
DENSE: Kind = {"kernel": ("weight.T", "kernel"), "bias": ("bias", "bias")}
NORM: Kind = {"scale": ("weight", "gamma"), "bias": ("bias", "beta")}
TABLE: Kind = {"embedding": ("weight", "")}
OUTPUT_BIAS: Kind = {"output_bias": ("bias", "output_bias")}
PAIR: Kind = {"kernel": ("weight.T", "output_weights.T"), "bias": ("bias", "output_bias")}
OPTIONAL = ("encoder/pooler/", "masked_lm/", "next_sentence/")  # what a file may lack

Conversion = Callable[[Weights, int], Weights]  # with the id of padding


@dataclasses.dataclass(frozen=True)
class Family:
    """How transformers names and writes the models of one family; messages call it `names.family`."""

    model_type: str  # in config.json
    classes: str  # its classes begin with this
    names: Names  # of the pretraining model's parameters
    heads: Mapping[str, Sequence[Module]]  # of a task (model/tasks.py): what it has beside the encoder, or otherwise
    settings: type[Settings]  # the keys of config.json that are ours, too
    of_a_task: Callable[[ModelConfig], Mapping[str, Any]]  # settings of a task's model only
    fixed: Mapping[str, Any]  # further keys of config.json; with another value it is another model
    to_file: Conversion  # a model of ours as one that its files can hold, and back
    from_file: Conversion
    # arrays in its files that are no parameters, by their names behind names.encoder
    constants: Callable[[ModelConfig], Mapping[str, np.ndarray]] = lambda config: {}
    pair_class: str = ""  # of the pretraining model with pairs; "": the family has none, and no pooler
    lacks: Callable[[ModelConfig], Sequence[str]] = lambda config: ()  # settings that no file of it can hold
    paper: str = ""
    says_ends: bool = False  # config.json has bos_token_id and eos_token_id

    def pretraining_class(self, config: ModelConfig) -> str:
        """Which class of transformers a pretraining model is."""
        return self.pair_class if config.next_sentence and self.pair_class else f"{self.classes}ForMaskedLM"

    def task_names(self, head: str) -> Names:
        """Of a model with this task's head."""
        modules = {module.ours: module for module in [*self.names.modules, *self.heads[head]]}
        return dataclasses.replace(self.names, modules=list(modules.values()), heads="a task's head")

    def encoder_names(self) -> Names:
        """Of the encoder alone, say BertModel: nothing stands before its names."""
        prefix = self.names.encoder
        modules = [module for module in self.names.modules if module.ours.startswith("encoder/")]
        return dataclasses.replace(
            self.names,
            modules=[module._replace(theirs=module.theirs.removeprefix(prefix)) for module in modules],
            encoder="",
            layer=self.names.layer.removeprefix(prefix),
            heads="no head",
        )


def huggingface(rows: Sequence[tuple[str, str, Kind]]) -> list[Module]:
    """A table of ours, theirs and kind."""
    return [Module(ours, theirs, {leaf: name for leaf, (name, _) in kind.items()}) for ours, theirs, kind in rows]


def original(rows: Sequence[tuple[str, str, Kind]]) -> list[Module]:
    """The same of the variables that the original's programs have."""
    return [Module(ours, theirs, {leaf: name for leaf, (_, name) in kind.items()}) for ours, theirs, kind in rows]


def unchanged(weights: Weights, pad_id: int) -> Weights:
    """The conversion of a family whose files are as our models are."""
    del pad_id
    return weights


def classifiers() -> dict[str, list[Module]]:
    """The heads of a family in which all are one dense layer, our `classifier`."""
    names = {"sequence": "classifier", "token": "classifier", "span": "qa_outputs", "choice": "classifier"}
    return {head: huggingface([("classifier", theirs, DENSE)]) for head, theirs in names.items()}
