"""A model whose layers are not BERT's, in a program: torch's numbers in float64, answers, and what is kept of it."""

import dataclasses

import jax
import numpy as np
import pytest
import torch
from etils import epath

import bert_jax
from bert_jax.config import LAYERS_OF_BERT
from bert_jax.interchange.numpy import write_numpy
from bert_jax.model.functional import flatten
from bert_jax.workdir.trained import Trained
from tests.layer_fields import FIELDS
from tests.random_params import random_params
from tests.torch_layers import reference

ROTARY = {**LAYERS_OF_BERT, "position_embedding": "rotary"}
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


# What a model is -> what no Hugging Face directory has of it, or has beside it; "": there is one.
KEPT = [
    ({}, "pre_norm=True, gated_feed_forward=True, use_bias=False, position_embedding=rotary"),
    ({**LAYERS_OF_BERT, "left_to_right": True, "next_sentence": False}, "left_to_right=True"),
    ({**LAYERS_OF_BERT, "type_vocab_size": 0}, "encoder/embeddings/token_type/embedding"),
    (ROTARY, "encoder/pooler/bias, encoder/pooler/kernel and 2 others"),
    ({**ROTARY, "next_sentence": False}, ""),
    (LAYERS_OF_BERT, ""),
    ({**LAYERS_OF_BERT, "type_vocab_size": 0, "next_sentence": False}, ""),
    ({**LAYERS_OF_BERT, "num_hidden_groups": 1, "embedding_size": 16}, ""),
]


@pytest.mark.parametrize(("changes", "others"), KEPT)
def test_what_is_saved_is_the_same_model(config, workdirs, tmp_path, caplog, changes, others):
    config = dataclasses.replace(config, **changes)
    assert_kept(made(config, workdirs, tmp_path), tmp_path)
    said = f"kept is written as by export --format=numpy: no Hugging Face directory is the same model ({others})"
    assert (said in caplog.text) == bool(others)
    assert (tmp_path / "kept" / "model.safetensors").exists() == (not others)
    assert len(caplog.records) == bool(others)


def test_a_part_of_a_head_and_what_it_says_of_its_vectors_are_kept(config, workdirs, tmp_path):
    config = dataclasses.replace(config, **LAYERS_OF_BERT)
    model = made(config, workdirs, tmp_path, '{"max_seq_length": 8}', without="next_sentence/")
    kept = assert_kept(model, tmp_path)
    assert (kept.params.keys(), kept.max_length) == ({"encoder", "masked_lm"}, 8)


def made(config, workdirs, directory, says=None, without="none"):
    """A model without the arrays of that beginning, quickly: from_config would compile for seconds."""
    arrays = {path: each for path, each in flatten(random_params(config)).items() if not path.startswith(without)}
    (directory / "made").mkdir()
    write_numpy(epath.Path(directory / "made"), Trained(1, arrays, {}, {}), config, workdirs.TOKENIZER)
    if says:
        (directory / "made" / "sentence_bert_config.json").write_text(says)
    return bert_jax.load(directory / "made")


def assert_kept(model, directory):
    """Saved and loaded it is the same; gives what was loaded."""
    model.save(directory / "kept")
    kept = bert_jax.load(directory / "kept")
    assert kept.tokenizer.fingerprint == model.tokenizer.fingerprint
    # Which heads there are is told by the arrays, and how they were drawn is over.
    free = {name: getattr(model.config, name) for name in ("next_sentence", "initializer")}
    assert dataclasses.replace(kept.config, **free) == model.config
    before, after = flatten(model.params), flatten(kept.params)
    assert before.keys() == after.keys()
    for path, array in before.items():
        np.testing.assert_array_equal(after[path], array, err_msg=path)
    return kept


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
