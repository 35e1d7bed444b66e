"""The table of names against the model's own declaration, transformers' state dict and the original's variables."""

import dataclasses

import jax
import numpy as np
import pytest
import transformers

from bert_jax.errors import UserError
from bert_jax.interchange.bert_names import HUGGINGFACE, TENSORFLOW
from bert_jax.interchange.huggingface import to_huggingface_config
from bert_jax.interchange.renames import Module, parameters, to_theirs
from bert_jax.model.functional import flatten
from bert_jax.model.pretraining import pretraining_model
from tests.random_params import random_params
from tests.state_dicts import to_ours


@pytest.mark.parametrize("names", [HUGGINGFACE, TENSORFLOW], ids=["huggingface", "tensorflow"])
def test_every_parameter_of_the_model_is_in_the_table_once(model_config, names):
    declared = {path: leaf.shape for path, leaf in flatten(pretraining_model(model_config).abstract_params).items()}
    table = parameters(names, model_config)
    assert {param.path: param.shape for param in table} == declared
    assert len({param.name for param in table}) == len(table) == len(declared)


def test_what_the_model_lacks_is_left_out(model_config):
    """A family's table may have heads that only some of its models have."""
    head = Module("sentence_order", "cls.order", {"kernel": "weight.T"})
    names = dataclasses.replace(HUGGINGFACE, modules=[*HUGGINGFACE.modules, head])
    assert parameters(names, model_config) == parameters(HUGGINGFACE, model_config)


def test_hugging_face_names_and_shapes_are_transformers_own(model_config):
    model = transformers.BertForPreTraining(transformers.BertConfig(**to_huggingface_config(model_config, pad_id=0)))
    theirs = {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}
    assert {param.name: param.their_shape for param in parameters(HUGGINGFACE, model_config)} == theirs


def test_tensorflow_names_are_the_originals(model_config):
    """google-research/bert modeling.py and run_pretraining.py, as its released checkpoints list them."""
    dense, norm = ["kernel", "bias"], ["gamma", "beta"]
    layers = [
        f"bert/encoder/layer_{number}/{module}/{leaf}"
        for number in range(model_config.num_hidden_layers)
        for module, leaves in {
            "attention/self/query": dense,
            "attention/self/key": dense,
            "attention/self/value": dense,
            "attention/output/dense": dense,
            "attention/output/LayerNorm": norm,
            "intermediate/dense": dense,
            "output/dense": dense,
            "output/LayerNorm": norm,
        }.items()
        for leaf in leaves
    ]
    others = [
        *(f"bert/embeddings/{kind}_embeddings" for kind in ("word", "position", "token_type")),
        *(f"bert/embeddings/LayerNorm/{leaf}" for leaf in norm),
        *(f"bert/pooler/dense/{leaf}" for leaf in dense),
        *(f"cls/predictions/transform/dense/{leaf}" for leaf in dense),
        *(f"cls/predictions/transform/LayerNorm/{leaf}" for leaf in norm),
        "cls/predictions/output_bias",
        "cls/seq_relationship/output_weights",
        "cls/seq_relationship/output_bias",
    ]
    assert sorted(param.name for param in parameters(TENSORFLOW, model_config)) == sorted(layers + others)


def test_tensorflow_shapes_are_the_originals(model_config):
    params = random_params(model_config, sd=1.0)
    arrays = to_theirs(params, TENSORFLOW, model_config)
    hidden, mlp = model_config.hidden_size, model_config.intermediate_size
    layer = "bert/encoder/layer_1"
    assert arrays[f"{layer}/attention/self/query/kernel"].shape == (hidden, hidden)
    assert arrays[f"{layer}/intermediate/dense/kernel"].shape == (hidden, mlp)
    assert arrays["cls/seq_relationship/output_weights"].shape == (2, hidden)
    # The original computes with them as they lie: heads are the columns of a [hidden, heads * width] kernel.
    ours = params["encoder"]["layer_1"]["attention"]["query"]["kernel"]
    np.testing.assert_array_equal(arrays[f"{layer}/attention/self/query/kernel"], ours)


@pytest.mark.parametrize("names", [HUGGINGFACE, TENSORFLOW], ids=["huggingface", "tensorflow"])
def test_there_and_back_is_bit_exact(model_config, names):
    params = random_params(model_config, sd=1.0)
    there = to_theirs(params, names, model_config)
    back = to_ours(there, names, model_config, "weights")
    jax.tree.map(np.testing.assert_array_equal, back, params)
    assert all(array.flags.c_contiguous for array in [*there.values(), *flatten(back).values()])


def drop(arrays):
    del arrays["bert.pooler.dense.bias"]


def add(arrays):
    arrays["bert.encoder.layer.2.output.dense.bias"] = np.zeros(3)


def reshape(arrays):
    arrays["cls.predictions.bias"] = arrays["cls.predictions.bias"][:-1]


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (drop, r"bert\.pooler\.dense\.bias is missing"),
        (add, r"bert\.encoder\.layer\.2\.output\.dense\.bias is no part"),
        (reshape, r"cls\.predictions\.bias has shape \(100,\) and the config says \(101,\)"),
    ],
)
def test_what_cannot_be_mapped_is_named(model_config, damage, complaint):
    arrays = to_theirs(random_params(model_config, sd=1.0), HUGGINGFACE, model_config)
    damage(arrays)
    with pytest.raises(UserError, match=complaint):
        to_ours(arrays, HUGGINGFACE, model_config, "model.safetensors")


def test_params_of_another_model_are_named(model_config):
    params = random_params(model_config, sd=1.0)
    del params["encoder"]["pooler"]
    with pytest.raises(UserError, match="encoder/pooler/kernel is missing"):
        to_theirs(params, HUGGINGFACE, model_config)
