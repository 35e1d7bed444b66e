"""A fine-tuned model in its workdir: weights, architecture, tokenizer, task and lengths: using it needs no flag.

task.json            what the task is, its label names and thresholds, the architecture, scores
model.safetensors    the best step's weights, float32, by our names
tokenizer/           as in a pretraining workdir
sentence_bert_config.json    the length that texts are embedded with, if that was set to another in the library
modules.json, 1_Pooling/, config_sentence_transformers.json    of a model that makes vectors: what the one that it was
                     fine-tuned from said of its use beside pooling and length, if it did (interchange/own_settings.py)
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import google_crc32c
import numpy as np
import safetensors
import safetensors.numpy
from etils import epath

from bert_jax.config import ModelConfig, TaskConfig, TextConfig
from bert_jax.config.finetuning import TextPooling
from bert_jax.errors import UserError
from bert_jax.storage.json_file import check_schema, read_json, write_json
from bert_jax.storage.whole_file import whole_file
from bert_jax.text.load_tokenizer import load_tokenizer
from bert_jax.text.tokenizer import Tokenizer

DESCRIPTION, WEIGHTS = "task.json", "model.safetensors"
_AGAIN = "restore it, or fine-tune again in a new --workdir"


@dataclasses.dataclass(frozen=True)
class FineTuned:
    """All of a fine-tuned model but its weights: the content of task.json."""

    kind: str  # of the task
    settings: dict[str, Any]  # of the task: label names, thresholds
    options: TaskConfig
    text: TextConfig
    model: ModelConfig
    vocab_fingerprint: str
    seed: int  # of the run that was best on the dev file
    step: int  # whose weights these are
    weights_crc32c: str
    init_from: str = ""
    dev: dict[str, float | None] = dataclasses.field(default_factory=dict)  # scores
    test: dict[str, float | None] = dataclasses.field(default_factory=dict)
    versions: dict[str, str] = dataclasses.field(default_factory=dict)

    @property
    def pooling(self) -> TextPooling:
        """What makes a text's vector: the task's own, else the mean."""
        pooling: TextPooling | None = self.settings.get("pooling")
        return pooling or "mean"


@dataclasses.dataclass(frozen=True)
class _Settings:
    """What other programs than the task itself read of its settings."""

    pooling: TextPooling | None = None


def is_fine_tuned(workdir: epath.PathLike) -> bool:
    """Whether a fine-tuned model lies in `workdir`; UserError if one is still being made there."""
    workdir = epath.Path(workdir)
    if (workdir / DESCRIPTION).exists():
        return True
    if (workdir / "seed_0").exists():
        raise UserError(f"{workdir} is a fine-tuning that has not ended; run its command again to resume")
    return False


def write_weights(path: epath.Path, arrays: Mapping[str, np.ndarray], is_first: bool = True) -> str:
    """Write arrays by our paths as one safetensors file, whole or not at all; gives its CRC32C.

    Of several processes, which have the same arrays, one `is_first` and writes.
    """
    content = safetensors.numpy.save({name: np.ascontiguousarray(array) for name, array in arrays.items()})
    if is_first:
        with whole_file(path) as file:
            file.write(content)
    return digest(content)


def read_weights(path: epath.Path, crc32c: str) -> dict[str, np.ndarray]:
    """Arrays by our paths; UserError if the file is missing or damaged."""
    if not path.exists():
        raise UserError(f"{path} is missing; {_AGAIN}")
    content = path.read_bytes()
    if digest(content) != crc32c:
        raise UserError(f"{path} is not as it was written (its checksum differs); {_AGAIN}")
    try:
        return safetensors.numpy.load(content)
    except (safetensors.SafetensorError, KeyError) as error:  # the latter where NumPy has no such type
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{path} holds no arrays of float32 ({reason}); {_AGAIN}") from error


def digest(content: bytes) -> str:
    """CRC32C, eight hex digits."""
    return f"{google_crc32c.value(content):08x}"


def write_description(workdir: epath.Path, model: FineTuned) -> None:
    """Write task.json: it comes last, and says that all else is there."""
    write_json(workdir / DESCRIPTION, model)


def read_description(workdir: epath.PathLike) -> FineTuned:
    """What the model in `workdir` is; UserError if there is none."""
    path = epath.Path(workdir) / DESCRIPTION
    if not path.exists():
        raise UserError(
            f"{workdir} holds no fine-tuned model (no {DESCRIPTION}); "
            "give the --workdir of `python -m bert_jax.finetune`, and let that end first"
        )
    found = read_json(path, FineTuned, _AGAIN)
    check_schema(found.settings, _Settings, f"{path}, settings,", _AGAIN)
    return found


def read_tokenizer(workdir: epath.PathLike, model: FineTuned) -> Tokenizer:
    """The one that the model in `workdir` was trained with; UserError if another lies there."""
    tokenizer = load_tokenizer(f"{workdir}/tokenizer")
    if tokenizer.fingerprint != model.vocab_fingerprint:
        raise UserError(
            f"{workdir}/tokenizer is not the vocabulary that the model was trained with; "
            "restore that directory from the model of --init_from"
        )
    return tokenizer
