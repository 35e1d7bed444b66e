"""Weights as an .npz file: everything is in it, and nothing in it depends on when it was written."""

import dataclasses
import json
import zipfile

import jax
import numpy as np
import pytest
from etils import epath

from bert_jax.config import ModelConfig
from bert_jax.interchange.numpy import write_numpy
from bert_jax.interchange.renames import flatten
from bert_jax.model.pretraining import pretraining_model
from bert_jax.text.tokenizer import Tokenizer, load_tokenizer
from bert_jax.text.wordpiece import WordPiece
from bert_jax.workdir.trained import Trained
from tests.layer_fields import FIELDS


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
