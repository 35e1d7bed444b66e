"""Paths that a caller of the library gives: "~" is the home directory, as in a shell."""

import numpy as np
import pytest

import bert_jax
from bert_jax.text.load_tokenizer import load_tokenizer


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def test_what_is_saved_in_the_home_directory_is_loaded_from_there(home, workdirs):
    workdirs.TOKENIZER.save("~/vocabulary")
    assert load_tokenizer("~/vocabulary").tokens == workdirs.TOKENIZER.tokens
    model = bert_jax.from_config(workdirs.MODEL, "~/vocabulary")
    model.save("~/model")
    assert (home / "model" / "config.json").exists()
    loaded = bert_jax.load("~/model")
    assert loaded.name == f"{home}/model"
    np.testing.assert_array_equal(loaded.embed(["a cat"]), model.embed(["a cat"]))


def test_records_of_the_home_directory(home, chain):
    (home / "records").symlink_to(chain.records(32))
    batch = next(bert_jax.read_records("~/records", batch_size=2))
    assert batch["input_ids"].shape[0] == 2


def test_what_is_no_path_is_one_line():
    with pytest.raises(bert_jax.UserError, match=r"^records=5 .*give a path$"):
        bert_jax.read_records(5, batch_size=2)
