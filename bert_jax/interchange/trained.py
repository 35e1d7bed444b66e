"""What an export takes out of a run's workdir: one checkpoint's weights, on the host, and what is known of them."""

import dataclasses
import json
from typing import Any

import jax
import jax.numpy as jnp
from etils import epath

from bert_jax.checkpoint import read_params
from bert_jax.config import ModelConfig
from bert_jax.errors import UserError
from bert_jax.interchange import names
from bert_jax.storage.json_file import check_schema


@dataclasses.dataclass(frozen=True)
class Trained:
    """A checkpoint of a run."""

    step: int
    params: names.Params  # nested dict of float32 NumPy arrays
    description: dict[str, Any]  # what the run wrote beside them: config, versions ...
    validation: dict[str, Any]  # the held-out scores at that step or last before it; {} if there are none


@dataclasses.dataclass(frozen=True)
class _Description:
    """Of a checkpoint's description what an export needs."""

    config: dict[str, Any]
    vocab_fingerprint: str
    data: dict[str, Any]
    versions: dict[str, Any]


def read_trained(workdir: epath.PathLike, config: ModelConfig, vocab_fingerprint: str, step: int | None) -> Trained:
    """The checkpoint of `step`, or the newest, of the run in `workdir` with this model and vocabulary.

    Raises:
      UserError: there is no such checkpoint, or it is of another model or vocabulary.
    """
    workdir = epath.Path(workdir)
    step, params, description = read_params(workdir, _abstract_params(config), step)
    about = check_schema(
        description, _Description, f"what checkpoint {step} of {workdir} says of itself", "export another one (--step)"
    )
    if about.vocab_fingerprint != vocab_fingerprint:
        raise UserError(
            f"{workdir}/tokenizer is not the vocabulary that checkpoint {step} was trained with; "
            "restore that directory from the records"
        )
    return Trained(step, jax.device_get(params), description, _validation(workdir / "metrics.jsonl", step))


def _abstract_params(config: ModelConfig) -> names.Params:
    # One device holds all: a mesh is of no use for copying.
    device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    table = names.parameters(config, "huggingface")
    return names.nest({param.path: jax.ShapeDtypeStruct(param.shape, jnp.float32, sharding=device) for param in table})


def _validation(path: epath.Path, step: int) -> dict[str, Any]:
    if not path.exists():
        return {}
    text = path.read_text()
    whole_lines = text[: text.rfind("\n") + 1].splitlines()  # of a run that goes on, the last may be half-written
    lines = [json.loads(line) for line in whole_lines]
    scores = [line for line in lines if line["split"] == "validation" and line["step"] <= step]
    return scores[-1] if scores else {}
