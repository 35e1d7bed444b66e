"""Files of arrays by name, as people keep weights: safetensors, torch pickles, or several of either with an index.

No code of a pickle is run. Knows nothing of BERT.
"""

import dataclasses
import functools
import io
import re
from collections.abc import Mapping
from typing import Annotated, Any

import jax.numpy as jnp
import msgspec
import numpy as np
import safetensors
from absl import logging
from etils import epath

from bert_jax.errors import UserError
from bert_jax.interchange.foreign import Stored, listed
from bert_jax.storage.json_file import read_json

TORCH_SUFFIXES = (".bin", ".pt", ".pth", ".ckpt")
INDEX = ".index.json"  # of weights in several files: which array is in which
SUFFIXES = (".safetensors", *TORCH_SUFFIXES, INDEX)
# Where programs keep a model's weights among other things that they save.
NESTED = ("model", "state_dict", "model_state_dict", "module")
DTYPES = {
    "F64": np.float64,
    "F32": np.float32,
    "F16": np.float16,
    "BF16": jnp.bfloat16,
    "I64": np.int64,
    "I32": np.int32,
    "I8": np.int8,
    "U8": np.uint8,
}

FileName = Annotated[str, msgspec.Meta(pattern=r"^[^/\\]+\.(safetensors|bin|pt|pth)\Z")]  # leads nowhere else


@dataclasses.dataclass(frozen=True)
class Index:
    """The content of model.safetensors.index.json and pytorch_model.bin.index.json."""

    weight_map: dict[str, FileName]


def read_file(file: epath.Path) -> dict[str, Stored]:
    """What `file` holds, by name: a .safetensors, a torch pickle's state dict, or an index and the files it names.

    Raises:
      UserError: it is damaged, holds no arrays by name, would run code, or a file that it names is missing.
    """
    logging.info("reading %s", file)
    if file.name.endswith(INDEX):
        return _read_several(file)
    return _read_torch(file) if file.suffix in TORCH_SUFFIXES else _read_safetensors(file)


def _read_several(index: epath.Path) -> dict[str, Stored]:
    place = read_json(index, Index, "fetch it again").weight_map
    stored: dict[str, Stored] = {}
    for name in sorted(set(place.values())):
        file = index.parent / name
        if not file.exists():
            raise UserError(f"{index} names {name}, which is missing beside it; fetch it")
        stored |= {key: one for key, one in read_file(file).items() if place.get(key, name) == name}
    if absent := sorted(place.keys() - stored.keys()):
        raise UserError(
            f"{index} names {listed(absent)}, which is not in the file that it says; fetch all of them again"
        )
    return stored


def _read_safetensors(file: epath.Path) -> dict[str, Stored]:
    try:
        entries = safetensors.deserialize(file.read_bytes())
    except safetensors.SafetensorError as error:
        reason = " ".join(str(error).split())[:200]  # which may hold a name of somebody's
        raise UserError(f"{file} is not a whole safetensors file ({reason}); fetch it again") from error
    return {
        name: Stored(tuple(entry["shape"]), functools.partial(_array, file, name, entry)) for name, entry in entries
    }


def _array(file: epath.Path, name: str, entry: Mapping[str, Any]) -> np.ndarray:
    if entry["dtype"] not in DTYPES:
        raise UserError(f"{file}: {listed([name])} is of type {entry['dtype']}; give weights in floating point")
    return np.frombuffer(entry["data"], DTYPES[entry["dtype"]]).reshape(entry["shape"])


def _read_torch(file: epath.Path) -> dict[str, Stored]:
    try:
        import torch
    except ImportError as error:
        raise UserError(f"{file} needs torch to be read: `pip install torch`, or give a .safetensors file") from error
    state_dict = _state_dict(_load_torch(file), file)
    tensors = {name: value for name, value in state_dict.items() if isinstance(value, torch.Tensor)}
    if not tensors or not all(isinstance(name, str) for name in state_dict):
        raise UserError(f"{file} is not a state dict (tensors by name); give one, or a .safetensors file")
    return {name: _of_tensor(file, name, tensor) for name, tensor in tensors.items()}


def _load_torch(file: epath.Path) -> Any:
    """What a pickle holds; UserError instead of running its code."""
    import torch

    try:
        return torch.load(io.BytesIO(file.read_bytes()), map_location="cpu", weights_only=True)
    except Exception as error:  # torch and pickle raise many kinds
        logging.debug("torch.load failed", exc_info=error)
        found = re.search(r"GLOBAL ([\w.]+) was not an allowed global", str(error))
        culprit = f" ({found[1]})" if found else ""
        raise UserError(
            f"{file} is damaged, or a pickle that would run code when loaded{culprit}, which is not allowed; "
            "save model.state_dict() alone, or give a .safetensors file"
        ) from error


def _state_dict(content: Any, file: epath.Path) -> dict[Any, Any]:
    """The tensors by name in what somebody saved: at its top or beneath a usual key, or a list of names and tensors."""
    for key in NESTED:
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            logging.info("%s: of %s, %r is read", file, listed(map(str, content)), key)
            content = content[key]
    if isinstance(content, list) and all(isinstance(one, tuple) and len(one) == 2 for one in content):
        return {str(name): value for name, value in content}
    return content if isinstance(content, dict) else {}


def _of_tensor(file: epath.Path, name: str, tensor: Any) -> Stored:
    shape = () if tensor.is_nested else tuple(tensor.shape)  # a nested tensor has no single shape
    return Stored(shape, functools.partial(_to_numpy, file, name, tensor))


def _to_numpy(file: epath.Path, name: str, tensor: Any) -> np.ndarray:
    import torch

    plain = tensor.layout is torch.strided and not (tensor.is_nested or tensor.is_quantized or tensor.is_meta)
    if not plain:
        raise UserError(f"{file}: {listed([name])} is sparse, quantized or empty; save it as a dense tensor of floats")
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        raise UserError(f"{file}: {listed([name])} is larger than what is stored of it; save it with .contiguous()")
    tensor = tensor.detach().resolve_conj().resolve_neg()
    return (tensor.float() if tensor.is_floating_point() else tensor).numpy()
