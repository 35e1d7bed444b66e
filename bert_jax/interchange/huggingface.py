"""Our parameters and settings as Hugging Face's BertForPreTraining, or another family's, and its settings as ours.

Its decoder's matrix and bias are the word embedding and cls.predictions.bias: they are not written a second time,
just as transformers itself does not. Reading files that others wrote is in huggingface_reader.py.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import safetensors.numpy
from etils import epath

from bert_jax.config import ModelConfig
from bert_jax.errors import UserError
from bert_jax.interchange.bert_names import BERT
from bert_jax.interchange.conversions import Weights, drop_pairs
from bert_jax.interchange.family import Family
from bert_jax.interchange.huggingface_tokenizer import write_tokenizer
from bert_jax.interchange.renames import ModelOf, Names, to_theirs
from bert_jax.interchange.settings import ACTIVATIONS, our_activation
from bert_jax.model.functional import Params, flatten, nest
from bert_jax.model.pretraining import pretraining_model
from bert_jax.storage.json_file import check_schema, write_json
from bert_jax.text.tokenizer import Tokenizer
from bert_jax.workdir.trained import Trained


def write_huggingface(
    directory: epath.Path, trained: Trained, config: ModelConfig, tokenizer: Tokenizer, family: Family = BERT
) -> None:
    """Write model.safetensors, config.json and the tokenizer's files into `directory`."""
    settings = to_huggingface_config(config, tokenizer.pad_id, family) | ends_of_text(tokenizer, family)
    write_tokenizer(tokenizer, directory, config.max_position_embeddings, takes_types(config, family))
    write_model(directory, to_huggingface(trained.params, config, family, tokenizer.pad_id), settings)


def write_model(directory: epath.Path, state_dict: Mapping[str, np.ndarray], settings: Mapping[str, Any]) -> None:
    """Write model.safetensors and config.json."""
    write_json(directory / "config.json", settings, sort_keys=True)
    weights = safetensors.numpy.save(dict(state_dict), metadata={"format": "pt"})
    (directory / "model.safetensors").write_bytes(weights)


def to_huggingface(
    params: Params, config: ModelConfig, family: Family = BERT, pad_id: int = 0
) -> dict[str, np.ndarray]:
    """The state dict of the family's pretraining model, float32, of our parameters (nested dict of host arrays).

    Raises:
      UserError: `params` are not the whole model of `config`.
    """
    weights = family.to_file(without_lost(Weights(flatten(params), config), family), pad_id)
    return state_dict_of(weights, family.names, family)


def without_lost(weights: Weights, family: Family) -> Weights:
    """A pretraining model without what the family has no place for beside its encoder."""
    return weights if family.pair_class else drop_pairs(weights)


def state_dict_of(
    weights: Weights, names: Names, family: Family, model_of: ModelOf = pretraining_model
) -> dict[str, np.ndarray]:
    """All arrays of a file, float32, of the weights that it is to hold."""
    arrays = to_theirs(nest(weights.arrays), names, weights.config, model_of)
    arrays |= {f"{names.encoder}{name}": array for name, array in family.constants(weights.config).items()}
    return {name: array.astype(np.float32, copy=False) for name, array in arrays.items()}


def to_huggingface_config(config: ModelConfig, pad_id: int, family: Family = BERT) -> dict[str, Any]:
    """The content of config.json, transformers' BertConfig or another family's, of a pretraining model."""
    theirs = family.to_file(Weights({}, config), pad_id).config
    named = {their_name: getattr(theirs, ours) for ours, their_name in family.settings.named().items()}
    activation = family.settings.CALLED.get("hidden_act", "hidden_act")
    return {
        "architectures": [family.pretraining_class(config)],
        "model_type": family.model_type,
        "pad_token_id": pad_id,
        **named,
        activation: ACTIVATIONS[config.hidden_act][0],
        **family.fixed,
    }


def takes_types(config: ModelConfig, family: Family) -> bool:
    """Whether the family's model takes token_type_ids other than 0."""
    return family.to_file(Weights({}, config), 0).config.type_vocab_size > 1


def ends_of_text(tokenizer: Tokenizer, family: Family) -> dict[str, int]:
    """What config.json says of the vocabulary beside the padding: where the family's own says it."""
    return {"bos_token_id": tokenizer.cls_id, "eos_token_id": tokenizer.sep_id} if family.says_ends else {}


def file_settings(values: Mapping[str, Any], family: Family, source: str) -> tuple[ModelConfig, int]:
    """The settings that the arrays beside a config.json have, and the id of padding.

    What it leaves out is as in the family's base, there and here.

    Raises:
      UserError: it is of a model that is not as ours are, or a value of it cannot be; names the field and `source`.
    """
    for name, value in family.fixed.items():
        if values.get(name, value) != value:
            kind = family.names.family
            raise UserError(f"{source} says {name}={values[name]!r:.80}; only {kind} with {name}={value!r} can be read")
    theirs = check_schema(values, family.settings, source, f"give the config.json of a {family.names.family} model")
    name = family.settings.CALLED.get("hidden_act", "hidden_act")
    activation = our_activation(getattr(theirs, name))
    if not activation:
        raise UserError(f"{source} says {name}={getattr(theirs, name)!r:.80}; only gelu, exact or tanh, can be read")
    config, pad_id = theirs.to_ours(activation, source), getattr(theirs, "pad_token_id", 0)
    if family.from_file(Weights({}, config), pad_id).config.max_position_embeddings < 1:
        raise UserError(
            f"{source} says max_position_embeddings={config.max_position_embeddings}, of which "
            f"pad_token_id={pad_id} leaves none; fetch it again"
        )
    return config, pad_id
