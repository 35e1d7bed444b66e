"""Weights that others wrote for Hugging Face's BERT and its family, in their several dialects, as our arrays.

Understood: a directory with config.json and model.safetensors or pytorch_model.bin, whole or in several files with an
index, or one such file alone; names with or without "bert.", or with what wrappers of a model put before them;
LayerNorm's gamma and beta; the decoder written out or tied; an encoder without pooler or heads, or with others' heads.
"""

import dataclasses
import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
from etils import epath

from bert_jax.config import ModelConfig
from bert_jax.errors import UserError
from bert_jax.interchange.bert_names import BERT
from bert_jax.interchange.conversions import Weights
from bert_jax.interchange.families import FAMILIES, family_of_type
from bert_jax.interchange.family import Family
from bert_jax.interchange.foreign import (
    FRESH,
    ForeignWeights,
    Stored,
    check_like_bert,
    layers_of,
    listed,
    no_encoder,
    take_weights,
)
from bert_jax.interchange.huggingface import file_settings
from bert_jax.interchange.renames import EVERYTHING, Names, first_names
from bert_jax.interchange.weight_files import INDEX, SUFFIXES, read_file
from bert_jax.model.embeddings import POSITIONS, TOKEN_TYPES, WORDS
from bert_jax.model.pretraining import MASKED_LM
from bert_jax.storage.json_file import read_json

WHOLE = ("model.safetensors", "pytorch_model.bin")
WEIGHTS = tuple(file for name in WHOLE for file in (name, name + INDEX))
CONFIGS = ("config.json", "bert_config.json")  # the latter of pytorch-pretrained-bert
_PUBLISHED_PAD_ID = 1  # RoBERTa's, by which its positions are counted; a file without a config.json does not say it
# What data parallelism, torch.compile and Lightning put before every name.
WRAPPERS = re.compile(r"^(?:(?:module|model|_orig_mod)\.)+")
# What is not read, by the end of its name, and how to get from it what is.
_ADAPTER = "put the adapter into its model, merge_and_unload(), and save that"
_AGAIN = "with transformers 4, BertForPreTraining.from_pretrained(DIR, from_{}=True).save_pretrained(NEW) makes what is"
UNREAD = {
    ("adapter_model.safetensors", "adapter_model.bin"): _ADAPTER,
    ("params.npz",): "give a directory of export --format=numpy, with its config.json",
    (".msgpack",): _AGAIN.format("flax"),
    (".h5",): _AGAIN.format("tf"),
    (".ot", ".onnx", ".gguf", ".npz", ".pkl", ".pb"): "give the torch or safetensors weights that it was made of",
}


def find_weights(path: epath.PathLike) -> epath.Path | None:
    """The file of weights that `path` is, or that lies beside a config.json in it; None if it is neither."""
    path = epath.Path(path)
    if not path.is_dir():
        return path if path.exists() and path.name.endswith(SUFFIXES) else None
    found = [path / name for name in WEIGHTS if (path / name).exists() and _config_file(path)]
    return found[0] if found else None


def read_huggingface(
    path: epath.PathLike, settings: ModelConfig, parts: tuple[str, ...] = EVERYTHING, absent: str = FRESH
) -> ForeignWeights:
    """Read a Hugging Face directory, or a single .safetensors, .bin, .pt, .pth or .ckpt file of BERT's weights.

    A single file has not all settings: the number of heads, the activation, dropout and epsilon are then those of
    `settings`. A directory's config.json has all. Others' heads are not used, nor what is none of `parts`,
    beginnings of our paths. `absent` as for take_weights.

    Raises:
      UserError: there are no such weights, `settings` are of layers that they do not have, the file is damaged, it is
        a pickle that would run code, it is of another model than BERT, or holds a part of the encoder that has no
        place in ours.
    """
    file = find_weights(path)
    if file is None:
        raise UserError(f"{path} holds no Hugging Face weights: {what_is_there(path)}")
    values = _config_values(epath.Path(path))
    if values and "model_type" in values.content:  # before gigabytes are read
        check_like_bert(settings, file, _family(values, (), str(file)).settings.ALWAYS)
    held = read_file(file)
    family = _family(values, held, str(file))
    check_like_bert(settings, file, family.settings.ALWAYS)
    stored = _canonical(held, family.names, str(file))
    if values is None:
        config, pad_id = _sizes_of(stored, family, settings, str(file)), _PUBLISHED_PAD_ID
    else:
        config, pad_id = file_settings(_without_what_ties(values.content, held, family.names), family, values.source)
    found = take_weights(stored, family.names, config, str(file), parts, absent)
    arrays, config = family.from_file(Weights(found.arrays, config), pad_id)
    return dataclasses.replace(found, arrays=dict(arrays), config=config)


def what_is_there(path: epath.PathLike) -> str:
    """Why `path` is not read as weights, and what to do: it has none, others than are read, or lacks something."""
    path = epath.Path(path)
    if not path.exists():
        return "there is nothing of that name; correct the path"
    there = sorted(file.name for file in path.iterdir()) if path.is_dir() else [path.name]
    if found := [name for name in there if name in WEIGHTS]:
        return f"it holds {found[0]} and no config.json; put the model's beside it, or give the file itself"
    if shards := [name for name in there if re.search(r"-\d+-of-\d+\.(safetensors|bin)$", name)]:
        return f"it holds {listed(shards, 2)} without their index, NAME{INDEX}; put it there, with a config.json"
    for ends, remedy in UNREAD.items():
        if unread := [name for name in there if name.endswith(ends)]:
            return f"{listed(unread, 1)} is not read; {remedy}"
    if files := [name for name in there if name.endswith(SUFFIXES) and not name.endswith(INDEX)]:
        return f"it holds {listed(files)}; give such a file itself"
    return f"give a directory with config.json and one of {', '.join(WEIGHTS)}, or one such file"


def _canonical(arrays: Mapping[str, Stored], names: Names, source: str) -> dict[str, Stored]:
    """The state dict as today's pretraining model has it, decoder tied."""
    state_dict: dict[str, Stored] = {}
    for name, array in arrays.items():
        today = _todays_name(name, names)
        if today in state_dict:
            raise UserError(f"{source} holds {listed([today])} twice, once as {listed([name])}; remove one")
        if today not in names.buffers:
            state_dict[today] = array
    for written_out, tied_to in names.tied.items():
        _tie(state_dict, written_out, tied_to, source)
    return state_dict


def _todays_name(name: str, names: Names) -> str:
    name = WRAPPERS.sub("", name)
    if name.startswith(names.top_modules):
        name = names.encoder + name
    for older, today in names.older.items():
        name = name.replace(older, today)
    return name


def _without_what_ties(values: dict[str, Any], held: Iterable[str], names: Names) -> dict[str, Any]:
    """The content of a config.json; of weights without a masked-LM head it need not say that this head is tied."""
    heads = tuple(module.theirs for module in names.modules if module.ours.startswith(MASKED_LM))
    if any(_todays_name(name, names).startswith(heads) for name in held):
        return values
    return {name: value for name, value in values.items() if name != "tie_word_embeddings"}


def _tie(state_dict: dict[str, Stored], written_out: str, tied_to: str, source: str) -> None:
    stored = state_dict.pop(written_out, None)
    if stored is None or state_dict.setdefault(tied_to, stored) is stored:
        return
    # Not a number in both is equal: that is refused for what it is.
    if not np.array_equal(stored.read(), state_dict[tied_to].read(), equal_nan=True):
        raise UserError(f"{source}: {written_out} differs from {tied_to}; only tied output layers can be read")


def _config_file(directory: epath.Path) -> epath.Path | None:
    return next((directory / name for name in CONFIGS if (directory / name).exists()), None)


class _Values(NamedTuple):
    """The content of a config.json, and its name."""

    content: dict[str, Any]
    source: str


def _config_values(path: epath.Path) -> _Values | None:
    file = _config_file(path) if path.is_dir() else None
    return file and _Values(read_json(file, dict, "fetch it again"), str(file))


def _family(values: _Values | None, held: Iterable[str], source: str) -> Family:
    """The family that a config.json says, or whose names these are."""
    if values and "model_type" in values.content:
        return family_of_type(values.content["model_type"], values.source)
    held = list(held)
    for family in FAMILIES.values():
        if layers_of((_todays_name(name, family.names) for name in held), family.names):
            return family
    raise no_encoder(held, BERT.names, source)


def _sizes_of(stored: Mapping[str, Stored], family: Family, settings: ModelConfig, source: str) -> ModelConfig:
    """`settings` with the sizes that the arrays have, and what every model of the family is."""
    their_names = first_names(family.names)

    def shape(path: str, if_absent: tuple[int, ...] | None = None) -> tuple[int, ...]:
        if path not in their_names and if_absent is not None:
            return if_absent
        return stored[their_names[path]].shape

    layers = layers_of(stored, family.names)
    try:
        vocab_size, table_width = shape(WORDS)
        sizes = {
            "vocab_size": vocab_size,
            "hidden_size": shape("encoder/layer_0/attention/query/bias")[0],
            "intermediate_size": shape("encoder/layer_0/intermediate/bias")[0],
            "max_position_embeddings": shape(POSITIONS, if_absent=(settings.max_position_embeddings,))[0],
            "type_vocab_size": shape(TOKEN_TYPES, if_absent=(0,))[0],
            **_sharing(family, layers, table_width, settings),
        }
    except (KeyError, ValueError, IndexError):
        raise no_encoder(stored, family.names, source) from None
    config = dataclasses.replace(settings, **{**sizes, **family.settings.ALWAYS})
    if config.hidden_size % settings.num_attention_heads:
        raise UserError(
            f"{source} is of hidden_size={config.hidden_size} and does not say its number of heads, which is not "
            f"{settings.num_attention_heads}; put its config.json beside it and give the directory (to pretrain or "
            "finetune also --config.model.num_attention_heads, in bert_jax.load its config)"
        )
    return config


def _sharing(family: Family, layers: int, table_width: int, settings: ModelConfig) -> dict[str, int]:
    """Of a file with as many layers: where they are shared, it does not say how often each of them runs."""
    if "num_hidden_groups" not in family.settings.named():
        return {"num_hidden_layers": layers, "num_hidden_groups": 0, "embedding_size": 0}
    return {"num_hidden_groups": layers, "embedding_size": table_width}
