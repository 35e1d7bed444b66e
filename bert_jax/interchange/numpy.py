"""Our parameters for anybody who reads NumPy: params.npz, the model's settings and the tokenizer's files; and back."""

import dataclasses
import functools
import io

import numpy as np
from absl import logging
from etils import epath

from bert_jax.config import ModelConfig
from bert_jax.config.file import from_dict
from bert_jax.errors import UserError
from bert_jax.interchange.family import OPTIONAL
from bert_jax.interchange.foreign import FRESH, ForeignWeights, Stored, take_weights
from bert_jax.interchange.renames import EVERYTHING, Module, Names
from bert_jax.model.functional import flatten
from bert_jax.model.pretraining import pretraining_model
from bert_jax.storage.json_file import read_json, write_json
from bert_jax.text.tokenizer import Tokenizer
from bert_jax.workdir.trained import Trained

CONFIG, WEIGHTS = "config.json", "params.npz"
_AGAIN = "export it again"


def write_numpy(directory: epath.Path, trained: Trained, config: ModelConfig, tokenizer: Tokenizer) -> None:
    """Write params.npz, config.json (ModelConfig's fields) and the tokenizer's files into `directory`.

    An array's name is its path in our nested dict, say "encoder/layer_0/attention/query/kernel"; all are float32.
    """
    arrays = {path: np.asarray(array, np.float32) for path, array in flatten(trained.params).items()}
    tokenizer.save(directory)
    write_json(directory / CONFIG, config, sort_keys=True)
    with (directory / WEIGHTS).open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]


def is_numpy(path: epath.PathLike) -> bool:
    """Whether `path` is a directory that write_numpy may have written."""
    return all((epath.Path(path) / name).exists() for name in (CONFIG, WEIGHTS))


def read_numpy(directory: epath.PathLike, parts: tuple[str, ...] = EVERYTHING, absent: str = FRESH) -> ForeignWeights:
    """What write_numpy wrote, bit for bit; `parts` and `absent` as for take_weights.

    Raises:
      UserError: it is damaged, of another program, or holds another model than its config.json says.
    """
    config, file = epath.Path(directory) / CONFIG, epath.Path(directory) / WEIGHTS
    model = from_dict(read_json(config, dict, _AGAIN), str(config), ModelConfig, _AGAIN)
    return take_weights(_read(file), _names(model), model, str(file), parts, absent)


def _read(file: epath.Path) -> dict[str, Stored]:
    content = file.read_bytes()
    try:
        with np.load(io.BytesIO(content)) as npz:  # which unpickles nothing
            arrays = {name: npz[name] for name in npz.files}
            return {name: Stored(array.shape, functools.partial(np.asarray, array)) for name, array in arrays.items()}
    except Exception as error:  # NumPy, zipfile and zlib raise many kinds
        logging.debug("numpy.load failed", exc_info=error)
        raise UserError(f"{file} is not a whole .npz file of numbers; {_AGAIN}") from error


def _names(config: ModelConfig) -> Names:
    """A table of our own names: each path is its own."""
    # With a pooler, which a task's model may have where the pretraining model has none.
    one_layer = dataclasses.replace(
        config,
        num_hidden_layers=1,
        num_hidden_groups=min(config.num_hidden_groups, 1),
        next_sentence=True,
        left_to_right=False,
    )
    paths = (path.replace("layer_0", "layer_{}") for path in flatten(pretraining_model(one_layer).abstract_params))
    modules = [Module(module, module, {leaf: leaf}) for module, _, leaf in (path.rpartition("/") for path in paths)]
    return Names("bert_jax", modules, "/", "encoder/", "encoder/layer_{}/", OPTIONAL)
