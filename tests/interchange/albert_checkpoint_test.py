"""Checkpoints of google-research/albert, with its names as transformers' own converter knows them."""

import dataclasses
import json
import re

import jax
import numpy as np
import pytest
import torch
import transformers
from etils import epath

from bert_jax.config import ModelConfig
from bert_jax.errors import UserError
from bert_jax.interchange.albert_names import ALBERT, TENSORFLOW
from bert_jax.interchange.huggingface import to_huggingface_config
from bert_jax.interchange.pretrained import WITH_MASKED_LM, read_pretrained
from bert_jax.interchange.renames import to_theirs
from bert_jax.interchange.tensor_bundle import TensorBundle, write_bundle
from bert_jax.interchange.tensorflow import find_checkpoint, read_state, read_tensorflow
from bert_jax.model.functional import flatten
from bert_jax.model.pretraining import pretraining_model
from tests.random_params import random_params

SIZES = {"num_hidden_layers": 4, "num_hidden_groups": 2, "embedding_size": 16, "hidden_act": "gelu_tanh"}


@pytest.fixture
def config(model_config):
    return dataclasses.replace(model_config, **SIZES)


def write_checkpoint(directory, config, before="", **changes):
    """As the authors publish it: its settings beside it, no epsilon among them."""
    directory = epath.Path(directory)
    params = random_params(config, sd=0.1)
    variables = {before + name: array for name, array in to_theirs(params, TENSORFLOW, config).items()}
    write_bundle(directory / "model.ckpt-best", variables)
    keys = (
        *("vocab_size", "hidden_size", "num_hidden_layers", "num_hidden_groups", "num_attention_heads"),
        *("intermediate_size", "max_position_embeddings", "type_vocab_size", "hidden_dropout_prob"),
        *("attention_probs_dropout_prob", "initializer_range"),
    )
    settings = {key: getattr(config, key) for key in keys} | {"hidden_act": "gelu", "inner_group_num": 1}
    settings["embedding_size"] = config.table_width
    (directory / "albert_config.json").write_text(json.dumps(settings | changes))
    return params


@pytest.mark.parametrize("before", ["", "module/"])
@pytest.mark.parametrize("embedding_size", [16, 0])
def test_it_is_read_whole(tmp_path, config, before, embedding_size):
    config = dataclasses.replace(config, embedding_size=embedding_size)
    params = write_checkpoint(tmp_path, config, before)
    found = read_tensorflow(tmp_path, ModelConfig())
    assert (found.config, found.missing, found.unused) == (config, [], [])
    assert found.arrays.keys() == flatten(params).keys()
    for path, array in flatten(params).items():
        np.testing.assert_array_equal(found.arrays[path], array, strict=True)


def test_transformers_makes_the_same_model_of_it(tmp_path, config, make_batch):
    """By its own converter's names, which were made for what the authors publish."""
    pytest.importorskip("tensorflow")
    params = write_checkpoint(tmp_path, config)
    settings = transformers.AlbertConfig(**to_huggingface_config(config, 0, ALBERT))
    model = transformers.AlbertForPreTraining(settings).eval()
    load = transformers.models.albert.modeling_albert.load_tf_weights_in_albert
    load(model, settings, str(tmp_path / "model.ckpt-best"))
    model.tie_weights()
    batch = make_batch(3)
    inputs = [batch[name] for name in ("input_ids", "input_mask", "segment_ids")]
    with torch.no_grad():
        theirs = model(*map(torch.from_numpy, inputs))
    positions = np.tile(np.arange(16, dtype=np.int32), (3, 1))
    ours = jax.jit(pretraining_model(config).apply)(params, *inputs, positions)
    here = batch["input_mask"][:, :, None]
    np.testing.assert_allclose(ours.masked_lm * here, theirs.prediction_logits.numpy() * here, rtol=0, atol=1e-5)
    np.testing.assert_allclose(ours.pair_logits, theirs.sop_logits, rtol=0, atol=1e-5)


def test_its_optimizer_goes_on(tmp_path, config):
    write_checkpoint(tmp_path, config)
    prefix = epath.Path(tmp_path) / "model.ckpt-best"
    bundle = TensorBundle(str(prefix))
    variables = {name: bundle.read(name) for name in bundle.shapes}
    moments = {f"{name}/{slot}": array + 1 for name, array in variables.items() for slot in ("adam_m", "adam_v")}
    write_bundle(prefix, {**variables, **moments, "global_step": np.array(7, np.int64)})
    state, weights = read_state(tmp_path, config), read_tensorflow(tmp_path, config)
    assert state.step == 7
    for path, array in flatten(state.mu).items():
        np.testing.assert_array_equal(array, weights.arrays[path] + 1)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"inner_group_num": 2}, "inner_group_num=2; only gelu and inner_group_num=1 can be read"),
        ({"hidden_act": "relu"}, "hidden_act='relu'"),
        ({"num_hidden_groups": 1}, "holds 2 layers and its config says num_hidden_groups=1"),
        ({"num_hidden_layers": 3}, "says num_hidden_layers=3 and num_hidden_groups=2, which does not divide it"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path, config, changes, complaint):
    write_checkpoint(tmp_path, config, **changes)
    with pytest.raises(UserError, match=re.escape(complaint)):
        read_tensorflow(tmp_path, ModelConfig())


def test_its_settings_are_looked_for_by_their_name(tmp_path, config):
    write_checkpoint(tmp_path, config)
    (tmp_path / "albert_config.json").rename(tmp_path / "bert_config.json")
    with pytest.raises(UserError, match=r"put the model's albert_config.json beside its checkpoint"):
        read_tensorflow(tmp_path, ModelConfig())


def test_with_its_vocabulary_it_is_a_model_to_begin_with(tmp_path, config, workdirs):
    config = dataclasses.replace(config, vocab_size=workdirs.MODEL.vocab_size)
    params = write_checkpoint(tmp_path, config)
    workdirs.TOKENIZER.save(epath.Path(tmp_path))
    assert find_checkpoint(tmp_path) == str(tmp_path / "model.ckpt-best")
    found = read_pretrained(tmp_path, ModelConfig(), WITH_MASKED_LM)
    assert found.config == config
    assert found.arrays.keys() == {path for path in flatten(params) if path.startswith(WITH_MASKED_LM)}
