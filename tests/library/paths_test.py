"""Paths that a caller of the library gives: "~" is the home directory, as in a shell."""

import shutil

import numpy as np
import pytest

import bert_jax
from bert_jax.data.source import RecordSource
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


def test_records_that_the_system_refuses_are_one_line(chain, tmp_path):
    """By a link that leads to itself: what is closed to others is open to root."""
    records = shutil.copytree(chain.records(32), tmp_path / "records")
    shard = min(records.glob("*train.tfrecord*"))
    shard.unlink()
    shard.symlink_to(shard.name)
    with pytest.raises(bert_jax.UserError, match=rf"{shard.name}: too many levels of symbolic links; fix them"):
        bert_jax.read_records(records, batch_size=2)


@pytest.mark.parametrize("refused", [PermissionError(13, "Permission denied", "/a/records.json"), OSError(5, "", "/a")])
def test_records_that_cannot_be_opened_are_one_line(monkeypatch, refused):
    def refuse(*_):
        raise refused

    monkeypatch.setattr("bert_jax.library.records.RecordSource", refuse)
    with pytest.raises(bert_jax.UserError, match=r"^/a.*: (permission denied|input/output error); "):
        bert_jax.read_records("/a", batch_size=2)


@pytest.mark.parametrize("in_order", [True, False])
def test_records_that_are_refused_when_they_are_read_are_one_line(chain, monkeypatch, in_order):
    def refuse(*_):
        raise PermissionError(13, "Permission denied", "/a/shard")

    batches = bert_jax.read_records(chain.records(32), batch_size=2, in_order=in_order)
    monkeypatch.setattr(RecordSource, "fetch", refuse)
    with pytest.raises(bert_jax.UserError, match=r"^/a/shard: permission denied; let this account read"):
        next(batches)


def test_what_is_no_path_is_one_line():
    with pytest.raises(bert_jax.UserError, match=r"^records=5 .*give a path$"):
        bert_jax.read_records(5, batch_size=2)
