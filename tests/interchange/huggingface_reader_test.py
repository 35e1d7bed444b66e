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
from bert_jax.interchange.bert_names import HUGGINGFACE
from bert_jax.interchange.huggingface import to_huggingface_config
from bert_jax.interchange.huggingface_reader import find_weights, read_huggingface
from bert_jax.interchange.renames import parameters
from bert_jax.model.functional import flatten
from tests.state_dicts import from_huggingface

NO_HEADS = {"masked_lm", "next_sentence"}
SIZES = ("vocab_size", "hidden_size", "num_attention_heads", "intermediate_size", "max_position_embeddings")
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
    return flatten(from_huggingface({name: tensor.numpy() for name, tensor in state_dict.items()}, model_config))


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


def of_data_parallelism(tensors):
    return {f"module.{name}": tensor for name, tensor in tensors.items()}


def of_lightning_and_compile(tensors):
    return {f"model._orig_mod.{name}": tensor for name, tensor in tensors.items()}


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
@pytest.mark.parametrize(
    "dialect",
    [as_is, older_names, decoder_written_out, bias_at_the_decoder, of_data_parallelism, of_lightning_and_compile],
)
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


@pytest.mark.parametrize("safe", [True, False])
def test_weights_in_several_files(tmp_path, torch_model, ours, model_config, safe):
    torch_model.save_pretrained(tmp_path, safe_serialization=safe, max_shard_size="20KB")
    assert len(list(tmp_path.glob("*-of-*"))) > 3
    read = read_huggingface(tmp_path, ELSEWHERE)
    assert_read(read, ours, model_config)
    assert read.missing == []
    index = find_weights(tmp_path)
    assert index.name.endswith(".index.json")
    heads = dataclasses.replace(ELSEWHERE, num_attention_heads=model_config.num_attention_heads)
    assert_read(read_huggingface(index, heads), ours, dataclasses.replace(model_config, hidden_act="gelu"))


def in_several_files(tmp_path, torch_model):
    torch_model.save_pretrained(tmp_path, max_shard_size="20KB")
    index = tmp_path / "model.safetensors.index.json"
    return index, json.loads(index.read_text())


def test_a_piece_that_is_missing_is_named(tmp_path, torch_model):
    index, content = in_several_files(tmp_path, torch_model)
    piece = content["weight_map"]["bert.pooler.dense.weight"]
    (tmp_path / piece).rename(tmp_path / "aside")
    with pytest.raises(UserError, match=f"{index} names {piece}, which is missing beside it"):
        read_huggingface(tmp_path, ELSEWHERE)


@pytest.mark.parametrize("file", ["../aside.bin", "/etc/passwd", "..", "a/b.bin", "model.py", 3, None])
def test_an_index_names_files_beside_it_only(tmp_path, torch_model, file):
    index, content = in_several_files(tmp_path, torch_model)
    content["weight_map"]["bert.pooler.dense.weight"] = file
    index.write_text(json.dumps(content))
    with pytest.raises(UserError, match=rf"{index} is damaged .*`weight_map\[...\]`; fetch it again"):
        read_huggingface(tmp_path, ELSEWHERE)


def test_an_index_that_says_what_is_not_so(tmp_path, torch_model):
    index, content = in_several_files(tmp_path, torch_model)
    content["weight_map"]["bert.pooler.dense.weight"] = content["weight_map"]["bert.embeddings.LayerNorm.bias"]
    index.write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"bert\.pooler\.dense\.weight, which is not in the file that it says"):
        read_huggingface(tmp_path, ELSEWHERE)


@pytest.mark.parametrize(
    "saved",
    [
        lambda model: dict(model.named_parameters()),  # which need gradients
        lambda model: list(model.named_parameters()),
        lambda model: {"epoch": 3, "model": model.state_dict(), "optimizer": {"state": {}}},
        lambda model: {"state_dict": {f"model.{name}": one for name, one in model.state_dict().items()}},
        lambda model: {"model": {"module": model.state_dict()}},
        lambda model: model.state_dict() | {"epoch": 3},
    ],
)
def test_what_training_programs_save_with_torch(tmp_path, torch_model, ours, model_config, saved):
    torch_model.config.save_pretrained(tmp_path)
    torch.save(saved(torch_model), tmp_path / "pytorch_model.bin")
    read = read_huggingface(tmp_path, ELSEWHERE)
    assert_read(read, ours, model_config)
    assert read.missing == []


@pytest.mark.parametrize(
    ("task", "heads", "missing"),
    [
        ("SequenceClassification", "classifier.weight, classifier.bias", NO_HEADS),
        ("TokenClassification", "classifier.weight, classifier.bias", NO_HEADS | {"encoder"}),
        ("QuestionAnswering", "qa_outputs.weight, qa_outputs.bias", NO_HEADS | {"encoder"}),
    ],
)
def test_heads_of_another_task_are_not_used_and_named(
    tmp_path, torch_model, ours, model_config, caplog, task, heads, missing
):
    torch_model.save_pretrained(tmp_path / "all")
    getattr(transformers, f"BertFor{task}").from_pretrained(tmp_path / "all").save_pretrained(tmp_path)
    read = read_huggingface(tmp_path, ELSEWHERE)
    assert_read(read, ours, model_config)
    assert {path.split("/")[0] for path in read.missing} == missing
    assert sorted(read.unused) == sorted(heads.split(", "))
    assert any(f"holds {names}, which have no place here" in caplog.text for names in (heads, flip(heads)))


def flip(heads):
    return ", ".join(reversed(heads.split(", ")))


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


def test_an_encoder_alone_ties_nothing(tmp_path, torch_model, ours, model_config):
    """Whatever its config.json says of output layers; a head that is there has to be tied."""
    torch_model.config.tie_word_embeddings = False
    torch_model.bert.save_pretrained(tmp_path / "encoder")
    assert_read(read_huggingface(tmp_path / "encoder", ELSEWHERE), ours, model_config)
    torch_model.save_pretrained(tmp_path / "heads")
    with pytest.raises(UserError, match=r"says tie_word_embeddings=False; only BERT with tie_word_embeddings=True"):
        read_huggingface(tmp_path / "heads", ELSEWHERE)


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
    assert_read(read_huggingface(tmp_path, ELSEWHERE), flatten(expected), model_config)


def untie(tensors):
    tensors["cls.predictions.decoder.weight"] = tensors["bert.embeddings.word_embeddings.weight"] + 1


def add_an_adapter(tensors):
    tensors["bert.encoder.layer.1.adapter.weight"] = torch.zeros(2, 32)


def add_a_layer(tensors):
    tensors["bert.encoder.layer.2.output.dense.bias"] = torch.zeros(32)


def name_a_layer_far_away(tensors):
    tensors["bert.encoder.layer.999999999.output.dense.bias"] = torch.zeros(32)


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
        (add_an_adapter, "bert.encoder.layer.1.adapter.weight is no part"),
        (add_a_layer, "holds 3 layers and its config says num_hidden_layers=2"),
        (name_a_layer_far_away, "holds 3 layers and its config says num_hidden_layers=2"),
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


@pytest.mark.parametrize(
    "spoil",
    [
        lambda tensor: tensor.to_sparse(),
        lambda tensor: tensor.to_sparse_csr(),
        lambda tensor: tensor.to("meta"),
        lambda tensor: torch.quantize_per_tensor(tensor, 0.1, 0, torch.qint8),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")  # torch's, of the kinds of tensors
def test_a_tensor_without_all_its_numbers_is_named(tmp_path, state_dict, spoil):
    name = "bert.embeddings.word_embeddings.weight"
    torch.save(state_dict | {name: spoil(state_dict[name])}, tmp_path / "weights.bin")
    with pytest.raises(UserError, match=f"{name} is sparse, quantized or empty; save it as a dense tensor of floats"):
        read_huggingface(tmp_path / "weights.bin", ELSEWHERE)


def test_a_tensor_that_is_larger_than_its_file(tmp_path, torch_model):
    """A thousand million rows that are one number."""
    vast = {"embeddings.word_embeddings.weight": torch.zeros(1).expand(1_000_000_000, 32)}
    torch.save(torch_model.bert.state_dict() | vast, tmp_path / "weights.bin")
    with pytest.raises(UserError, match=r"word_embeddings.weight is larger than what is stored of it"):
        read_huggingface(tmp_path / "weights.bin", ELSEWHERE)


@pytest.mark.parametrize(
    "change",
    [
        lambda header: header["bert.pooler.dense.bias"].update(shape=[33]),
        lambda header: header["bert.pooler.dense.bias"].update(shape=[2**40, 2**40]),
        lambda header: header["bert.pooler.dense.bias"].update(shape=[-1]),
        lambda header: header["bert.pooler.dense.bias"].update(dtype="F128"),
        lambda header: header["bert.pooler.dense.bias"].update(data_offsets=[0, 128]),
        lambda header: header["bert.pooler.dense.bias"].update(data_offsets=[2**60, 2**60 + 128]),
        lambda header: header.update({"bert.pooler.dense.bias": None}),
        lambda header: header.update({"a\nb": header["bert.pooler.dense.bias"]}),
        lambda header: header.update(deep=json.loads("[" * 900 + "]" * 900)),
    ],
)
def test_a_header_that_lies_is_one_line(tmp_path, state_dict, change):
    path = write(tmp_path / "weights.safetensors", state_dict)
    content = path.read_bytes()
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    change(header)
    changed = json.dumps(header).encode()
    path.write_bytes(len(changed).to_bytes(8, "little") + changed + content[8 + size :])
    with pytest.raises(UserError, match=f"{path} is not a whole safetensors file") as error:
        read_huggingface(path, ELSEWHERE)
    assert "\n" not in str(error.value)


def test_strange_names_stay_on_one_line(tmp_path, state_dict):
    strange = {"bert.a\nb": torch.zeros(1), "bert." + "x" * 5000: torch.zeros(1)}
    path = write(tmp_path / "weights.safetensors", state_dict | strange)
    with pytest.raises(UserError, match="is no part of BERT") as error:
        read_huggingface(path, dataclasses.replace(ELSEWHERE, num_attention_heads=8))
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 1000


def test_a_pickle_that_would_run_code_does_not(tmp_path, state_dict):
    path = write(tmp_path / "weights.bin", state_dict | {"trap": Trap(tmp_path / "sprung")})
    with pytest.raises(UserError, match=r"would run code when loaded \(.*open\), which is not allowed") as error:
        read_huggingface(path, ELSEWHERE)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("content", [[1, 2], {"model": {}, "epoch": 3}, torch.zeros(2), {0: torch.zeros(1)}, None])
def test_a_pickle_of_something_else_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "weights.bin")
    with pytest.raises(UserError, match="is not a state dict"):
        read_huggingface(tmp_path / "weights.bin", ELSEWHERE)


def test_weights_of_no_bert_are_refused(tmp_path):
    path = write(tmp_path / "weights.safetensors", {"conv.weight": torch.zeros(3, 3)})
    with pytest.raises(UserError, match=r"holds no BERT encoder, but conv\.weight; give a BERT model's weights"):
        read_huggingface(path, ELSEWHERE)


@pytest.mark.parametrize("name", ["weights.safetensors", "weights.bin"])
@pytest.mark.parametrize("dtype", [torch.int8, torch.int64, torch.bool, torch.complex64])
def test_only_floating_point_is_weights(tmp_path, state_dict, name, dtype):
    path = write(tmp_path / name, state_dict | {"bert.pooler.dense.bias": torch.zeros(32, dtype=dtype)})
    with pytest.raises(UserError, match=r"bert\.pooler\.dense\.bias is of type .*; give weights in floating point"):
        read_huggingface(path, ELSEWHERE)


def test_a_config_of_another_model_is_refused(tmp_path, torch_model):
    torch_model.save_pretrained(tmp_path)
    values = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(values | {"model_type": "electra"}))
    with pytest.raises(
        UserError, match="model_type='electra'; only bert, roberta, albert, distilbert, roformer can be read"
    ):
        read_huggingface(tmp_path, ELSEWHERE)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ('{"model_type', "is not JSON"),
        (b"\xff\xfe{}", "is not JSON"),
        ("[" * 100_000, "nested too deeply"),
        ("[]", "Expected `object`, got `array`"),
        ("null", "Expected `object`, got `null`"),
        ({"vocab_size": None}, "Expected `int`, got `null` at `vocab_size`"),
        ({"hidden_size": "32"}, "Expected `int`, got `str` at `hidden_size`"),
        ({"hidden_size": -32}, "Expected `int` >= 1 at `hidden_size`"),
        ({"hidden_size": 10**9}, "has shape (101, 32) and the config says (101, 1000000000)"),
        (dict.fromkeys(SIZES, 2**31 - 1), "has shape (101, 32) and the config says (2147483647, 2147483647)"),
        ({"num_hidden_layers": 10**9}, "holds 2 layers and its config says num_hidden_layers=1000000000"),
        ({"num_attention_heads": 5}, "says hidden_size=32 and num_attention_heads=5, which does not divide it"),
        ({"hidden_dropout_prob": 1}, "Expected `float` < 1.0 at `hidden_dropout_prob`"),
        ({"layer_norm_eps": float("nan")}, "Expected `float` >= 0.0 at `layer_norm_eps`"),
        ({"hidden_act": ["gelu"]}, "Expected `str`, got `array` at `hidden_act`"),
        ({"model_type": ["bert"] * 1000}, "says model_type=['bert', 'bert',"),
    ],
)
def test_a_config_that_cannot_be_is_one_line(tmp_path, torch_model, content, complaint):
    torch_model.save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    if isinstance(content, dict):
        content = json.dumps(json.loads(path.read_text()) | content)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError, match=re.escape(complaint)) as error:
        read_huggingface(tmp_path, ELSEWHERE)
    assert str(tmp_path) in str(error.value)
    assert "--config" not in str(error.value)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 500


@pytest.mark.timeout(60)  # minutes, were every layer of a model to be traced for its shapes
def test_a_small_file_of_a_thousand_layers_takes_no_longer(tmp_path):
    config = ModelConfig(5, 2, 1000, num_attention_heads=1, intermediate_size=2, max_position_embeddings=2)
    arrays = {param.name: np.ones(param.their_shape, np.float32) for param in parameters(HUGGINGFACE, config)}
    write(tmp_path / "weights.safetensors", {name: torch.from_numpy(array) for name, array in arrays.items()})
    read = read_huggingface(tmp_path / "weights.safetensors", config)
    assert (len(read.arrays), read.config.num_hidden_layers) == (len(arrays), 1000)


def test_the_settings_of_pytorch_pretrained_bert(tmp_path, torch_model, ours, model_config):
    torch_model.save_pretrained(tmp_path)
    (tmp_path / "config.json").rename(tmp_path / "bert_config.json")
    assert_read(read_huggingface(tmp_path, ELSEWHERE), ours, model_config)


@pytest.mark.parametrize(
    ("files", "complaint"),
    [
        (["flax_model.msgpack", "config.json"], "flax_model.msgpack is not read; with transformers 4, Bert"),
        (["tf_model.h5", "config.json"], "from_tf=True"),
        (["model.onnx"], "model.onnx is not read; give the torch or safetensors weights"),
        (["params.npz"], "params.npz is not read; give a directory of export --format=numpy, with its config.json"),
        (["adapter_model.safetensors"], "adapter_model.safetensors is not read; put the adapter into its model"),
        (["pytorch_model.bin"], "it holds pytorch_model.bin and no config.json; put the model's beside it"),
        (["model-00001-of-00002.safetensors", "config.json"], "without their index, NAME.index.json"),
        (["config.json", "epoch3.pt"], "it holds epoch3.pt; give such a file itself"),
        (["config.json"], "give a directory with config.json and one of model.safetensors, "),
    ],
)
def test_what_is_not_read_is_named_with_what_to_do(tmp_path, files, complaint):
    for file in files:
        (tmp_path / file).write_bytes(b"{}")
    with pytest.raises(UserError, match=re.escape(complaint)):
        read_huggingface(tmp_path, ELSEWHERE)
    with pytest.raises(UserError, match="there is nothing of that name; correct the path"):
        read_huggingface(tmp_path / "nothing", ELSEWHERE)


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
