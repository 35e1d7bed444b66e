"""Reading weights as transformers and its forerunners wrote them, and as people break them."""

import dataclasses
import json
import re

import numpy as np
import pytest
import safetensors.torch
import torch
import transformers

from bert_jax.config import ModelConfig
from bert_jax.errors import UserError
from bert_jax.interchange import names
from bert_jax.interchange.huggingface import from_huggingface, to_huggingface_config
from bert_jax.interchange.huggingface_reader import find_weights, read_huggingface

NO_HEADS = {"masked_lm", "next_sentence"}
ELSEWHERE = ModelConfig(vocab_size=7, hidden_size=8, num_attention_heads=8)  # settings of quite another model


@pytest.fixture
def torch_model(model_config):
    torch.manual_seed(0)
    model = transformers.BertForPreTraining(transformers.BertConfig(**to_huggingface_config(model_config, pad_id=0)))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter)
    return model


@pytest.fixture
def state_dict(torch_model):
    """By name, decoder left out, as save_pretrained writes it."""
    return {name: tensor.clone() for name, tensor in torch_model.state_dict().items() if "decoder" not in name}


@pytest.fixture
def ours(state_dict, model_config):
    """The same weights, flat, by our paths."""
    return names.flatten(from_huggingface({name: tensor.numpy() for name, tensor in state_dict.items()}, model_config))


def write(path, tensors):
    if path.suffix == ".safetensors":
        safetensors.torch.save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
    else:
        torch.save(tensors, path)
    return path


def assert_read(read, expected, config):
    assert read.config == config
    assert read.arrays.keys() | set(read.missing) == expected.keys()
    for path, array in read.arrays.items():
        np.testing.assert_array_equal(array, expected[path], err_msg=path)
        assert array.dtype == np.float32


def older_names(tensors):
    norms = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
    pattern = re.compile("|".join(norms))
    renamed = {pattern.sub(lambda found: norms[found[0]], name): tensor for name, tensor in tensors.items()}
    return renamed | {"bert.embeddings.position_ids": torch.arange(16)[None]}


def decoder_written_out(tensors):
    decoder = {
        "cls.predictions.decoder.weight": tensors["bert.embeddings.word_embeddings.weight"].clone(),
        "cls.predictions.decoder.bias": tensors["cls.predictions.bias"].clone(),
    }
    return tensors | decoder


def bias_at_the_decoder(tensors):
    bias = {"cls.predictions.decoder.bias": tensors["cls.predictions.bias"]}
    return {name: tensor for name, tensor in tensors.items() if name != "cls.predictions.bias"} | bias


def as_is(tensors):
    return tensors


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
@pytest.mark.parametrize("dialect", [as_is, older_names, decoder_written_out, bias_at_the_decoder])
def test_every_dialect_gives_the_same_weights(tmp_path, torch_model, state_dict, ours, model_config, name, dialect):
    torch_model.config.save_pretrained(tmp_path)
    write(tmp_path / name, dialect(state_dict))
    read = read_huggingface(tmp_path, ELSEWHERE)
    assert_read(read, ours, model_config)
    assert read.missing == []


@pytest.mark.parametrize("safe", [True, False])
def test_what_transformers_saves(tmp_path, torch_model, ours, model_config, safe):
    torch_model.save_pretrained(tmp_path, safe_serialization=safe)
    assert_read(read_huggingface(tmp_path, ELSEWHERE), ours, model_config)


@pytest.mark.parametrize("name", ["weights.safetensors", "weights.pt"])
def test_a_single_file_tells_its_sizes_and_the_settings_tell_the_rest(tmp_path, state_dict, ours, model_config, name):
    settings = dataclasses.replace(
        ELSEWHERE, num_attention_heads=model_config.num_attention_heads, hidden_act="gelu_tanh"
    )
    read = read_huggingface(write(tmp_path / name, state_dict), settings)
    assert_read(read, ours, dataclasses.replace(model_config, hidden_act="gelu_tanh"))


def test_an_encoder_alone_is_read_and_its_heads_are_missing(tmp_path, torch_model, ours, model_config, caplog):
    torch_model.bert.save_pretrained(tmp_path)  # names without "bert."
    read = read_huggingface(tmp_path, ELSEWHERE)
    assert_read(read, ours, model_config)
    assert {path.split("/")[0] for path in read.missing} == NO_HEADS
    assert "next_sentence/kernel" in caplog.text


def test_a_masked_language_model_has_neither_pooler_nor_next_sentence(tmp_path, torch_model, ours, model_config):
    torch_model.save_pretrained(tmp_path)
    transformers.BertForMaskedLM.from_pretrained(tmp_path).save_pretrained(tmp_path / "mlm")
    read = read_huggingface(tmp_path / "mlm", ELSEWHERE)
    assert_read(read, ours, model_config)
    assert sorted(read.missing) == [
        "encoder/pooler/bias",
        "encoder/pooler/kernel",
        "next_sentence/bias",
        "next_sentence/kernel",
    ]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_other_floating_point_becomes_float32(tmp_path, torch_model, state_dict, model_config, dtype, name):
    torch_model.config.save_pretrained(tmp_path)
    rounded = {name: tensor.to(dtype) for name, tensor in state_dict.items()}
    write(tmp_path / name, rounded)
    expected = from_huggingface({name: tensor.float().numpy() for name, tensor in rounded.items()}, model_config)
    assert_read(read_huggingface(tmp_path, ELSEWHERE), names.flatten(expected), model_config)


def untie(tensors):
    tensors["cls.predictions.decoder.weight"] = tensors["bert.embeddings.word_embeddings.weight"] + 1


def add_classifier(tensors):
    tensors["classifier.weight"] = torch.zeros(2, 32)


def lose_half_a_head(tensors):
    del tensors["cls.predictions.transform.dense.bias"]


def lose_a_layers_bias(tensors):
    del tensors["bert.encoder.layer.1.output.dense.bias"]


def say_twice(tensors):
    tensors["bert.embeddings.LayerNorm.gamma"] = tensors["bert.embeddings.LayerNorm.weight"].clone()


def widen(tensors):
    tensors["bert.embeddings.word_embeddings.weight"] = torch.zeros(104, 32)


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (untie, "cls.predictions.decoder.weight differs"),
        (add_classifier, "classifier.weight is no part"),
        (lose_half_a_head, "cls.predictions.transform.dense.bias is missing"),
        (lose_a_layers_bias, "bert.encoder.layer.1.output.dense.bias is missing"),
        (say_twice, "holds bert.embeddings.LayerNorm.weight twice"),
        (widen, "bert.embeddings.word_embeddings.weight has shape (104, 32) and the config says (101, 32)"),
    ],
)
def test_what_has_no_place_is_named(tmp_path, torch_model, state_dict, damage, complaint):
    torch_model.config.save_pretrained(tmp_path)
    damage(state_dict)
    write(tmp_path / "model.safetensors", state_dict)
    with pytest.raises(UserError, match=re.escape(complaint)):
        read_huggingface(tmp_path, ELSEWHERE)


@pytest.mark.parametrize("name", ["weights.safetensors", "weights.bin"])
@pytest.mark.parametrize("kept", [0, 5, 1000, -1])
def test_a_truncated_file_is_one_line(tmp_path, state_dict, name, kept):
    path = write(tmp_path / name, state_dict)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(UserError, match=re.escape(str(path))) as error:
        read_huggingface(path, ELSEWHERE)
    assert "\n" not in str(error.value)


class Trap:
    """Unpickling it creates a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_a_pickle_that_would_run_code_does_not(tmp_path, state_dict):
    path = write(tmp_path / "weights.bin", state_dict | {"trap": Trap(tmp_path / "sprung")})
    with pytest.raises(UserError, match="would run code") as error:
        read_huggingface(path, ELSEWHERE)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("content", [[1, 2], {"model": {"a": torch.zeros(1)}, "epoch": 3}, torch.zeros(2)])
def test_a_pickle_of_something_else_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "weights.bin")
    with pytest.raises(UserError, match="is not a state dict"):
        read_huggingface(tmp_path / "weights.bin", ELSEWHERE)


def test_weights_of_no_bert_are_refused(tmp_path):
    path = write(tmp_path / "weights.safetensors", {"conv.weight": torch.zeros(3, 3)})
    with pytest.raises(UserError, match="holds no BERT encoder"):
        read_huggingface(path, ELSEWHERE)


def test_integers_are_no_weights(tmp_path):
    path = write(tmp_path / "weights.safetensors", {"bert.pooler.dense.bias": torch.zeros(3, dtype=torch.int8)})
    with pytest.raises(UserError, match="'I8'"):
        read_huggingface(path, ELSEWHERE)


def test_a_config_of_another_model_is_refused(tmp_path, torch_model):
    torch_model.save_pretrained(tmp_path)
    values = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(values | {"model_type": "roberta"}))
    with pytest.raises(UserError, match="model_type='roberta'"):
        read_huggingface(tmp_path, ELSEWHERE)
    (tmp_path / "config.json").write_text('{"model_type')
    with pytest.raises(UserError, match=r"config\.json is not JSON"):
        read_huggingface(tmp_path, ELSEWHERE)


def test_where_weights_are(tmp_path, torch_model):
    assert find_weights(tmp_path) is None
    assert find_weights(tmp_path / "absent.safetensors") is None
    (tmp_path / "notes.txt").write_text("none")
    assert find_weights(tmp_path / "notes.txt") is None
    torch_model.save_pretrained(tmp_path)
    assert find_weights(tmp_path) == tmp_path / "model.safetensors"
    assert find_weights(tmp_path / "model.safetensors") == tmp_path / "model.safetensors"
    with pytest.raises(UserError, match="holds no Hugging Face weights"):
        read_huggingface(tmp_path / "notes.txt", ELSEWHERE)
