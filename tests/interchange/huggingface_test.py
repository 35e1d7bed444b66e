"""Settings and parameters to Hugging Face's and back."""

import dataclasses
import re

import jax
import numpy as np
import pytest
import transformers

from bert_jax.config import ModelConfig
from bert_jax.errors import UserError
from bert_jax.interchange.families import chosen_family, family_of, family_of_type
from bert_jax.interchange.huggingface import file_settings, to_huggingface, to_huggingface_config
from tests.random_params import random_params
from tests.state_dicts import from_huggingface


def read_back(values, source):
    """The settings in a BERT's config.json; of an own family's the arrays decide more (families_test.py)."""
    return file_settings(values, family_of_type(values.get("model_type", "bert"), source), source)[0]


@pytest.mark.parametrize("hidden_act", ["gelu", "gelu_tanh"])
def test_settings_come_back(model_config, hidden_act):
    config = dataclasses.replace(model_config, hidden_act=hidden_act, layer_norm_eps=1e-7, hidden_dropout_prob=0.2)
    theirs = transformers.BertConfig(**to_huggingface_config(config, pad_id=3))
    assert theirs.pad_token_id == 3
    assert read_back(theirs.to_dict(), "config.json") == config


# Of each setting another value than model_config has.
OTHERS = {
    "vocab_size": 7,
    "hidden_size": 40,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "intermediate_size": 7,
    "max_position_embeddings": 7,
    "type_vocab_size": 3,
    "embedding_size": 7,
    "num_hidden_groups": 1,
    "next_sentence": False,
    "hidden_act": "gelu_tanh",
    "hidden_dropout_prob": 0.2,
    "attention_probs_dropout_prob": 0.2,
    "initializer_range": 0.03,
    "layer_norm_eps": 1e-5,
    "position_embedding": "rotary",
}


# What no file of theirs has a place for.
UNLIKE_BERT = {
    "left_to_right": True,
    "pre_norm": True,
    "gated_feed_forward": True,
    "use_bias": False,
}


def test_every_setting_of_ours_is_told(model_config):
    """By a key, or by the class; what is drawn at first is over."""
    assert {field.name for field in dataclasses.fields(ModelConfig)} == {*OTHERS, "initializer", *UNLIKE_BERT}
    as_it_is = to_huggingface_config(model_config, 0, family_of(model_config))
    for name, value in OTHERS.items():
        config = dataclasses.replace(model_config, **{name: value})
        assert to_huggingface_config(config, 0, family_of(config)) != as_it_is, name
    for name, value in UNLIKE_BERT.items():
        for family in (None, "albert"):
            with pytest.raises(UserError, match=f"{name}={value}; give --format=numpy"):
                chosen_family(dataclasses.replace(model_config, **{name: value}), family)


@pytest.mark.parametrize("hidden_act", ["gelu", "gelu_tanh"])
def test_the_activation_is_numerically_ours(hidden_act):
    import torch

    from bert_jax.model.layers import ACTIVATIONS

    theirs = to_huggingface_config(ModelConfig(vocab_size=9, hidden_act=hidden_act), pad_id=0)["hidden_act"]
    points = np.linspace(-6, 6, 1001, dtype=np.float32)
    expected = transformers.activations.ACT2FN[theirs](torch.from_numpy(points)).numpy()
    np.testing.assert_allclose(ACTIVATIONS[hidden_act](points), expected, rtol=0, atol=1e-6)


def test_what_a_config_leaves_out_is_as_in_base():
    defaults = transformers.BertConfig()
    assert read_back({"vocab_size": 30522}, "c") == read_back(defaults.to_dict(), "c")


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"model_type": "electra"}, "model_type='electra'"),
        ({"position_embedding_type": "relative_key"}, "position_embedding_type='relative_key'"),
        ({"is_decoder": True}, "is_decoder=True"),
        ({"hidden_act": "relu"}, "hidden_act='relu'"),
    ],
)
def test_another_model_is_refused(model_config, change, complaint):
    values = to_huggingface_config(model_config, pad_id=0) | change
    with pytest.raises(UserError, match=re.escape(f"there/config.json says {complaint}")):
        read_back(values, "there/config.json")


def test_parameters_come_back_bit_for_bit(model_config):
    params = random_params(model_config, sd=1.0)
    back = from_huggingface(to_huggingface(params, model_config), model_config)
    jax.tree.map(np.testing.assert_array_equal, back, params)


def test_whatever_the_dtype_the_export_is_float32(model_config):
    params = jax.tree.map(lambda array: array.astype(np.float64), random_params(model_config, sd=1.0))
    assert {array.dtype for array in to_huggingface(params, model_config).values()} == {np.dtype(np.float32)}
