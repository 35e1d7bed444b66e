"""RoBERTa, ALBERT and DistilBERT against transformers' torch models with the same weights, as parity_test.py does BERT.

What no token of theirs reads has large random numbers: RoBERTa's first two rows of positions; and so has its row of the
one token type, which every token reads.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import transformers
from flax import nnx

from bert_jax.interchange.families import ALBERT, FAMILIES, ROBERTA, family_of
from bert_jax.interchange.huggingface import to_huggingface, to_huggingface_config
from bert_jax.model.pretraining import PretrainingModel, pretraining_model
from bert_jax.objectives.pretraining import PretrainingObjective
from tests.model.parity_test import BATCH, LENGTH, make_batch, make_config, model_inputs
from tests.state_dicts import from_huggingface

BERT = make_config("gelu", 2)
NO_PAIRS = {"type_vocab_size": 0, "next_sentence": False}
CASES = {
    "roberta": dataclasses.replace(BERT, **NO_PAIRS, layer_norm_eps=1e-5),
    "albert": dataclasses.replace(
        BERT, hidden_act="gelu_tanh", embedding_size=24, num_hidden_layers=4, num_hidden_groups=2
    ),
    "albert, one group": dataclasses.replace(
        BERT, hidden_act="gelu_tanh", embedding_size=64, num_hidden_layers=3, num_hidden_groups=1
    ),
    "albert without a dense layer": dataclasses.replace(BERT, num_hidden_layers=4, num_hidden_groups=2),
    "distilbert": dataclasses.replace(BERT, **NO_PAIRS),
}
UNREAD = {"roberta": 2}  # rows of positions
PAD_ID = {"roberta": 1}
STD = 0.1


def pad_id(family):
    return PAD_ID.get(family.model_type, 0)


def make_torch_model(config, family, seed=0):
    """Its every parameter is random, biases and LayerNorms too."""
    settings = to_huggingface_config(config, pad_id(family), family)
    theirs = transformers.AutoConfig.for_model(**settings, attn_implementation="eager")
    model = getattr(transformers, family.pretraining_class(config))(theirs).eval()
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        center = 1.0 if name.lower().endswith("norm.weight") else 0.0
        parameter.data = center + STD * torch.randn(parameter.shape, generator=generator)
    model.tie_weights()
    embeddings = model.base_model.embeddings
    if family is ROBERTA:
        embeddings.position_embeddings.weight.data[: pad_id(family) + 1] *= 1e4
        embeddings.token_type_embeddings.weight.data *= 20
    if family is ALBERT and not config.embedding_size:
        torch.nn.init.eye_(model.albert.encoder.embedding_hidden_mapping_in.weight)
        torch.nn.init.zeros_(model.albert.encoder.embedding_hidden_mapping_in.bias)
    return model


def our_params(model, config, family):
    state_dict = {name: tensor.numpy().copy() for name, tensor in model.state_dict().items()}
    arrays = {name: array for name, array in state_dict.items() if name not in family.names.tied}
    return jax.tree.map(jnp.asarray, from_huggingface(arrays, config, family, pad_id(family)))


def family_batch(config, family):
    """Padding is padding's own id; that of a text's own tokens is never it, for transformers takes it for padding."""
    batch = make_batch(dataclasses.replace(config, type_vocab_size=config.type_vocab_size or 2))
    tokens, padding = batch["input_mask"] > 0, pad_id(family)
    ids = np.where(tokens & (batch["input_ids"] == padding), padding + 1, batch["input_ids"])
    return batch | {"input_ids": np.where(tokens, ids, padding).astype(np.int32)}


def torch_inputs(batch, config):
    inputs = {"input_ids": batch["input_ids"], "attention_mask": batch["input_mask"]}
    if config.type_vocab_size:
        inputs["token_type_ids"] = batch["segment_ids"]
    return {name: torch.from_numpy(array).long() for name, array in inputs.items()}


@pytest.fixture(scope="module", params=CASES, ids=str)
def case(request):
    config = CASES[request.param]
    family = FAMILIES[request.param.split()[0].strip(",")]
    assert family_of(config) is family
    model = make_torch_model(config, family)
    return config, family, model, our_params(model, config, family), family_batch(config, family)


def test_hidden_states_and_logits(case):
    config, _, model, params, batch = case
    with torch.no_grad():
        theirs = model(**torch_inputs(batch, config), output_hidden_states=True)
    graph, _ = nnx.split(jax.eval_shape(lambda: PretrainingModel(config, jnp.float32, nnx.Rngs(0))))
    states = jax.jit(lambda params, *ids: nnx.merge(graph, params).encoder(*ids))(params, *model_inputs(batch)[:3])
    logits = jax.jit(pretraining_model(config).apply)(params, *model_inputs(batch))

    here = batch["input_mask"][:, :, None]  # what is computed at padding is nobody's business
    assert len(states) == len(theirs.hidden_states) == 1 + config.num_hidden_layers
    for our_layer, their_layer in zip(states, theirs.hidden_states, strict=True):
        np.testing.assert_allclose(our_layer * here, their_layer.numpy() * here, rtol=0, atol=1e-5)
    prediction = theirs.prediction_logits if config.next_sentence else theirs.logits
    at_masks = np.take_along_axis(prediction.numpy(), batch["masked_lm_positions"][:, :, None], axis=1)
    np.testing.assert_allclose(logits.masked_lm, at_masks, rtol=0, atol=1e-5)
    if config.next_sentence:
        np.testing.assert_allclose(logits.pair_logits, theirs.sop_logits.numpy(), rtol=0, atol=1e-5)
    else:
        assert logits.pair_logits is None


@pytest.mark.parametrize(
    ("by_sequence", "remat"), [pytest.param(False, "none", marks=pytest.mark.slow), (True, "full")]
)
def test_loss_and_gradients(case, by_sequence, remat):
    config, family, model, params, batch = case
    their_loss, theirs = torch_loss_and_gradients(model, batch, config)
    objective = PretrainingObjective(config)
    apply = objective.model(by_sequence=by_sequence, remat=remat).apply

    def loss(params):
        sums = objective.sums(apply(params, **objective.inputs(batch)), batch)
        return objective.loss(sums, objective.weights(batch))

    our_loss, gradients = jax.jit(jax.value_and_grad(loss))(params)
    np.testing.assert_allclose(our_loss, their_loss, rtol=1e-5)
    ours = to_huggingface(jax.device_get(gradients), config, family, pad_id(family))
    assert ours.keys() == theirs.keys()
    if family is ROBERTA:  # ours has it in the positions, of which each token reads one
        of_positions = gradients["encoder"]["embeddings"]["position"]["embedding"]
        ours["roberta.embeddings.token_type_embeddings.weight"] = np.asarray(of_positions).sum(axis=0, keepdims=True)
    whole = np.sqrt(sum(np.square(gradient).sum() for gradient in theirs.values()))
    fixed = "embedding_hidden_mapping_in" if not config.embedding_size else "no such name"  # ours has no such layer
    for name, gradient in theirs.items():
        # The key's bias moves all scores of a softmax alike: its gradient is 0 but for rounding.
        limit = 1e-4 * np.linalg.norm(gradient) + 1e-7 * whole
        assert fixed in name or np.linalg.norm(ours[name] - gradient) < limit, name


def torch_loss_and_gradients(model, batch, config):
    """As in parity_test.py; of the pair's head only where there is one."""
    labels = np.full((BATCH, LENGTH), -100)
    rows, columns = np.nonzero(batch["masked_lm_weights"])
    labels[rows, batch["masked_lm_positions"][rows, columns]] = batch["masked_lm_ids"][rows, columns]
    pairs = {"sentence_order_label": torch.from_numpy(batch["next_sentence_labels"][:, 0]).long()}
    model.zero_grad()
    inputs = torch_inputs(batch, config) | (pairs if config.next_sentence else {})
    loss = model(**inputs, labels=torch.from_numpy(labels)).loss
    loss.backward()
    return loss.item(), {name: parameter.grad.numpy() for name, parameter in model.named_parameters()}
