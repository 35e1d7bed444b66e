"""Weights that others wrote for Hugging Face's BERT, in their several dialects, as our arrays.

Understood: a directory with config.json and model.safetensors or pytorch_model.bin, or one such file alone; names with
or without "bert."; LayerNorm's gamma and beta; the decoder written out or tied; an encoder without pooler or heads.
Not understood: weights cut into several files.
"""

import dataclasses
import io
import json
import re
from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np
import safetensors
from absl import logging
from etils import epath

from bert_jax.config import ModelConfig
from bert_jax.errors import UserError
from bert_jax.interchange import names
from bert_jax.interchange.huggingface import from_huggingface_config

WEIGHTS = ("model.safetensors", "pytorch_model.bin")
TORCH_SUFFIXES = (".bin", ".pt", ".pth")
# What an encoder may come without, each as a whole: it is initialised afresh then.
OPTIONAL = ("encoder/pooler/", "masked_lm/", "next_sentence/")
# Buffers without weights that older releases saved.
IGNORED = ("bert.embeddings.position_ids", "bert.embeddings.token_type_ids")
DTYPES = {"F64": np.float64, "F32": np.float32, "F16": np.float16, "BF16": jnp.bfloat16, "I64": np.int64}


@dataclasses.dataclass(frozen=True)
class ForeignWeights:
    """What a file gave."""

    arrays: dict[str, np.ndarray]  # our path -> float32 array in our shape
    config: ModelConfig
    missing: list[str]  # our paths that it has nothing for


def find_weights(path: epath.PathLike) -> epath.Path | None:
    """The file of weights that `path` is, or that lies beside a config.json in it; None if it is neither."""
    path = epath.Path(path)
    if not path.is_dir():
        return path if path.exists() and path.suffix in (".safetensors", *TORCH_SUFFIXES) else None
    found = [path / name for name in WEIGHTS if (path / name).exists() and (path / "config.json").exists()]
    return found[0] if found else None


def read_huggingface(path: epath.PathLike, settings: ModelConfig) -> ForeignWeights:
    """Read a Hugging Face directory, or a single .safetensors, .bin, .pt or .pth file of BERT's weights.

    A single file does not say everything: the number of heads, the activation, dropout and epsilon are then those of
    `settings`. Of a directory, config.json says all, and `settings` nothing.

    Raises:
      UserError: there are no such weights, the file is damaged, it is a pickle that would run code, it is of another
        model than BERT, or holds an array that has no place in ours.
    """
    file = find_weights(path)
    if file is None:
        raise UserError(f"{path} holds no Hugging Face weights (config.json beside {' or '.join(WEIGHTS)})")
    state_dict = _canonical(_read(file), str(file))
    config = _config(epath.Path(path), state_dict, settings, str(file))
    table = {param.name: param for param in names.parameters(config, "huggingface")}
    missing = _missing(table, state_dict)
    wanted = {name: param for name, param in table.items() if param.path not in missing}
    names.check_shapes({name: param.their_shape for name, param in wanted.items()}, state_dict, str(file))
    if missing:
        logging.warning("%s does not hold %s: initialised afresh", file, ", ".join(missing))
    return ForeignWeights(
        {param.path: param.to_ours(state_dict[name]) for name, param in wanted.items()}, config, missing
    )


def _read(file: epath.Path) -> dict[str, np.ndarray]:
    return _read_torch(file) if file.suffix in TORCH_SUFFIXES else _read_safetensors(file)


def _read_safetensors(file: epath.Path) -> dict[str, np.ndarray]:
    try:
        entries = safetensors.deserialize(file.read_bytes())
        arrays = {
            name: np.frombuffer(entry["data"], DTYPES[entry["dtype"]]).reshape(entry["shape"])
            for name, entry in entries
        }
    except safetensors.SafetensorError as error:
        raise UserError(f"{file} is not a whole safetensors file ({error}); fetch it again") from error
    except KeyError as error:
        raise UserError(f"{file} holds arrays of type {error}; give weights in floating point") from error
    return {name: array.astype(np.float32) for name, array in arrays.items()}


def _read_torch(file: epath.Path) -> dict[str, np.ndarray]:
    try:
        import torch
    except ImportError as error:
        raise UserError(f"{file} needs torch to be read: `pip install torch`, or give a .safetensors file") from error
    try:
        content = torch.load(io.BytesIO(file.read_bytes()), map_location="cpu", weights_only=True)
    except Exception as error:  # torch and pickle raise many kinds
        logging.debug("torch.load failed", exc_info=error)
        raise UserError(
            f"{file} is damaged, or a pickle that would run code when loaded, which is not allowed; "
            "give a plain state dict or a .safetensors file"
        ) from error
    if not isinstance(content, dict) or not all(isinstance(value, torch.Tensor) for value in content.values()):
        raise UserError(f"{file} is not a state dict (tensors by name); give one, or a .safetensors file")
    return {name: tensor.float().numpy() for name, tensor in content.items()}


def _canonical(arrays: Mapping[str, np.ndarray], source: str) -> dict[str, np.ndarray]:
    """The state dict as today's BertForPreTraining has it, decoder tied."""
    state_dict: dict[str, np.ndarray] = {}
    for name, array in arrays.items():
        today = re.sub(r"^(embeddings|encoder|pooler)\.", r"bert.\1.", name)
        today = today.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias")
        if today in state_dict:
            raise UserError(f"{source} holds {today} twice, once as {name}; remove one")
        if today not in IGNORED:
            state_dict[today] = array
    _tie(state_dict, "cls.predictions.decoder.weight", "bert.embeddings.word_embeddings.weight", source)
    _tie(state_dict, "cls.predictions.decoder.bias", "cls.predictions.bias", source)
    return state_dict


def _tie(state_dict: dict[str, np.ndarray], written_out: str, tied_to: str, source: str) -> None:
    array = state_dict.pop(written_out, None)
    if array is not None and not np.array_equal(array, state_dict.setdefault(tied_to, array)):
        raise UserError(f"{source}: {written_out} differs from {tied_to}; only tied output layers can be read")


def _config(path: epath.Path, state_dict: Mapping[str, np.ndarray], settings: ModelConfig, source: str) -> ModelConfig:
    if not path.is_dir():
        return _sizes_of(state_dict, settings, source)
    try:
        values = json.loads((path / "config.json").read_text())
    except ValueError as error:
        raise UserError(f"{path / 'config.json'} is not JSON ({error}); fetch it again") from error
    config = from_huggingface_config(values, str(path / "config.json"))
    config.check()
    return config


def _sizes_of(state_dict: Mapping[str, np.ndarray], settings: ModelConfig, source: str) -> ModelConfig:
    """`settings` with the sizes that the arrays have."""
    layers = [int(found[1]) for name in state_dict if (found := re.match(r"bert\.encoder\.layer\.(\d+)\.", name))]
    embeddings = "bert.embeddings.{}_embeddings.weight"
    try:
        vocab_size, hidden_size = state_dict[embeddings.format("word")].shape
        config = dataclasses.replace(
            settings,
            vocab_size=vocab_size,
            hidden_size=hidden_size,
            num_hidden_layers=1 + max(layers, default=-1),
            intermediate_size=state_dict["bert.encoder.layer.0.intermediate.dense.bias"].shape[0],
            max_position_embeddings=state_dict[embeddings.format("position")].shape[0],
            type_vocab_size=state_dict[embeddings.format("token_type")].shape[0],
        )
    except (KeyError, ValueError, IndexError) as error:
        raise UserError(f"{source} holds no BERT encoder ({error}); give a BERT model's weights") from error
    config.check()
    return config


def _missing(table: Mapping[str, names.Parameter], state_dict: Mapping[str, np.ndarray]) -> list[str]:
    """The paths of those optional parts of which nothing is there."""
    there = {param.path for name, param in table.items() if name in state_dict}
    absent = [part for part in OPTIONAL if not any(path.startswith(part) for path in there)]
    return [param.path for param in table.values() if param.path.startswith(tuple(absent))]
