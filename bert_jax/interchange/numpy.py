"""Our parameters for anybody who reads NumPy: params.npz, the model's settings and the tokenizer's files."""

import dataclasses
import json

import numpy as np
from etils import epath

from bert_jax.config import ModelConfig
from bert_jax.interchange.renames import flatten
from bert_jax.text.tokenizer import Tokenizer
from bert_jax.workdir.trained import Trained


def write_numpy(directory: epath.Path, trained: Trained, config: ModelConfig, tokenizer: Tokenizer) -> None:
    """Write params.npz, config.json (ModelConfig's fields) and the tokenizer's files into `directory`.

    An array's name is its path in our nested dict, say "encoder/layer_0/attention/query/kernel"; all are float32.
    """
    arrays = {path: np.asarray(array, np.float32) for path, array in flatten(trained.params).items()}
    tokenizer.save(directory)
    (directory / "config.json").write_text(json.dumps(dataclasses.asdict(config), indent=2, sort_keys=True) + "\n")
    with (directory / "params.npz").open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]
