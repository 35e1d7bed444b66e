"""The StableHLO program in a process that cannot import bert_jax: our numbers, in every head and family."""

import dataclasses
import json
import subprocess
import sys

import jax
import numpy as np
import pytest
from etils import epath
from jax import export

from bert_jax.interchange.exports import ExportOptions, write_pretrained
from bert_jax.interchange.own_settings import OwnSettings
from bert_jax.model.pretraining import pretraining_model
from bert_jax.model.tasks import task_model
from bert_jax.serving.options import Options
from bert_jax.serving.programs import program_writer
from bert_jax.workdir.trained import Trained
from tests.layer_fields import FIELDS
from tests.random_params import random_params

PROGRAM = """
import json, sys
sys.modules["bert_jax"] = sys.modules["flax"] = None  # to the import system: there are none
import jax, jax.export, numpy
given = {name: jax.numpy.asarray(array) for name, array in numpy.load(sys.argv[1]).items()}
found = {}
for directory in sys.argv[3:]:
    about = json.load(open(f"{directory}/program.json"))
    program = jax.export.deserialize(bytearray(open(f"{directory}/{about['program']}", "rb").read()))
    assert program.platforms == ("cpu", "cuda", "tpu"), program.platforms
    weights = dict(numpy.load(f"{directory}/{about['weights']}"))
    inputs = {name: given[name] for name in about["inputs"]}
    if "num_choices" in about["inputs"]["input_ids"]["shape"]:
        inputs = {name: jax.numpy.stack([array, array[::-1]], axis=1) for name, array in inputs.items()}
    outputs = jax.jit(program.call)(weights, inputs)
    for name, array in outputs.items():
        assert about["outputs"][name]["dtype"] == str(array.dtype)
        assert len(about["outputs"][name]["shape"]) == array.ndim
    assert outputs.keys() == about["outputs"].keys()
    found |= {f"{directory}:{name}": array for name, array in outputs.items()}
numpy.savez(sys.argv[2], **found)
"""


@pytest.fixture(scope="module")
def elsewhere(batch, tmp_path_factory):
    """elsewhere(directories) -> {directory: outputs by name}, of the same batch."""

    def run(*directories):
        place = tmp_path_factory.mktemp("elsewhere")
        inputs = {name.replace("segment", "token_type"): array for name, array in batch().items()}
        np.savez(place / "in.npz", **inputs)
        command = [sys.executable, "-c", PROGRAM, place / "in.npz", place / "out.npz", *directories]
        done = subprocess.run(list(map(str, command)), cwd=place, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        found = {str(directory): {} for directory in directories}
        for name, array in np.load(place / "out.npz").items():
            directory, _, output = name.rpartition(":")
            found[directory][output] = array
        return [found[str(directory)] for directory in directories]

    return run


def assert_close(found, expected, most=2e-6):
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= most * np.abs(expected).max()


@pytest.mark.slow
def test_heads_of_tasks(workdirs, served_task, configs, elsewhere, batch):
    kinds = ["classification", "regression", "tagging", "qa", "choice", "similarity"]
    directories = [served_task(kind, "stablehlo") for kind in kinds]
    for kind, directory, found in zip(kinds, directories, elsewhere(*directories), strict=True):
        inputs = batch()
        if kind in ("choice", "similarity"):
            both = [inputs] if kind == "similarity" else [inputs, {name: array[::-1] for name, array in inputs.items()}]
            inputs = {name: np.stack([each[name] for each in both], axis=1) for name in inputs}
        apply, params = workdirs.model_of(kind, configs["bert"]).apply, workdirs.random_params(kind)
        ours = np.asarray(jax.jit(apply)(params, **inputs))
        if kind == "qa":
            found = {"logits": np.stack([found["start_logits"], found["end_logits"]], axis=-1)}
        elif kind == "similarity":
            found, ours = {"logits": found["sentence_embedding"]}, ours[:, 0]
        assert_close(found["logits"], ours * 1.25 + 3.5 if kind == "regression" else ours)
        about = json.loads((directory / "program.json").read_text())
        assert about["task"] is None if kind == "similarity" else about["task"]["kind"] == kind
        assert (directory / "tokenizer.json").exists()
    assert about["max_length"] == workdirs.MAX_LENGTH


@pytest.mark.parametrize("types", [1, 2])
def test_layers_that_are_not_berts(workdirs, configs, batch, tmp_path, types):
    """At two lengths; of one token type there are no token_type_ids, and no positions that it could be added to."""
    config = dataclasses.replace(configs["bert"], type_vocab_size=types, **FIELDS)
    params = random_params(config)
    wanted = ExportOptions("stablehlo", write_program=program_writer("stablehlo", Options()))
    write_pretrained(epath.Path(tmp_path), Trained(1, params, {}, {}), config, workdirs.TOKENIZER, wanted)
    program = export.deserialize(bytearray((tmp_path / "model.stablehlo").read_bytes()))
    weights, about = dict(np.load(tmp_path / "params.npz")), json.loads((tmp_path / "program.json").read_text())
    assert "encoder/layer_1/gate/kernel" in weights
    for length in (48, 20):
        given = {name: array[:, :length] for name, array in batch().items()}
        if types == 1:
            given["segment_ids"] = np.zeros_like(given["segment_ids"])
        inputs = {name: given[name.replace("token_type", "segment")] for name in about["inputs"]}
        assert ("token_type_ids" in inputs) == (types == 2)
        assert_close(program.call(weights, inputs)["logits"], masked_words(params, config, given))


@pytest.mark.parametrize("pooling", ["cls", "max"])
def test_vectors_are_pooled_as_the_model_says(workdirs, configs, batch, tmp_path, pooling):
    encoder = {"encoder": random_params(configs["bert"])["encoder"]}
    wanted = ExportOptions("stablehlo", drop_heads=True, write_program=program_writer("stablehlo", Options()))
    trained, own = Trained(1, encoder, {}, {}), OwnSettings(None, pooling, normalized=True)
    write_pretrained(epath.Path(tmp_path), trained, configs["bert"], workdirs.TOKENIZER, wanted, own)
    program = export.deserialize(bytearray((tmp_path / "model.stablehlo").read_bytes()))
    about, given = json.loads((tmp_path / "program.json").read_text()), batch()
    inputs = {name: given[name.replace("token_type", "segment")] for name in about["inputs"]}
    found = program.call(dict(np.load(tmp_path / "params.npz")), inputs)["sentence_embedding"]
    model = task_model(f"embedding_{pooling}", 0, configs["bert"])
    alone = {name: part for name, part in encoder["encoder"].items() if name != "pooler"}
    ours = model.apply({"encoder": alone}, **{name: array[:, None] for name, array in given.items()})[:, 0]
    assert_close(np.asarray(found), np.asarray(ours / np.linalg.norm(ours, axis=-1, keepdims=True)), most=1e-5)


@pytest.mark.slow
def test_families_one_sided_models_and_bfloat16(workdirs, served, served_task, configs, elsewhere, batch, monkeypatch):
    families = ["bert", "roberta", "albert"]
    made = [served(family, "stablehlo") for family in families]
    half, _ = served("bert", "stablehlo", dtype="bfloat16")
    one_sided = dataclasses.replace(configs["bert"], left_to_right=True, next_sentence=False)
    with monkeypatch.context() as patch:
        patch.setitem(configs, "bert", one_sided)
        directory = served_task("classification", "stablehlo")
    *outputs, in_half, of_one_sided = elsewhere(*(directory for directory, _ in made), half, directory)
    for family, (_, params), found in zip(families, made, outputs, strict=True):
        assert_close(found["logits"], masked_words(params, configs[family], batch()))
    assert_close(in_half["logits"], outputs[0]["logits"], most=0.1)
    assert not np.array_equal(in_half["logits"], outputs[0]["logits"])
    model, params = (make("classification", config=one_sided) for make in (workdirs.model_of, workdirs.random_params))
    assert_close(of_one_sided["logits"], np.asarray(jax.jit(model.apply)(params, **batch())))


def masked_words(params, config, inputs):
    """Our logits of all tokens, where the pretraining model makes those of masked ones only."""
    model = pretraining_model(dataclasses.replace(config, next_sentence=False))
    encoder = {name: part for name, part in params["encoder"].items() if name != "pooler"}

    def logits(params, inputs):
        module = model.module(params)
        return module.masked_lm(module.encoder(**inputs)[-1], module.encoder.embeddings.word.embedding[...])

    return np.asarray(jax.jit(logits)({"encoder": encoder, "masked_lm": params["masked_lm"]}, inputs))
