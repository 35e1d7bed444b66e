"""Weights as an .npz file: everything is in it, nothing depends on when it was written, and it is read back."""

import dataclasses
import json
import zipfile

import jax
import numpy as np
import pytest
from etils import epath

from bert_jax.config import ModelConfig
from bert_jax.errors import UserError
from bert_jax.interchange.numpy import is_numpy, read_numpy, write_numpy
from bert_jax.interchange.pretrained import read_pretrained
from bert_jax.model.functional import flatten
from bert_jax.model.pretraining import pretraining_model
from bert_jax.text.load_tokenizer import load_tokenizer
from bert_jax.text.tokenizer import Tokenizer
from bert_jax.text.wordpiece import WordPiece
from bert_jax.workdir.trained import Trained
from tests.layer_fields import FIELDS
from tests.random_params import random_params


@pytest.mark.parametrize("fields", [{}, FIELDS], ids=["", "unlike BERT"])
def test_weights_settings_and_tokenizer(tmp_path, model_config, fields):
    model_config = dataclasses.replace(model_config, **fields)
    tokenizer = Tokenizer(WordPiece(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a"], lowercase=False))
    random = np.random.default_rng(0)
    params = jax.tree.map(lambda leaf: random.normal(0, 1, leaf.shape), pretraining_model(model_config).abstract_params)
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        write_numpy(epath.Path(tmp_path / name), Trained(1, params, {}, {}), model_config, tokenizer)
    with np.load(tmp_path / "one" / "params.npz") as found:
        assert set(found) == flatten(params).keys()
        for path, array in flatten(params).items():
            np.testing.assert_array_equal(found[path], array.astype(np.float32), strict=True)
    assert ModelConfig(**json.loads((tmp_path / "one" / "config.json").read_text())) == model_config
    assert load_tokenizer(tmp_path / "one").fingerprint == tokenizer.fingerprint
    for file in (tmp_path / "one").iterdir():
        assert file.read_bytes() == (tmp_path / "two" / file.name).read_bytes()
    with zipfile.ZipFile(tmp_path / "one" / "params.npz") as archive:
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


HEADS = ("masked_lm/", "next_sentence/", "encoder/pooler/")
# Settings, and beginnings of arrays that are not there.
KEPT = {
    "bert": ({}, ()),
    "an encoder": ({}, HEADS),
    "unlike BERT": (FIELDS, ()),
    "unlike BERT, without the next-sentence head": (FIELDS, ("next_sentence/",)),
    "roberta": ({"type_vocab_size": 0, "next_sentence": False}, ()),
    "albert": ({"num_hidden_layers": 4, "num_hidden_groups": 2, "embedding_size": 16}, ()),
    "left to right": ({"left_to_right": True, "next_sentence": False, "initializer": "normal"}, ()),
}


def written(directory, workdirs, without=(), **fields):
    """The directory, its arrays and settings; `without` arrays with these beginnings."""
    config = dataclasses.replace(workdirs.MODEL, **fields)
    arrays = {path: array for path, array in flatten(random_params(config)).items() if not path.startswith(without)}
    directory.mkdir()
    write_numpy(epath.Path(directory), Trained(1, arrays, {}, {}), config, workdirs.TOKENIZER)
    return directory, arrays, config


@pytest.mark.parametrize(("fields", "without"), KEPT.values(), ids=KEPT)
def test_it_is_read_back_bit_for_bit(workdirs, tmp_path, fields, without):
    directory, arrays, config = written(tmp_path / "out", workdirs, without, **fields)
    assert is_numpy(directory)
    found = read_pretrained(directory, ModelConfig(num_hidden_layers=7), ("",))
    assert (found.config, found.heads) == (config, [])
    assert found.tokenizer.fingerprint == workdirs.TOKENIZER.fingerprint
    assert found.arrays.keys() == arrays.keys()
    for path, array in arrays.items():
        np.testing.assert_array_equal(found.arrays[path], array, strict=True)


def test_of_a_fine_tuned_model_the_encoder_is_read(workdirs, tmp_path, caplog):
    directory, arrays, _ = written(tmp_path / "out", workdirs, HEADS[:2], **FIELDS)
    np.savez(directory / "params.npz", **arrays, **{"classifier/kernel": np.ones((32, 3), np.float32)})
    found = read_numpy(directory)
    assert (found.arrays.keys(), found.heads) == (arrays.keys(), ["classifier/kernel"])
    assert "holds classifier/kernel, which have no place here: not used" in caplog.text


def test_a_pooler_that_only_the_task_had_is_no_fault(workdirs, tmp_path):
    """As of a RoBERTa: its pretraining model has no pooler, and a model fine-tuned from it has one."""
    directory, arrays, _ = written(tmp_path / "out", workdirs, next_sentence=False)
    pooler = {"encoder/pooler/kernel": np.ones((32, 32), np.float32), "encoder/pooler/bias": np.ones(32, np.float32)}
    np.savez(directory / "params.npz", **arrays, **pooler, **{"classifier/bias": np.ones(3, np.float32)})
    found = read_numpy(directory)
    assert (found.arrays.keys(), found.heads) == (arrays.keys(), ["classifier/bias"])


def damaged(directory, arrays, config, how):
    file, settings = directory / "params.npz", dataclasses.asdict(config)
    some = "encoder/layer_1/gate/kernel"
    match how:
        case "cut off":
            file.write_bytes(file.read_bytes()[:-100])
        case "a bit":
            content = bytearray(file.read_bytes())
            content[len(content) // 2] ^= 1
            file.write_bytes(content)
        case "a pickle":
            np.savez(file, **{**arrays, some: np.array([print], object)})
        case "an array alone":
            with file.open("wb") as content:
                np.save(content, arrays[some])
        case "a part is missing":
            np.savez(file, **{path: array for path, array in arrays.items() if path != some})
        case "whole numbers":
            np.savez(file, **{**arrays, some: arrays[some].astype(int)})
        case "no number":
            np.savez(file, **{**arrays, some: np.full_like(arrays[some], np.nan)})
        case "others' names":
            np.savez(file, **{"params/" + path: array for path, array in arrays.items()})
        case "another size":
            settings["intermediate_size"] = 63
        case "more layers":
            settings["num_hidden_layers"] = 1000
        case "a layer less":
            settings["gated_feed_forward"] = False
        case "others' settings":
            settings = {"model_type": "bert", "hidden_size": 32}
        case "no model":
            settings["num_attention_heads"] = 5
        case "no vocabulary":
            (directory / "vocabulary.json").unlink()
            (directory / "vocab.txt").unlink()
    (directory / "config.json").write_text(json.dumps(settings))


@pytest.mark.parametrize(
    ("how", "complaint"),
    [
        *((how, "params.npz is not a whole .npz file of numbers; export it again") for how in ("cut off", "a bit")),
        *((how, "params.npz is not a whole .npz file of numbers") for how in ("a pickle", "an array alone")),
        ("a part is missing", "encoder/layer_1/gate/kernel is missing; give the weights of a whole model"),
        ("whole numbers", "encoder/layer_1/gate/kernel is of type int64; give weights in floating point"),
        ("no number", "encoder/layer_1/gate/kernel is not finite"),
        ("others' names", "params.npz holds no bert_jax encoder, but params/encoder/"),
        ("another size", "has shape \\(32, 64\\) and the config says \\(32, 63\\)"),
        ("more layers", "holds 2 layers and its config says num_hidden_layers=1000"),
        ("a layer less", "gate/kernel.* is no part of bert_jax"),
        ("others' settings", "config.json is of another version of bert_jax: `model_type` is no setting; export it ag"),
        ("no model", "config.json: hidden_size=32 cannot be used; give a multiple of num_attention_heads=5"),
        ("no vocabulary", "has no vocabulary beside its weights"),
    ],
)
def test_what_is_no_export_of_ours_is_one_line(workdirs, tmp_path, how, complaint):
    directory, arrays, config = written(tmp_path / "out", workdirs, **FIELDS)
    damaged(directory, arrays, config, how)
    with pytest.raises(UserError, match=complaint) as error:
        read_pretrained(directory, ModelConfig(), ("",))
    assert "\n" not in str(error.value)
