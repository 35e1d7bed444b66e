"""A model whose layers are not BERT's, in a program: torch's numbers in float64, answers, and what is kept of it."""

import dataclasses

import jax
import numpy as np
import pytest
import torch

import bert_jax
from bert_jax.interchange.renames import flatten
from tests.layer_fields import FIELDS
from tests.random_params import random_params
from tests.torch_layers import reference

TEXTS = ["The cat sat on the mat.", ("where is paris?", "It is the capital of France.")]


@pytest.fixture(scope="module")
def config(workdirs):
    return dataclasses.replace(workdirs.MODEL, hidden_act="gelu", **FIELDS)


@pytest.fixture(scope="module")
def model(workdirs, config):
    return bert_jax.from_config(config, workdirs.TOKENIZER).with_params(random_params(config))


def test_hidden_states_are_sums_and_the_last_one_is_normalised(model, config):
    batch = model.encode(TEXTS)
    theirs = reference(config, model.params)
    inputs = (torch.from_numpy(batch[name]) for name in ("input_ids", "attention_mask", "segment_ids"))
    with torch.no_grad():
        expected = theirs.hidden_states(*(array.long() for array in inputs))
    found, here = model.apply(model.params, batch).hidden_states, batch["attention_mask"][:, :, None]
    assert len(found) == len(expected) == config.num_hidden_layers + 1
    for ours, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours * here, other.numpy() * here, rtol=1e-5, atol=1e-5)
    means = (expected[-1].numpy() * here).sum(axis=1) / here.sum(axis=1)
    np.testing.assert_allclose(model.embed(TEXTS), means, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("changes", [{}, {"pre_norm": False, "left_to_right": True, "next_sentence": False}])
def test_it_is_no_hugging_face_directory(config, workdirs, tmp_path, changes):
    config = dataclasses.replace(config, **changes)
    unlike = config.how_unlike_bert if config.pre_norm else f"left_to_right=True, {config.how_unlike_bert}"
    with pytest.raises(bert_jax.UserError, match=rf"has no place for {unlike}; keep params yourself.*with_params"):
        bert_jax.from_config(config, workdirs.TOKENIZER).save(tmp_path / "kept")
    assert not list(tmp_path.iterdir())


def test_a_fine_tuned_one_answers_and_is_kept(config, workdirs, tmp_path):
    workdirs.write_workdir(tmp_path / "run", "classification", config)
    tuned = bert_jax.load(tmp_path / "run")
    assert tuned.config == config
    batch = tuned.encode(TEXTS)
    logits = tuned.apply(tuned.params, batch).logits
    answers = tuned.predict(TEXTS)
    labels = tuned.task.labels
    assert [each["label"] for each in answers] == [labels[number] for number in np.argmax(logits, axis=1)]
    probabilities = np.asarray([[each["probabilities"][label] for label in labels] for each in answers])
    np.testing.assert_allclose(probabilities, jax.nn.softmax(logits), atol=1e-5)
    changed = tuned.with_params(jax.tree.map(lambda leaf: 1.5 * leaf, tuned.params))
    changed.save(tmp_path / "kept")
    kept = bert_jax.load(tmp_path / "kept")
    for path, array in flatten(changed.params).items():
        np.testing.assert_array_equal(flatten(kept.params)[path], array, err_msg=path)
    assert kept.predict(TEXTS) == changed.predict(TEXTS) != answers
