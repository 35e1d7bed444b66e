"""The model, its loss and its gradients against transformers' torch BertForPreTraining with the same weights."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import transformers
from flax import nnx

from bert_jax.config import (
    ModelConfig,
    albert_base,
    albert_large,
    albert_xlarge,
    albert_xxlarge,
    bert_base,
    bert_large,
    distilbert_base,
    roberta_base,
    roberta_large,
)
from bert_jax.interchange.huggingface import to_huggingface, to_huggingface_config
from bert_jax.model.functional import param_count
from bert_jax.model.pretraining import PretrainingModel, pretraining_model
from bert_jax.objectives.pretraining import PretrainingObjective
from tests.state_dicts import from_huggingface

BATCH, LENGTH, PREDICTIONS = 6, 24, 5


def make_config(hidden_act, type_vocab_size):
    return ModelConfig(
        vocab_size=500,
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=160,
        max_position_embeddings=40,
        type_vocab_size=type_vocab_size,
        hidden_act=hidden_act,
    )


def make_torch_model(config, std, seed=0):
    """BertForPreTraining whose every parameter is random, biases and LayerNorms too."""
    settings = transformers.BertConfig(**to_huggingface_config(config, pad_id=0), attn_implementation="eager")
    model = transformers.BertForPreTraining(settings).eval()
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        center = 1.0 if name.endswith("LayerNorm.weight") else 0.0
        parameter.data = center + std * torch.randn(parameter.shape, generator=generator)
    model.tie_weights()
    return model


def our_params(torch_model, config):
    arrays = {name: tensor.numpy().copy() for name, tensor in torch_model.state_dict().items() if "decoder" not in name}
    return jax.tree.map(jnp.asarray, from_huggingface(arrays, config))


def make_batch(config, seed=0):
    random = np.random.default_rng(seed)
    tokens = random.integers(PREDICTIONS + 2, LENGTH + 1, BATCH)
    tokens[0] = LENGTH
    mask = (np.arange(LENGTH) < tokens[:, None]).astype(np.int32)
    masked = random.integers(1, PREDICTIONS + 1, BATCH)
    weights = (np.arange(PREDICTIONS) < masked[:, None]).astype(np.float32)
    positions = np.stack([np.sort(random.choice(n, PREDICTIONS, replace=False)) for n in tokens])
    return {
        "input_ids": (random.integers(1, config.vocab_size, (BATCH, LENGTH)) * mask).astype(np.int32),
        "input_mask": mask,
        "segment_ids": (random.integers(0, config.type_vocab_size, (BATCH, LENGTH)) * mask).astype(np.int32),
        "masked_lm_positions": (positions * weights).astype(np.int32),
        "masked_lm_ids": (random.integers(1, config.vocab_size, (BATCH, PREDICTIONS)) * weights).astype(np.int32),
        "masked_lm_weights": weights,
        "next_sentence_labels": random.integers(0, 2, (BATCH, 1)).astype(np.int32),
    }


def torch_inputs(batch):
    ours = {"input_ids": "input_ids", "attention_mask": "input_mask", "token_type_ids": "segment_ids"}
    return {theirs: torch.from_numpy(batch[name]).long() for theirs, name in ours.items()}


def model_inputs(batch):
    return [batch[name] for name in ("input_ids", "input_mask", "segment_ids", "masked_lm_positions")]


# Every pair of values of activation, token types and standard deviation of the weights.
CASES = [("gelu", 2, 0.02), ("gelu", 16, 0.1), ("gelu_tanh", 2, 0.1), ("gelu_tanh", 16, 0.02)]


@pytest.fixture(scope="module", params=CASES, ids=str)
def case(request):
    hidden_act, type_vocab_size, std = request.param
    config = make_config(hidden_act, type_vocab_size)
    torch_model = make_torch_model(config, std)
    return config, torch_model, our_params(torch_model, config), make_batch(config)


def test_hidden_states_and_logits(case):
    config, torch_model, params, batch = case
    with torch.no_grad():
        theirs = torch_model(**torch_inputs(batch), output_hidden_states=True)
        pooled = torch_model.bert(**torch_inputs(batch)).pooler_output
    graph, _ = nnx.split(jax.eval_shape(lambda: PretrainingModel(config, jnp.float32, nnx.Rngs(0))))
    encoder = nnx.merge(graph, params).encoder
    hidden_states = jax.jit(lambda params, *ids: nnx.merge(graph, params).encoder(*ids))(
        params, *model_inputs(batch)[:3]
    )
    logits = jax.jit(pretraining_model(config).apply)(params, *model_inputs(batch))

    here = batch["input_mask"][:, :, None]  # what is computed at padding is nobody's business
    assert len(hidden_states) == len(theirs.hidden_states) == 1 + config.num_hidden_layers
    for our_layer, their_layer in zip(hidden_states, theirs.hidden_states, strict=True):
        np.testing.assert_allclose(our_layer * here, their_layer.numpy() * here, rtol=0, atol=1e-5)
    np.testing.assert_allclose(encoder.pool(hidden_states[-1][:, 0]), pooled.numpy(), rtol=0, atol=1e-5)
    np.testing.assert_allclose(logits.pair_logits, theirs.seq_relationship_logits.numpy(), rtol=0, atol=1e-5)
    at_masks = np.take_along_axis(theirs.prediction_logits.numpy(), batch["masked_lm_positions"][:, :, None], axis=1)
    np.testing.assert_allclose(logits.masked_lm, at_masks, rtol=0, atol=1e-5)


@pytest.mark.parametrize("by_sequence", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_loss_and_gradients(case, by_sequence):
    config, torch_model, params, batch = case
    their_loss, their_gradients = torch_loss_and_gradients(torch_model, batch)
    objective = PretrainingObjective(config)
    apply = objective.model(by_sequence=by_sequence).apply

    def loss(params):
        sums = objective.sums(apply(params, **objective.inputs(batch)), batch)
        return objective.loss(sums, objective.weights(batch))

    our_loss, gradients = jax.jit(jax.value_and_grad(loss))(params)
    np.testing.assert_allclose(our_loss, their_loss, rtol=1e-5)
    ours = to_huggingface(jax.device_get(gradients), config)
    assert ours.keys() == their_gradients.keys()
    whole = np.sqrt(sum(np.square(gradient).sum() for gradient in their_gradients.values()))
    for name, theirs in their_gradients.items():
        # The key's bias moves all scores of a softmax alike: its gradient is 0 but for rounding.
        limit = 1e-4 * np.linalg.norm(theirs) + 1e-7 * whole
        assert np.linalg.norm(ours[name] - theirs) < limit, name


def test_dropout_is_the_same_by_sequence():
    config = make_config("gelu", 2)
    params, batch = our_params(make_torch_model(config, 0.1), config), make_batch(config)
    keys = jax.random.split(jax.random.key(7), BATCH)
    rows, sequences = (
        jax.jit(pretraining_model(config, by_sequence=by_sequence).apply)(params, *model_inputs(batch), keys)
        for by_sequence in (False, True)
    )
    np.testing.assert_allclose(rows.masked_lm, sequences.masked_lm, rtol=0, atol=1e-5)
    np.testing.assert_allclose(rows.pair_logits, sequences.pair_logits, rtol=0, atol=1e-5)


def torch_loss_and_gradients(model, batch):
    """The loss with torch's own cross-entropy over labels that are -100 where nothing is masked."""
    labels = np.full((BATCH, LENGTH), -100)
    rows, columns = np.nonzero(batch["masked_lm_weights"])
    labels[rows, batch["masked_lm_positions"][rows, columns]] = batch["masked_lm_ids"][rows, columns]
    next_sentence = torch.from_numpy(batch["next_sentence_labels"][:, 0]).long()
    model.zero_grad()
    loss = model(**torch_inputs(batch), labels=torch.from_numpy(labels), next_sentence_label=next_sentence).loss
    loss.backward()
    return loss.item(), {name: parameter.grad.numpy() for name, parameter in model.named_parameters()}


def test_larger_weights_make_attention_uneven():
    """So that the cases above would see a mistake in attention."""
    config = make_config("gelu", 2)
    batch = make_batch(config)
    attentions = make_torch_model(config, 0.1)(**torch_inputs(batch), output_attentions=True).attentions
    assert attentions[0][0].max() > 5 / LENGTH


def test_padding_changes_nothing_before_it():
    config = make_config("gelu", 2)
    params = our_params(make_torch_model(config, 0.1), config)
    batch = make_batch(config)
    apply = jax.jit(pretraining_model(config).apply)
    row, tokens = 1, int(batch["input_mask"][1].sum())
    assert tokens < LENGTH
    ids, mask, segments, positions = (array[row : row + 1] for array in model_inputs(batch))
    whole = apply(params, ids, mask, segments, positions)
    cut = apply(params, ids[:, :tokens], mask[:, :tokens], segments[:, :tokens], positions)
    np.testing.assert_allclose(whole.masked_lm, cut.masked_lm, rtol=0, atol=1e-5)
    np.testing.assert_allclose(whole.pair_logits, cut.pair_logits, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("sizes", "vocab_size", "encoder", "with_heads"),
    [
        (bert_base, 30522, 109_482_240, 110_106_428),
        (bert_large, 30522, 335_141_888, 336_226_108),
        # Less three rows that only files have.
        (roberta_base, 50265, 124_697_433 - 3 * 768 - 642_393, 124_697_433 - 3 * 768),
        (roberta_large, 50265, 355_412_057 - 3 * 1024 - 1_101_913, 355_412_057 - 3 * 1024),
        (albert_base, 30000, 11_683_584, 11_813_810),
        (albert_large, 30000, 17_683_968, 17_847_474),
        (albert_xlarge, 30000, 58_724_864, 59_021_490),
        (albert_xxlarge, 30000, 222_595_584, 223_158_450),
        (distilbert_base, 30522, 66_362_880, 66_985_530),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_parameter_counts_are_the_papers(sizes, vocab_size, encoder, with_heads):
    config = dataclasses.replace(sizes(), vocab_size=vocab_size)
    config.check()
    model = pretraining_model(config)
    assert sum(leaf.size for leaf in jax.tree.leaves(model.abstract_params["encoder"])) == encoder
    assert param_count(model) == config.parameters == with_heads
