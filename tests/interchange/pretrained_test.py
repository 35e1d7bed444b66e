"""A fine-tuned workdir as the model that another run begins with."""

import json

import numpy as np
import pytest

from bert_jax.config import ModelConfig
from bert_jax.errors import UserError
from bert_jax.interchange.pretrained import read_pretrained
from bert_jax.model.functional import flatten


@pytest.mark.parametrize("kind", ["classification", "tagging"])
def test_its_encoder_is_taken_and_its_head_is_not(workdirs, tmp_path, caplog, kind):
    workdirs.write_workdir(tmp_path / "run", kind)
    found = read_pretrained(tmp_path / "run", ModelConfig())
    params = flatten(workdirs.random_params(kind))
    assert found.arrays.keys() == {path for path in params if path.startswith("encoder/")}
    for path, array in found.arrays.items():
        np.testing.assert_array_equal(array, params[path])
    assert (found.config, found.tokenizer.fingerprint) == (workdirs.MODEL, workdirs.TOKENIZER.fingerprint)
    is_fresh = "does not hold encoder/pooler/bias, encoder/pooler/kernel: newly initialised"
    assert (is_fresh in caplog.text) == (kind == "tagging")


def test_one_that_is_not_whole_is_refused(workdirs, tmp_path):
    directory = tmp_path / "run"
    workdirs.write_workdir(directory, "tagging")
    weights = (directory / "model.safetensors").read_bytes()
    (directory / "model.safetensors").write_bytes(weights[:-1] + b"x")
    with pytest.raises(UserError, match="is not as it was written"):
        read_pretrained(directory, ModelConfig())
    (directory / "model.safetensors").unlink()
    with pytest.raises(UserError, match="is missing; restore it"):
        read_pretrained(directory, ModelConfig())
    (directory / "task.json").write_text(json.dumps({"kind": "tagging"}))
    with pytest.raises(UserError, match="is damaged or of another version"):
        read_pretrained(directory, ModelConfig())
    (directory / "task.json").unlink()
    (directory / "seed_0").mkdir()
    with pytest.raises(UserError, match="is a fine-tuning that has not ended; run its command again to resume"):
        read_pretrained(directory, ModelConfig())
