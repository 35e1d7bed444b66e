"""Somebody's model in another format without a run: what is there is written, and what is not is said."""

import dataclasses
import json

import numpy as np
import pytest
import safetensors.numpy
import torch
import transformers
from etils import epath

from bert_jax.config import ModelConfig
from bert_jax.errors import UserError
from bert_jax.interchange.albert_names import TENSORFLOW
from bert_jax.interchange.exports import ExportOptions
from bert_jax.interchange.families import family_of
from bert_jax.interchange.foreign_exports import export
from bert_jax.interchange.huggingface import write_huggingface
from bert_jax.interchange.renames import to_theirs
from bert_jax.interchange.tensor_bundle import write_bundle
from bert_jax.interchange.tensorflow import read_tensorflow
from bert_jax.model.functional import flatten
from bert_jax.text.load_tokenizer import load_tokenizer
from bert_jax.workdir.trained import Trained
from tests.random_params import random_params

SETTINGS = {
    "bert": {},
    "roberta": {"type_vocab_size": 0, "next_sentence": False, "layer_norm_eps": 1e-5},
    "albert": {"num_hidden_layers": 4, "num_hidden_groups": 2, "embedding_size": 16},
    "distilbert": {"type_vocab_size": 0, "next_sentence": False},
}


@pytest.fixture(scope="module")
def published(workdirs, tmp_path_factory):
    """published(family) -> the directory of a model of transformers, and what it was made of."""

    def publish(name):
        config = dataclasses.replace(workdirs.MODEL, **SETTINGS[name])
        params, directory = random_params(config), epath.Path(tmp_path_factory.mktemp(name))
        write_huggingface(directory, Trained(1, params, {}, {}), config, workdirs.TOKENIZER, family_of(config))
        return directory, config, params

    return publish


def converted(tmp_path, model, kind, name="out", **wanted):
    directory = epath.Path(tmp_path / name)
    directory.mkdir()
    assert export(directory, None, str(model), ExportOptions(kind, **wanted)) == str(model)
    return directory


@pytest.mark.parametrize("family", SETTINGS)
def test_the_same_model_comes_out_bit_for_bit(workdirs, published, tmp_path, family):
    source, _, params = published(family)
    out = converted(tmp_path, source, "huggingface")
    held = [safetensors.numpy.load((directory / "model.safetensors").read_bytes()) for directory in (source, out)]
    assert held[0].keys() == held[1].keys()
    for name, array in held[0].items():
        np.testing.assert_array_equal(array, held[1][name], err_msg=name)
    assert (source / "config.json").read_text() == (out / "config.json").read_text()
    assert load_tokenizer(out).tokens == workdirs.TOKENIZER.tokens
    assert f"The weights of `{source}`" in (out / "README.md").read_text()
    out = converted(tmp_path, source, "numpy", "npz")
    with np.load(out / "params.npz") as found:
        assert set(found) == flatten(params).keys()
        for path, array in flatten(params).items():
            np.testing.assert_array_equal(found[path], array)


def test_hugging_face_to_the_original_and_its_albert_to_hugging_face(workdirs, published, tmp_path):
    source, config, params = published("bert")
    found = read_tensorflow(converted(tmp_path, source, "tensorflow"), ModelConfig())
    assert found.config == config
    for path, array in flatten(params).items():
        np.testing.assert_array_equal(found.arrays[path], array)
    source, config, params = published("albert")
    original = epath.Path(tmp_path / "original")
    original.mkdir()
    write_bundle(original / "model.ckpt-best", to_theirs(params, TENSORFLOW, config))
    keys = ("hidden_size", "num_hidden_layers", "num_hidden_groups", "num_attention_heads", "embedding_size")
    keys += ("vocab_size", "intermediate_size", "max_position_embeddings")
    (original / "albert_config.json").write_text(json.dumps({key: getattr(config, key) for key in keys}))
    workdirs.TOKENIZER.save(original)
    out = converted(tmp_path, original, "huggingface", "albert")
    model, info = transformers.AlbertForPreTraining.from_pretrained(out, output_loading_info=True)
    assert {key: list(value) for key, value in info.items()} == {key: [] for key in info}
    ours = params["encoder"]["layer_1"]["output"]["kernel"]
    theirs = model.albert.encoder.albert_layer_groups[1].albert_layers[0].ffn_output.weight
    np.testing.assert_array_equal(theirs.detach().numpy().T, ours)


@pytest.mark.parametrize(
    ("theirs", "written", "lost"),
    [
        ("BertForMaskedLM", "BertForMaskedLM", None),
        ("BertModel", "BertModel", None),
        ("BertForNextSentencePrediction", "BertModel", "next_sentence/bias, next_sentence/kernel"),
        ("BertForSequenceClassification", "BertModel", None),
    ],
)
def test_what_is_there_is_written(workdirs, published, tmp_path, caplog, theirs, written, lost):
    source, _, _ = published("bert")
    part = tmp_path / "part"
    torch.manual_seed(0)
    getattr(transformers, theirs).from_pretrained(source).save_pretrained(part)
    workdirs.TOKENIZER.save(epath.Path(part))
    if theirs == "BertForSequenceClassification":
        with pytest.raises(UserError, match=r"a head of a task, classifier.*; --drop_heads|classifier.*--drop_heads"):
            converted(tmp_path, part, "huggingface", "refused")
    out = converted(tmp_path, part, "huggingface", drop_heads=written == "BertModel")
    model, info = getattr(transformers, written).from_pretrained(out, output_loading_info=True)
    assert model.config.architectures == [written]
    assert {key: list(value) for key, value in info.items()} == {key: [] for key in info}
    assert ("is but a part of a head: left out" in caplog.text) == (lost is not None)
    assert lost is None or lost in caplog.text
    if written == "BertModel":
        with pytest.raises(UserError, match="this model is of an encoder without heads"):
            converted(tmp_path, part, "tensorflow", "original", drop_heads=True)


def test_the_encoder_alone(published, tmp_path):
    source, _, params = published("bert")
    out = converted(tmp_path, source, "huggingface", drop_heads=True)
    model = transformers.BertModel.from_pretrained(out)
    assert model.config.architectures == ["BertModel"]
    ours = params["encoder"]["layer_1"]["output"]["kernel"]
    np.testing.assert_array_equal(model.encoder.layer[1].output.dense.weight.detach().numpy().T, ours)
    out = converted(tmp_path, source, "numpy", "npz", drop_heads=True)
    with np.load(out / "params.npz") as found:
        assert set(found) == {path for path in flatten(params) if path.startswith("encoder/")}
    for_sentences = converted(tmp_path, source, "sentence-transformers", "st")
    for directory in (out, tmp_path / "out", for_sentences):
        assert "of the encoder alone" in (directory / "README.md").read_text()


def test_what_cannot_be_written_is_one_line(workdirs, published, tmp_path):
    source, _, _ = published("roberta")
    for model, wanted, complaint in [
        (source / "model.safetensors", ExportOptions("numpy"), "does not say all its settings; give a directory"),
        (source, ExportOptions("numpy", step=3), "--step=3"),
        (
            source,
            ExportOptions("tensorflow", drop_heads=True),
            "an encoder without heads; give --format=huggingface or numpy",
        ),
        (
            source,
            ExportOptions("numpy", family="bert"),
            "--family=bert is for transformers; leave it out with --format=numpy",
        ),
        (
            source,
            ExportOptions("tensorflow"),
            "next_sentence=False, type_vocab_size=0; give --format=huggingface or numpy",
        ),
        (tmp_path / "absent", ExportOptions("numpy"), "there is nothing of that name"),
    ]:
        with pytest.raises(UserError, match=complaint):
            export(epath.Path(tmp_path), None, str(model), wanted)
    assert not list(tmp_path.iterdir())
