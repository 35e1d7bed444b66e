"""Original-BERT checkpoints there and back; TensorFlow and transformers' own loader judge what we write."""

import dataclasses
import json
import re
import subprocess
import sys

import jax
import numpy as np
import pytest
import torch
import transformers
from etils import epath

from bert_jax.config import ModelConfig
from bert_jax.errors import UserError
from bert_jax.interchange.bert_names import TENSORFLOW
from bert_jax.interchange.huggingface import to_huggingface_config
from bert_jax.interchange.renames import to_theirs
from bert_jax.interchange.tensor_bundle import TensorBundle, write_bundle
from bert_jax.interchange.tensorflow import (
    find_checkpoint,
    from_original_config,
    read_state,
    read_tensorflow,
    to_original_config,
    write_tensorflow,
)
from bert_jax.model.functional import flatten
from bert_jax.model.pretraining import pretraining_model
from bert_jax.text.added_tokens import AddedToken
from bert_jax.text.load_tokenizer import load_tokenizer
from bert_jax.text.tokenizer import Tokenizer
from bert_jax.text.wordpiece import WordPiece
from bert_jax.workdir.trained import Trained
from tests.random_params import random_params

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


@pytest.fixture
def config(model_config):
    return dataclasses.replace(model_config, hidden_act="gelu_tanh")


@pytest.fixture
def params(config):
    return random_params(config, sd=0.1)


@pytest.fixture
def exported(tmp_path, config, params):
    tokenizer = Tokenizer(WordPiece([*SPECIAL, *(f"w{i}" for i in range(config.vocab_size - 5))], lowercase=False))
    directory = epath.Path(tmp_path / "export")
    directory.mkdir()
    write_tensorflow(directory, Trained(1234, params, {}, {}), config, tokenizer)
    return directory


def variables(prefix):
    bundle = TensorBundle(prefix)
    return {name: bundle.read(name) for name in bundle.shapes}


def test_parameters_and_settings_come_back_bit_for_bit(exported, config, params):
    found = read_tensorflow(exported, ModelConfig())
    assert found.config == config
    assert found.missing == []
    assert found.arrays.keys() == flatten(params).keys()
    for path, array in flatten(params).items():
        np.testing.assert_array_equal(found.arrays[path], array, strict=True)


def test_the_folder_is_the_originals(exported, config):
    files = {"bert_config.json", "bert_model.ckpt.data-00000-of-00001", "bert_model.ckpt.index", "vocab.txt"}
    assert files | {"vocabulary.json"} == {path.name for path in exported.iterdir()}
    assert json.loads((exported / "bert_config.json").read_text())["hidden_act"] == "gelu"
    assert load_tokenizer(exported).vocab_size == config.vocab_size


def test_tensorflow_finds_the_originals_variables(exported, config, params):
    tf = pytest.importorskip("tensorflow")
    reader = tf.train.load_checkpoint(str(exported / "bert_model.ckpt"))
    expected = to_theirs(params, TENSORFLOW, config)
    assert reader.get_variable_to_shape_map().keys() == expected.keys() | {"global_step"}
    assert reader.get_tensor("global_step") == 1234
    for name, array in expected.items():
        np.testing.assert_array_equal(reader.get_tensor(name), array, strict=True)
    assert reader.get_tensor("cls/seq_relationship/output_weights").shape == (2, config.hidden_size)


def test_transformers_makes_the_same_model_of_it(exported, config, params, make_batch):
    pytest.importorskip("tensorflow")
    settings = transformers.BertConfig(**to_huggingface_config(config, pad_id=0))
    model = transformers.BertForPreTraining(settings).eval()
    transformers.models.bert.modeling_bert.load_tf_weights_in_bert(model, settings, str(exported / "bert_model.ckpt"))
    model.tie_weights()
    batch = make_batch(3)
    inputs = [batch[name] for name in ("input_ids", "input_mask", "segment_ids")]
    with torch.no_grad():
        theirs = model(*map(torch.from_numpy, inputs))
    positions = np.tile(np.arange(16, dtype=np.int32), (3, 1))
    ours = jax.jit(pretraining_model(config).apply)(params, *inputs, positions)
    np.testing.assert_allclose(ours.masked_lm, theirs.prediction_logits, rtol=0, atol=1e-5)
    np.testing.assert_allclose(ours.pair_logits, theirs.seq_relationship_logits, rtol=0, atol=1e-5)


def test_a_checkpoint_with_adams_moments(exported, config, params):
    """As the original's training writes it; that its programs really do is tests/original's to show."""
    prefix = exported / "model.ckpt-7"
    moments = {slot: random_params(config, seed, sd=0.1) for seed, slot in enumerate(("adam_m", "adam_v"), 1)}
    arrays = {**to_theirs(params, TENSORFLOW, config), "global_step": np.array(7, np.int64)}
    for slot, tree in moments.items():
        arrays |= {f"{name}/{slot}": array for name, array in to_theirs(tree, TENSORFLOW, config).items()}
    write_bundle(prefix, arrays)
    assert read_tensorflow(prefix, config).arrays.keys() == flatten(params).keys()
    state = read_state(prefix, config)
    assert state.step == 7
    jax.tree.map(np.testing.assert_array_equal, state.mu, moments["adam_m"])
    jax.tree.map(np.testing.assert_array_equal, state.nu, moments["adam_v"])
    del arrays["bert/pooler/dense/bias/adam_v"]
    write_bundle(prefix, arrays)
    with pytest.raises(UserError, match="adam_v: bert/pooler/dense/bias is missing"):
        read_state(prefix, config)


def test_weights_alone_have_no_state(exported, config):
    with pytest.raises(UserError, match="holds no adam_m, weights only"):
        read_state(exported, config)
    arrays = variables(exported / "bert_model.ckpt")
    del arrays["global_step"]
    write_bundle(exported / "bert_model.ckpt", arrays)
    with pytest.raises(UserError, match="holds no global_step"):
        read_state(exported, config)
    assert read_tensorflow(exported, config).config == config


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"bert/pooler/dense/bias": None}, "bert/pooler/dense/bias is missing"),
        ({"bert/pooler/dense/adapter": np.zeros((2, 32), np.float32)}, "bert/pooler/dense/adapter is no part"),
        ({"bert/encoder/layer_2/output/dense/bias": np.zeros(32, np.float32)}, "holds 3 layers and its config says"),
        (
            {"cls/predictions/output_bias": np.zeros(7, np.float32)},
            "output_bias has shape (7,) and the config says (101,)",
        ),
        ({"_CHECKPOINTABLE_OBJECT_GRAPH": np.zeros(1, np.float32)}, "is of TensorFlow 2"),
    ],
)
def test_what_cannot_be_mapped_is_named(exported, config, change, complaint):
    arrays = variables(exported / "bert_model.ckpt") | change
    write_bundle(exported / "bert_model.ckpt", {name: array for name, array in arrays.items() if array is not None})
    with pytest.raises(UserError, match=re.escape(complaint)):
        read_tensorflow(exported, config)


def rewrite(prefix, change):
    """The checkpoint with these variables too, or without those that are None."""
    arrays = variables(prefix) | change
    write_bundle(prefix, {name: array for name, array in arrays.items() if array is not None})


def assert_read(found, params, without=()):
    """All arrays of `params` but for those parts, which are missing."""
    expected = {path: array for path, array in flatten(params).items() if not path.startswith(without)}
    assert found.arrays.keys() == expected.keys()
    assert set(found.missing) == flatten(params).keys() - expected.keys()
    for path, array in expected.items():
        np.testing.assert_array_equal(found.arrays[path], array, strict=True)


@pytest.mark.parametrize(
    ("scopes", "parts"),
    [
        (("cls/",), ("masked_lm/", "next_sentence/")),
        (("cls/seq_relationship/",), ("next_sentence/",)),
        (("cls/", "bert/pooler/"), ("masked_lm/", "next_sentence/", "encoder/pooler/")),
    ],
)
def test_heads_and_pooler_may_be_missing_and_are_named(exported, config, params, caplog, scopes, parts):
    prefix = exported / "bert_model.ckpt"
    rewrite(prefix, {name: None for name in variables(prefix) if name.startswith(scopes)})
    found = read_tensorflow(exported, config)
    assert_read(found, params, without=parts)
    assert f"{prefix} does not hold {', '.join(found.missing)}: newly initialised" in caplog.text


def test_what_other_programs_keep_is_not_used_and_named(exported, config, params, caplog):
    """A classifier's head, LAMB's moments, loss scaling and a text, which is not even read."""
    caplog.set_level("INFO")
    prefix = exported / "bert_model.ckpt"
    heads = {"output_weights": np.ones((2, 32), np.float32), "output_bias": np.ones(2, np.float32)}
    held = {name: array for name, array in variables(prefix).items() if name != "global_step"} | heads
    slots = {f"{name}/{slot}": array for name, array in held.items() for slot in ("lamb_m", "lamb_v")}
    numbers = {name: np.float32(1) for name in ("beta1_power", "current_loss_scale")}
    rewrite(prefix, {**heads, **slots, **numbers})
    assert_read(read_tensorflow(exported, config), params)
    unused = "beta1_power, current_loss_scale, output_bias, output_weights"
    assert f"{prefix} holds {unused}, which have no place here: not used" in caplog.text
    assert f"{prefix} holds an optimizer's lamb_m, lamb_v: not used" in caplog.text


def test_variables_that_are_not_used_are_not_read(exported, config, params):
    tf = pytest.importorskip("tensorflow")
    prefix = str(exported / "bert_model.ckpt")
    arrays = variables(prefix) | {"words": np.array([b"a", b"b"])}
    tensors = [tf.constant(array) for array in arrays.values()]
    tf.raw_ops.SaveV2(prefix=prefix, tensor_names=list(arrays), shape_and_slices=[""] * len(arrays), tensors=tensors)
    assert_read(read_tensorflow(exported, config), params)


def test_moments_of_heads_that_are_not_there(exported, config, params):
    prefix = exported / "bert_model.ckpt"
    encoder = {name: array for name, array in variables(prefix).items() if name.startswith("bert/")}
    slots = {f"{name}/{slot}": array * 2 for name, array in encoder.items() for slot in ("adam_m", "adam_v")}
    write_bundle(prefix, {**encoder, **slots, "global_step": np.array(7, np.int64)})
    state = read_state(exported, config)
    assert state.mu.keys() == {"encoder"}
    jax.tree.map(
        lambda moment, array: np.testing.assert_array_equal(moment, array * 2), state.nu["encoder"], params["encoder"]
    )


@pytest.mark.parametrize("step", [np.array([7], np.int64), np.float32(np.nan), None])
def test_a_step_that_is_none(exported, config, step):
    rewrite(exported / "bert_model.ckpt", {"global_step": step})
    with pytest.raises(UserError, match="holds no global_step"):
        read_state(exported, config)


def test_integers_are_no_weights(exported, config):
    rewrite(exported / "bert_model.ckpt", {"bert/pooler/dense/bias": np.zeros(32, np.int32)})
    with pytest.raises(UserError, match="bert/pooler/dense/bias is of type int32; give weights in floating point"):
        read_tensorflow(exported, config)


def test_a_checkpoint_of_another_model(exported, config):
    write_bundle(exported / "bert_model.ckpt", {"electra/embeddings/word_embeddings": np.zeros((101, 32), np.float32)})
    with pytest.raises(UserError, match="holds no BERT encoder, but electra/embeddings/word_embeddings; give a BERT"):
        read_tensorflow(exported, config)


def test_a_directory_with_one_checkpoint_of_any_name(exported, config, params):
    for file in exported.glob("bert_model.ckpt.*"):
        file.rename(exported / file.name.replace("bert_model.ckpt", "model.ckpt-90"))
    assert find_checkpoint(exported) == str(exported / "model.ckpt-90")
    assert_read(read_tensorflow(exported, config), params)
    write_bundle(exported / "model.ckpt-100", variables(exported / "model.ckpt-90"))
    with pytest.raises(UserError, match=r"holds several checkpoints: model.ckpt-100, model.ckpt-90; give one of them"):
        find_checkpoint(exported)
    (exported / "config.json").write_text("{}")
    (exported / "model.safetensors").write_text("")
    assert find_checkpoint(exported) is None  # Hugging Face's, with others beside


def test_where_a_checkpoint_is(exported):
    prefix = str(exported / "bert_model.ckpt")
    assert find_checkpoint(exported) == find_checkpoint(prefix) == find_checkpoint(f"{prefix}.index") == prefix
    assert find_checkpoint(exported / "other.ckpt") is None
    with pytest.raises(UserError, match="is no original-BERT checkpoint"):
        read_tensorflow(exported / "other.ckpt", ModelConfig())


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("{", "is not JSON"),
        (b"\xff\xfe{}", "is not JSON"),
        ("[" * 100_000, "nested too deeply"),
        ("[]", "Expected `object`, got `array`"),
        ("null", "Expected `object`, got `null`"),
        ({"hidden_size": "32"}, "Expected `int`, got `str` at `hidden_size`"),
        ({"hidden_size": -32}, "Expected `int` >= 1 at `hidden_size`"),
        ({"num_hidden_layers": 10**9}, "holds 2 layers and its config says num_hidden_layers=1000000000"),
        ({"num_attention_heads": 5}, "says hidden_size=32 and num_attention_heads=5, which does not divide it"),
    ],
)
def test_settings_that_cannot_be_are_one_line(exported, content, complaint):
    path = exported / "bert_config.json"
    if isinstance(content, dict):
        content = json.dumps(json.loads(path.read_text()) | content)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError, match=re.escape(complaint)) as error:
        read_tensorflow(exported, ModelConfig())
    assert str(exported) in str(error.value)
    assert "--config" not in str(error.value)
    assert "\n" not in str(error.value)


def test_settings_beside_it_are_needed(exported):
    (exported / "bert_config.json").unlink()
    with pytest.raises(UserError, match=r"bert_config\.json does not exist"):
        read_tensorflow(exported, ModelConfig())


@pytest.mark.parametrize("hidden_act", ["gelu", "gelu_tanh"])
def test_every_setting_comes_back(hidden_act):
    config = ModelConfig(vocab_size=9, hidden_act=hidden_act, layer_norm_eps=1e-7, type_vocab_size=3)
    assert from_original_config(to_original_config(config), ModelConfig(), "c") == config


@pytest.mark.parametrize("hidden_act", ["gelu", "gelu_tanh"])
def test_settings_as_google_released_them(hidden_act):
    """The content of uncased_L-2_H-128_A-2/bert_config.json, and what BertConfig takes for what is left out."""
    values = {
        "hidden_size": 128,
        "hidden_act": "gelu",
        "initializer_range": 0.02,
        "vocab_size": 30522,
        "hidden_dropout_prob": 0.1,
        "num_attention_heads": 2,
        "type_vocab_size": 2,
        "max_position_embeddings": 512,
        "num_hidden_layers": 2,
        "intermediate_size": 512,
        "attention_probs_dropout_prob": 0.1,
    }
    settings = ModelConfig(hidden_act=hidden_act)
    sizes = {"hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 512}
    assert from_original_config(values, settings, "c") == ModelConfig(30522, **sizes, hidden_act=hidden_act)
    del values["type_vocab_size"]
    assert from_original_config(values, settings, "c").type_vocab_size == 16


def test_settings_of_another_model_are_refused():
    for values, complaint in [
        ({"vocab_size": 9, "hidden_act": "relu"}, "hidden_act='relu'"),
        ({"vocab_size": 9, "gelu_approximate": "quick"}, "gelu_approximate='quick'"),
        ({}, "missing required field `vocab_size`"),
    ]:
        with pytest.raises(UserError, match=complaint):
            from_original_config(values, ModelConfig(), "bert_config.json")


def test_what_the_originals_programs_do_otherwise_is_said(exported, config, params, caplog):
    changed = dataclasses.replace(config, hidden_act="gelu", layer_norm_eps=1e-7)
    write_tensorflow(exported, Trained(1, params, {}, {}), changed, load_tokenizer(exported))
    assert "GELU's tanh form" in caplog.text
    assert "layer_norm_eps=1e-12 and not 1e-07" in caplog.text
    assert "accents" not in caplog.text
    tokenizer = Tokenizer(WordPiece(SPECIAL, lowercase=True, strip_accents=False))
    write_tensorflow(exported, Trained(1, params, {}, {}), config, tokenizer)
    assert "has strip_accents=False and tokenize_chinese_chars=True, so their ids will be others" in caplog.text
    assert "added tokens" not in caplog.text
    tokenizer = Tokenizer(WordPiece(SPECIAL, lowercase=True), added_tokens=[AddedToken(5, "covid")])
    write_tensorflow(exported, Trained(1, params, {}, {}), config, tokenizer)
    assert "the original's programs know no added tokens, and split 'covid' too" in caplog.text
    assert load_tokenizer(exported).fingerprint == tokenizer.fingerprint


OTHERS = [
    pytest.param(module, marks=pytest.mark.slow)
    for module in ("build_vocab", "build_records", "evaluate", "interchange.tensorflow")
]


@pytest.mark.parametrize("module", ["pretrain", *OTHERS])
def test_tensorflow_is_not_loaded_where_it_is_installed(module):
    code = f"import sys, bert_jax.{module}; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
