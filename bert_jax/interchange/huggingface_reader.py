"""Weights that others wrote for Hugging Face's BERT, in their several dialects, as our arrays.

Understood: a directory with config.json and model.safetensors or pytorch_model.bin, whole or in several files with an
index, or one such file alone; names with or without "bert.", or with what wrappers of a model put before them;
LayerNorm's gamma and beta; the decoder written out or tied; an encoder without pooler or heads, or with others' heads.
"""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from etils import epath

from bert_jax.config import ModelConfig
from bert_jax.errors import UserError
from bert_jax.interchange.bert_names import HUGGINGFACE
from bert_jax.interchange.foreign import ForeignWeights, Stored, layers_of, listed, no_encoder, take_weights
from bert_jax.interchange.huggingface import from_huggingface_config
from bert_jax.interchange.renames import EVERYTHING, Names, first_names
from bert_jax.interchange.weight_files import INDEX, SUFFIXES, read_file
from bert_jax.storage.json_file import read_json

WHOLE = ("model.safetensors", "pytorch_model.bin")
WEIGHTS = tuple(file for name in WHOLE for file in (name, name + INDEX))
CONFIGS = ("config.json", "bert_config.json")  # the latter of pytorch-pretrained-bert
# What data parallelism, torch.compile and Lightning put before every name.
WRAPPERS = re.compile(r"^(?:(?:module|model|_orig_mod)\.)+")
# What is not read, by the end of its name, and how to get from it what is.
_ADAPTER = "put the adapter into its model, merge_and_unload(), and save that"
_AGAIN = "with transformers 4, BertForPreTraining.from_pretrained(DIR, from_{}=True).save_pretrained(NEW) makes what is"
UNREAD = {
    ("adapter_model.safetensors", "adapter_model.bin"): _ADAPTER,
    ("params.npz",): "export that run with --format=huggingface",
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
    path: epath.PathLike, settings: ModelConfig, parts: tuple[str, ...] = EVERYTHING
) -> ForeignWeights:
    """Read a Hugging Face directory, or a single .safetensors, .bin, .pt, .pth or .ckpt file of BERT's weights.

    A single file has not all settings: the number of heads, the activation, dropout and epsilon are then those of
    `settings`. A directory's config.json has all, and `settings` is not looked at. Others' heads are not
    used, nor what is none of `parts`, beginnings of our paths.

    Raises:
      UserError: there are no such weights, the file is damaged, it is a pickle that would run code, it is of another
        model than BERT, or holds a part of the encoder that has no place in ours.
    """
    file = find_weights(path)
    if file is None:
        raise UserError(f"{path} holds no Hugging Face weights: {what_is_there(path)}")
    stored = _canonical(read_file(file), HUGGINGFACE, str(file))
    config = _config(epath.Path(path), stored, settings, str(file))
    return take_weights(stored, HUGGINGFACE, config, str(file), parts)


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


def _tie(state_dict: dict[str, Stored], written_out: str, tied_to: str, source: str) -> None:
    stored = state_dict.pop(written_out, None)
    if stored is None or state_dict.setdefault(tied_to, stored) is stored:
        return
    # Not a number in both is equal: that is refused for what it is.
    if not np.array_equal(stored.read(), state_dict[tied_to].read(), equal_nan=True):
        raise UserError(f"{source}: {written_out} differs from {tied_to}; only tied output layers can be read")


def _config_file(directory: epath.Path) -> epath.Path | None:
    return next((directory / name for name in CONFIGS if (directory / name).exists()), None)


def _config(path: epath.Path, stored: Mapping[str, Stored], settings: ModelConfig, source: str) -> ModelConfig:
    file = _config_file(path) if path.is_dir() else None
    if file is None:
        return _sizes_of(stored, HUGGINGFACE, settings, source)
    values: dict[str, Any] = read_json(file, dict, "fetch it again")
    return from_huggingface_config(values, str(file))


def _sizes_of(stored: Mapping[str, Stored], names: Names, settings: ModelConfig, source: str) -> ModelConfig:
    """`settings` with the sizes that the arrays have."""
    their_names = first_names(names)

    def shape(path: str) -> tuple[int, ...]:
        return stored[their_names[path]].shape

    try:
        vocab_size, hidden_size = shape("encoder/embeddings/word/embedding")
        config = dataclasses.replace(
            settings,
            vocab_size=vocab_size,
            hidden_size=hidden_size,
            num_hidden_layers=layers_of(stored, names),
            intermediate_size=shape("encoder/layer_0/intermediate/bias")[0],
            max_position_embeddings=shape("encoder/embeddings/position/embedding")[0],
            type_vocab_size=shape("encoder/embeddings/token_type/embedding")[0],
        )
    except (KeyError, ValueError, IndexError):
        raise no_encoder(stored, names, source) from None
    if hidden_size % settings.num_attention_heads:
        raise UserError(
            f"{source} is of hidden_size={hidden_size} and does not say its number of heads; "
            f"give it with --config.model.num_attention_heads, which is {settings.num_attention_heads}"
        )
    return config
