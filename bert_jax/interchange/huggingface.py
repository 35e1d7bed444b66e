"""Our parameters and settings as Hugging Face's BertForPreTraining, and back.

Its decoder's matrix and bias are the word embedding and cls.predictions.bias: they are not written a second time,
just as transformers itself does not. Reading files that others wrote is in huggingface_reader.py.
"""

import json
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import safetensors.numpy
from etils import epath

from bert_jax.config import ModelConfig
from bert_jax.errors import UserError
from bert_jax.interchange.bert_names import HUGGINGFACE
from bert_jax.interchange.foreign import ForeignSettings
from bert_jax.interchange.huggingface_tokenizer import write_tokenizer
from bert_jax.interchange.renames import to_ours, to_theirs
from bert_jax.model.functional import Params
from bert_jax.storage.json_file import check_schema
from bert_jax.text.tokenizer import Tokenizer
from bert_jax.workdir.trained import Trained

# Settings that both sides call the same.
SAME_NAME = (
    "attention_probs_dropout_prob",
    "hidden_dropout_prob",
    "hidden_size",
    "initializer_range",
    "intermediate_size",
    "layer_norm_eps",
    "max_position_embeddings",
    "num_attention_heads",
    "num_hidden_layers",
    "type_vocab_size",
    "vocab_size",
)
# Their spellings of each activation, the first of which we write. The tanh ones are the same formula, rounded apart.
ACTIVATIONS: dict[Literal["gelu", "gelu_tanh"], tuple[str, ...]] = {
    "gelu": ("gelu", "gelu_python"),
    "gelu_tanh": ("gelu_new", "gelu_pytorch_tanh", "gelu_fast"),
}
# What our model is; another value of these makes another model.
FIXED = {"model_type": "bert", "position_embedding_type": "absolute", "is_decoder": False, "tie_word_embeddings": True}


def write_huggingface(directory: epath.Path, trained: Trained, config: ModelConfig, tokenizer: Tokenizer) -> None:
    """Write model.safetensors, config.json and the tokenizer's files into `directory`."""
    write_tokenizer(tokenizer, directory, config.max_position_embeddings)
    write_model(directory, to_huggingface(trained.params, config), to_huggingface_config(config, tokenizer.pad_id))


def write_model(directory: epath.Path, state_dict: Mapping[str, np.ndarray], settings: Mapping[str, Any]) -> None:
    """Write model.safetensors and config.json."""
    (directory / "config.json").write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n")
    weights = safetensors.numpy.save(dict(state_dict), metadata={"format": "pt"})
    (directory / "model.safetensors").write_bytes(weights)


def to_huggingface(params: Params, config: ModelConfig) -> dict[str, np.ndarray]:
    """BertForPreTraining's state dict, float32, of our parameters (nested dict of host arrays).

    Raises:
      UserError: `params` are not the whole model of `config`.
    """
    arrays = to_theirs(params, HUGGINGFACE, config)
    return {name: array.astype(np.float32, copy=False) for name, array in arrays.items()}


def from_huggingface(state_dict: Mapping[str, np.ndarray], config: ModelConfig) -> Params:
    """Our parameters of a state dict as `to_huggingface` gives it, bit for bit.

    Raises:
      UserError: an array is none of ours, is missing, or has another shape than `config` says.
    """
    return to_ours(state_dict, HUGGINGFACE, config, "the state dict")


def to_huggingface_config(config: ModelConfig, pad_id: int) -> dict[str, Any]:
    """The content of config.json, transformers' BertConfig."""
    return {
        "architectures": ["BertForPreTraining"],
        "hidden_act": ACTIVATIONS[config.hidden_act][0],
        "pad_token_id": pad_id,
        **{name: getattr(config, name) for name in SAME_NAME},
        **FIXED,
    }


def from_huggingface_config(values: Mapping[str, Any], source: str) -> ModelConfig:
    """Our settings of the content of a config.json; what it leaves out is as in BERT-base, there and here.

    Raises:
      UserError: it is of a model that is not BERT as ours is, or a value of it cannot be; names the field and `source`.
    """
    for name, value in FIXED.items():
        if values.get(name, value) != value:
            raise UserError(f"{source} says {name}={values[name]!r:.80}; only BERT with {name}={value!r} can be read")
    settings = check_schema(values, ForeignSettings, source, "give the config.json of a BERT model")
    activation = [ours for ours, theirs in ACTIVATIONS.items() if settings.hidden_act in theirs]
    if not activation:
        raise UserError(f"{source} says hidden_act={settings.hidden_act!r:.80}; only gelu, exact or tanh, can be read")
    return settings.to_ours(activation[0], source)
