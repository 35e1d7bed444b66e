"""An exported run as the encoder of transformers' EncoderDecoderModel: it loads, learns a little, and generates."""

import dataclasses

import jax
import numpy as np
import pytest
import torch
import transformers
from etils import epath

from bert_jax.interchange.huggingface import write_huggingface
from bert_jax.model.pretraining import pretraining_model
from bert_jax.workdir.trained import Trained

PAIRS = [("the cat sat on the mat", "home is good"), ("where is paris", "it is in france"), ("dog", "bad dog ran")]


@pytest.fixture(scope="module")
def encoder(workdirs, tmp_path_factory):
    """What export writes of a pretraining run, heads and all."""
    random = np.random.default_rng(0)
    config = dataclasses.replace(workdirs.MODEL, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    abstract = pretraining_model(config).abstract_params
    params = jax.tree.map(lambda leaf: random.normal(0, 0.05, leaf.shape).astype(np.float32), abstract)
    directory = tmp_path_factory.mktemp("encoder")
    write_huggingface(epath.Path(directory), Trained(1, params, {}, {}), config, workdirs.TOKENIZER)
    return directory


@pytest.fixture(scope="module", params=[32, 48], ids=["own-width", "another-width"])
def decoder(request, workdirs, tmp_path_factory):
    """A decoder of somebody's, which may be of another width."""
    directory = tmp_path_factory.mktemp("decoder")
    config = transformers.BertConfig(
        vocab_size=len(workdirs.TOKENS),
        hidden_size=request.param,
        num_hidden_layers=1,
        num_attention_heads=4,
        intermediate_size=64,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        is_decoder=True,
        add_cross_attention=True,
    )
    torch.manual_seed(0)
    transformers.BertLMHeadModel(config).save_pretrained(directory)
    return directory


def translator(encoder, decoder):
    model = transformers.EncoderDecoderModel.from_encoder_decoder_pretrained(str(encoder), str(decoder))
    tokenizer = transformers.AutoTokenizer.from_pretrained(encoder)
    model.config.decoder_start_token_id, model.config.pad_token_id = tokenizer.cls_token_id, tokenizer.pad_token_id
    model.config.eos_token_id = tokenizer.sep_token_id
    return model, tokenizer


def test_it_is_the_encoder_and_the_loss_falls(encoder, decoder):
    model, tokenizer = translator(encoder, decoder)
    alone = transformers.AutoModel.from_pretrained(encoder)
    for name, parameter in alone.named_parameters():
        assert torch.equal(parameter, model.encoder.get_parameter(name)), name
    sources, targets = zip(*PAIRS, strict=True)
    inputs = tokenizer(list(sources), padding=True, return_tensors="pt")
    labels = tokenizer(list(targets), padding=True, return_tensors="pt")["input_ids"]
    labels[labels == tokenizer.pad_token_id] = -100
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(12):
        loss = model(**inputs, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]
    before, after = alone.encoder.layer[0].output.dense.weight, model.encoder.encoder.layer[0].output.dense.weight
    assert not torch.equal(before, after)  # the encoder learns, too
    begin = {"decoder_start_token_id": tokenizer.cls_token_id, "pad_token_id": tokenizer.pad_token_id}
    generated = model.eval().generate(**inputs, **begin, max_new_tokens=5, do_sample=False)
    assert generated.shape[0] == len(PAIRS)
    assert (generated[:, 0] == tokenizer.cls_token_id).all()
    assert generated.shape[1] > 1


def test_states_that_were_kept_do_as_well(encoder, decoder):
    """As a decoder uses what `embed --pooling=tokens` wrote."""
    model, tokenizer = translator(encoder, decoder)
    inputs = tokenizer([source for source, _ in PAIRS], padding=True, return_tensors="pt")
    labels = tokenizer([target for _, target in PAIRS], padding=True, return_tensors="pt")["input_ids"]
    with torch.no_grad():
        states = model.eval().encoder(**inputs).last_hidden_state
        kept = transformers.modeling_outputs.BaseModelOutput(last_hidden_state=states)
        whole = model(**inputs, labels=labels).loss
        with_kept = model(encoder_outputs=kept, attention_mask=inputs["attention_mask"], labels=labels).loss
    assert with_kept.item() == pytest.approx(whole.item(), rel=1e-5)
