"""`export --format=stablehlo`: the model as jax.export keeps it, for a process that has JAX and nothing of ours.

The weights are arguments and lie in a file of their own: within the program each compiled shape would have a copy of
them, and compiling would take three times as long.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from etils import epath
from jax import export

from bert_jax.config import ModelConfig
from bert_jax.interchange.conversions import drop_pairs
from bert_jax.interchange.families import ENCODER
from bert_jax.interchange.huggingface_tasks import settings_of_export
from bert_jax.interchange.huggingface_tokenizer import write_tokenizer
from bert_jax.interchange.programs import Servable
from bert_jax.model.functional import Model, flatten, nest
from bert_jax.model.pretraining import MASKED_LM, pretraining_model
from bert_jax.model.tasks import POOLINGS, task_model
from bert_jax.serving.options import Options
from bert_jax.serving.program_card import stablehlo_card
from bert_jax.serving.signature import LENGTH, Signature, signature

FILE, WEIGHTS, DESCRIPTION = "model.stablehlo", "params.npz", "program.json"
PLATFORMS = ("cpu", "cuda", "tpu")
Arrays = Mapping[str, Any]


def write_stablehlo(directory: epath.Path, model: Servable, options: Options) -> str:
    """Write the program, its weights, what describes it and the tokenizer; gives what the card says of it.

    Raises:
      UserError: other runtimes have no names for its head, or it gives no vectors and --normalize is there.
    """
    options.check_head(model.head)
    weights, config = model.weights()
    if model.head == MASKED_LM:
        weights, config = drop_pairs(model.weights())
    described = signature(model.head, config.hidden_size, model.outputs, model.has_types)
    made = _model(model, config, options.dtype)
    arrays = {path: weights[path] for path in flatten(made.abstract_params)}
    exported = _exported(_function(model, made, options.normalize or model.normalized), arrays, described, config)
    (directory / FILE).write_bytes(exported.serialize(vjp_order=0))
    with (directory / WEIGHTS).open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]
    (directory / DESCRIPTION).write_text(_description(model, described, options) + "\n")
    write_tokenizer(model.tokenizer, directory, model.max_length, model.has_types)
    return stablehlo_card(model, described, PLATFORMS, options.dtype, FILE, WEIGHTS, jax.__version__)


def _model(model: Servable, config: ModelConfig, dtype: str) -> Model:
    if model.head == MASKED_LM:
        return pretraining_model(config, dtype)
    return task_model(model.head, model.outputs, config, dtype)


def _function(model: Servable, made: Model, normalize: bool) -> Callable[[Arrays, Arrays], dict[str, jax.Array]]:
    """Of weights by our paths and inputs by name: the outputs by name."""

    def run(weights: Arrays, inputs: Arrays) -> dict[str, jax.Array]:
        module: Any = made.module(nest(weights))
        ids, mask = inputs["input_ids"], inputs["attention_mask"]
        read = ids, mask, inputs.get("token_type_ids", jnp.zeros_like(ids))
        if model.head == ENCODER:
            states = module.encoder(*read)[-1].astype(jnp.float32)
            vector = POOLINGS[model.pooling](states, mask)
            length = jnp.linalg.norm(vector, axis=-1, keepdims=True) if normalize else jnp.ones_like(vector[:, :1])
            return {"last_hidden_state": states, "sentence_embedding": vector / jnp.maximum(length, 1e-12)}
        if model.head == MASKED_LM:
            states = module.encoder(*read)[-1]
            return {"logits": module.masked_lm(states, module.encoder.embeddings.word.embedding[...])}
        logits = module(*read)
        if model.head == "span":
            return {"start_logits": logits[..., 0], "end_logits": logits[..., 1]}
        return {"logits": logits}

    return run


def _exported(
    function: Callable[[Arrays, Arrays], dict[str, jax.Array]],
    arrays: Arrays,
    described: Signature,
    config: ModelConfig,
) -> export.Exported:
    axes = next(iter(described.inputs.values()))
    limits = [f"{LENGTH} <= {config.max_position_embeddings}"]
    shape = export.symbolic_shape(", ".join(map(str, axes)), constraints=limits)
    inputs = {name: jax.ShapeDtypeStruct(shape, jnp.int32) for name in described.inputs}
    weights = {path: jax.ShapeDtypeStruct(array.shape, array.dtype) for path, array in arrays.items()}
    return export.export(jax.jit(function), platforms=PLATFORMS)(weights, inputs)


def _description(model: Servable, described: Signature, options: Options) -> str:
    task = None
    if model.task is not None and model.head != ENCODER:
        task = {"kind": model.task.kind, **settings_of_export(model.task)}
    about = {
        "program": FILE,
        "weights": WEIGHTS,
        "platforms": PLATFORMS,
        "jax": jax.__version__,
        "dtype": options.dtype,
        "inputs": {name: {"dtype": "int32", "shape": axes} for name, axes in described.inputs.items()},
        "outputs": {name: {"dtype": "float32", "shape": axes} for name, axes in described.outputs.items()},
        "max_length": model.max_length,
        "most_positions": model.config.max_position_embeddings,
        "task": task,
    }
    return json.dumps(about, indent=2, ensure_ascii=False)
