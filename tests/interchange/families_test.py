"""RoBERTa, ALBERT and DistilBERT to transformers and back: whole, the same outputs, bit for bit."""

import dataclasses
import json
import re

import jax
import numpy as np
import pytest
import safetensors.torch
import torch
import transformers
from etils import epath

from bert_jax.config import ModelConfig
from bert_jax.errors import UserError
from bert_jax.interchange.exports import ExportOptions, export_fine_tuned
from bert_jax.interchange.families import FAMILIES, chosen_family, family_of
from bert_jax.interchange.huggingface import to_huggingface, to_huggingface_config, write_huggingface
from bert_jax.interchange.huggingface_reader import read_huggingface
from bert_jax.interchange.huggingface_tasks import CLASSES
from bert_jax.model.functional import flatten, nest
from bert_jax.model.pretraining import pretraining_model
from bert_jax.workdir.trained import Trained
from tests.interchange.huggingface_tasks_test import AUTO
from tests.random_params import random_params

NO_PAIRS = {"type_vocab_size": 0, "next_sentence": False}
OF_OURS = {"roberta": {**NO_PAIRS, "layer_norm_eps": 1e-5}, "distilbert": NO_PAIRS}
ROTARY = {**NO_PAIRS, "position_embedding": "rotary"}
OF_ALBERT = {"num_hidden_layers": 4, "num_hidden_groups": 2}
# The class of transformers -> settings beside those of workdirs.MODEL.
CASES = {
    "RobertaForMaskedLM": OF_OURS["roberta"],
    "AlbertForPreTraining": {**OF_ALBERT, "embedding_size": 16},
    "AlbertForMaskedLM": {"num_hidden_groups": 1, "next_sentence": False},  # of tables that are as wide as layers
    "DistilBertForMaskedLM": OF_OURS["distilbert"],
    "BertForMaskedLM": {"next_sentence": False},
    "RoFormerForMaskedLM": {"next_sentence": False, "position_embedding": "rotary"},
}
SETTINGS = ModelConfig(vocab_size=7, hidden_size=8, num_attention_heads=8)  # of quite another model


@pytest.fixture(scope="module", params=CASES)
def case(request, workdirs, tmp_path_factory):
    """Class, settings, weights and their export."""
    config = dataclasses.replace(workdirs.MODEL, **CASES[request.param])
    params, directory = random_params(config), epath.Path(tmp_path_factory.mktemp("hf"))
    write_huggingface(directory, Trained(1, params, {}, {}), config, workdirs.TOKENIZER, family_of(config))
    return request.param, config, params, directory


def load(kind, directory):
    """A model of transformers, of which nothing is missing and nothing left over, and its tokenizer."""
    model, info = getattr(transformers, kind).from_pretrained(directory, output_loading_info=True)
    assert {key: list(value) for key, value in info.items()} == {key: [] for key in info}
    return model.eval(), transformers.AutoTokenizer.from_pretrained(directory)


def test_transformers_loads_it_whole_and_gives_our_logits(case, workdirs):
    kind, config, params, directory = case
    model, tokenizer = load(kind, directory)
    assert model.config.architectures == [kind]
    pairs = [TEXT[:20] for TEXT in reversed(workdirs.TEXTS)]
    inputs = tokenizer([TEXT[:20] for TEXT in workdirs.TEXTS], pairs, padding=True, return_tensors="pt")
    assert ("token_type_ids" in inputs) == (config.type_vocab_size > 0)  # or transformers ends with an error
    with torch.no_grad():
        theirs = model(**inputs)
    arrays = {name: tensor.numpy().astype(np.int32) for name, tensor in inputs.items()}
    ids, mask = arrays["input_ids"], arrays["attention_mask"]
    positions = np.tile(np.arange(ids.shape[1], dtype=np.int32), (len(ids), 1))
    ours = jax.jit(pretraining_model(config).apply)(
        params, ids, mask, arrays.get("token_type_ids", np.zeros_like(ids)), positions
    )
    masked_lm = theirs.prediction_logits if config.next_sentence else theirs.logits
    here = mask[:, :, None]
    assert np.abs(ours.masked_lm * here).max() > 0.5
    np.testing.assert_allclose(ours.masked_lm * here, masked_lm.numpy() * here, rtol=0, atol=1e-4)
    if config.next_sentence:
        np.testing.assert_allclose(ours.pair_logits, theirs.sop_logits.numpy(), rtol=0, atol=1e-4)


def assert_read(found, config, params):
    assert dataclasses.replace(found.config, initializer=config.initializer) == config
    assert found.arrays.keys() == flatten(params).keys() - set(found.missing)
    for path, array in found.arrays.items():
        np.testing.assert_array_equal(array, flatten(params)[path], err_msg=path)
        assert array.dtype == np.float32


def test_it_comes_back_bit_for_bit(case):
    kind, config, params, directory = case
    found = read_huggingface(directory, SETTINGS)
    if kind == "AlbertForMaskedLM" or kind == "BertForMaskedLM":  # whose config.json does not say that they are
        config = dataclasses.replace(config, next_sentence=True)
    assert_read(found, config, params)
    absent = {path.split("/")[0] for path in found.missing}
    assert absent == ({"encoder", "next_sentence"} if kind in ("AlbertForMaskedLM", "BertForMaskedLM") else set())


def test_what_transformers_saves_of_it_is_read(case, tmp_path):
    """In several files, with every tied array written, in bfloat16, with a buffer of older releases."""
    kind, config, params, directory = case
    model, _ = load(kind, directory)
    model.to(torch.bfloat16).save_pretrained(tmp_path / "several", max_shard_size="8KB")
    assert len(list((tmp_path / "several").glob("*-of-*"))) > 3
    family = family_of(config)
    whole = {name: tensor.to(torch.float16).contiguous() for name, tensor in model.float().state_dict().items()}
    older = {name: torch.arange(48)[None] for name in family.names.buffers if name.endswith("position_ids")}
    model.config.save_pretrained(tmp_path / "whole")
    torch.save(whole | older, tmp_path / "whole" / "pytorch_model.bin")
    assert set(whole) >= set(family.names.tied)
    rounded = jax.tree.map(lambda array: torch.from_numpy(array).bfloat16().float().numpy(), params)
    several = read_huggingface(tmp_path / "several", SETTINGS)
    for path, array in several.arrays.items():
        np.testing.assert_array_equal(array, flatten(rounded)[path], err_msg=path)
    of_whole = read_huggingface(tmp_path / "whole", SETTINGS)
    assert of_whole.config == several.config
    for path, array in of_whole.arrays.items():
        np.testing.assert_array_equal(array, several.arrays[path].astype(np.float16), err_msg=path)


def test_a_single_file_is_known_by_its_names(case, tmp_path):
    _, config, params, _ = case
    if config.num_hidden_groups and not config.embedding_size:
        pytest.skip("its dense layer was not ours")
    state_dict = to_huggingface(params, config, family_of(config), pad_id=1)  # as in all that was published
    file = tmp_path / "weights.safetensors"
    safetensors.torch.save_file({name: torch.from_numpy(array) for name, array in state_dict.items()}, file)
    unsaid = {} if config.position_embedding == "rotary" else {"max_position_embeddings": 9}
    found = read_huggingface(file, dataclasses.replace(config, vocab_size=9, **unsaid))
    assert_read(found, config, params)


@pytest.mark.parametrize("family", ["roberta", "albert", "distilbert", "roformer"])
@pytest.mark.parametrize("kind", ["classification", "regression", "tagging", "qa", "choice", "similarity"])
def test_fine_tuned_models(workdirs, tmp_path, family, kind):
    of_family = {**OF_OURS, "albert": CASES["AlbertForPreTraining"], "roformer": ROTARY}[family]
    if family == "roformer" and CLASSES[kind].head in ("sequence", "choice"):
        pytest.skip("has heads of its own")
    config = dataclasses.replace(workdirs.MODEL, **of_family)
    workdirs.write_workdir(tmp_path / "run", kind, config)
    (tmp_path / "hf").mkdir()
    export_fine_tuned(epath.Path(tmp_path / "hf"), tmp_path / "run", ExportOptions("huggingface"))
    head = CLASSES[kind].head
    # A text's head of DistilBERT has ReLU, so ours is BERT without token types.
    written = FAMILIES["bert" if family == "distilbert" and head in ("sequence", "choice") else family]
    model, info = AUTO[head].from_pretrained(tmp_path / "hf", output_loading_info=True)
    assert type(model).__name__ == CLASSES[kind].of(written)
    assert all("pooler" in name for name in info.pop("missing_keys"))  # of a bi-encoder, which never had one
    assert {key: list(value) for key, value in info.items()} == {key: [] for key in info}
    texts = [text[:20] for text in workdirs.TEXTS]
    inputs = transformers.AutoTokenizer.from_pretrained(tmp_path / "hf")(texts, padding=True, return_tensors="pt")
    if kind == "choice":
        inputs = {name: array[None] for name, array in inputs.items()}
    with torch.no_grad():
        outputs = model.eval()(**inputs)
    arrays = {name: tensor.numpy().astype(np.int32) for name, tensor in inputs.items()}
    rows = {name: arrays[name] for name in ("input_ids", "attention_mask")}
    rows["segment_ids"] = np.zeros_like(rows["input_ids"])
    if kind == "similarity":
        rows = {name: array[:, None] for name, array in rows.items()}
    params = workdirs.random_params(kind, config=config)
    ours = np.asarray(jax.jit(workdirs.model_of(kind, config).apply)(params, **rows))
    mask = inputs["attention_mask"][..., None]
    match kind:
        case "tagging":
            theirs, ours = outputs.logits * mask, ours * mask.numpy()
        case "qa":
            theirs, ours = torch.stack([outputs.start_logits, outputs.end_logits], -1) * mask, ours * mask.numpy()
        case "similarity":
            theirs, ours = (outputs.last_hidden_state * mask).sum(1) / mask.sum(1), ours[:, 0]
        case _:
            theirs = (outputs.logits - 3.5) / 1.25 if kind == "regression" else outputs.logits
    np.testing.assert_allclose(theirs.numpy(), ours, rtol=0, atol=1e-4)
    card = (tmp_path / "hf" / "README.md").read_text()
    assert f"- {written.model_type}\n" in card


def changed(directory, tmp_path, **values):
    """The export with other values in its config.json."""
    for file in directory.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    settings = json.loads((directory / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(settings | values))
    return tmp_path


WRONG = {
    "RobertaForMaskedLM": [
        ({"pad_token_id": 60}, "pad_token_id=60 leaves none"),
        ({"position_embedding_type": "relative_key"}, "only RoBERTa with position_embedding_type='absolute'"),
        ({"model_type": "albert"}, "holds no ALBERT encoder"),
    ],
    "AlbertForPreTraining": [
        ({"inner_group_num": 2}, "says inner_group_num=2; only ALBERT with inner_group_num=1 can be read"),
        ({"num_hidden_groups": 1}, "holds 2 layers and its config says num_hidden_groups=1"),
        ({"num_hidden_groups": 3}, "says num_hidden_layers=4 and num_hidden_groups=3, which does not divide it"),
        ({"embedding_size": 8}, "and the config says (90, 8)"),
    ],
    "DistilBertForMaskedLM": [
        ({"n_heads": 5}, "says dim=32 and n_heads=5, which does not divide it"),
        ({"dim": "32"}, "Expected `int`, got `str` at `dim`"),
        ({"activation": "relu"}, "says activation='relu'; only gelu, exact or tanh, can be read"),
        ({"tie_word_embeddings": False}, "only DistilBERT with tie_word_embeddings=True"),
    ],
    "RoFormerForMaskedLM": [
        ({"rotary_value": True}, "only RoFormer with rotary_value=False"),
        ({"num_attention_heads": 5}, "says hidden_size=32 and num_attention_heads=5, which does not divide it"),
    ],
}


@pytest.mark.parametrize("case", WRONG, indirect=True)
def test_what_cannot_be_read_is_named(case, tmp_path, workdirs):
    kind, _, _, directory = case
    for number, (values, complaint) in enumerate(WRONG[kind]):
        (tmp_path / str(number)).mkdir()
        complaint = complaint.replace("(90", f"({workdirs.MODEL.vocab_size}")
        with pytest.raises(UserError, match=re.escape(complaint)) as error:
            read_huggingface(changed(directory, tmp_path / str(number), **values), SETTINGS)
        assert "\n" not in str(error.value)


def test_what_another_family_has_no_place_for(workdirs, caplog):
    bert = workdirs.MODEL
    with pytest.raises(UserError, match="--family=bert: BERT has no place for embedding_size=16, num_hidden_groups=2"):
        chosen_family(dataclasses.replace(bert, **CASES["AlbertForPreTraining"]), "bert")
    with pytest.raises(UserError, match="DistilBERT has no place for layer_norm_eps=1e-05; give --family=roberta"):
        chosen_family(dataclasses.replace(bert, **OF_OURS["roberta"]), "distilbert")
    with pytest.raises(UserError, match="DistilBERT's head of a text computes otherwise than ours"):
        chosen_family(bert, "distilbert", "sequence")
    rotary = dataclasses.replace(bert, **ROTARY)
    with pytest.raises(UserError, match="BERT has no place for position_embedding=rotary; give --family=roformer"):
        chosen_family(rotary, "bert")
    with pytest.raises(UserError, match="RoFormer has no place for position_embedding=learned; give --family=bert"):
        chosen_family(bert, "roformer")
    with pytest.raises(UserError, match="RoFormer's head of a text computes otherwise than ours; give --format=onnx"):
        chosen_family(rotary, None, "sequence")
    with pytest.raises(UserError, match="no place for position_embedding=rotary, num_hidden_groups=1; give --format"):
        chosen_family(dataclasses.replace(rotary, num_hidden_groups=1), None)
    assert not caplog.records
    assert chosen_family(bert, "distilbert") is FAMILIES["distilbert"]
    assert (
        "token types (all tokens are taken to be of the first) and the pooler and the next-sentence head" in caplog.text
    )
    caplog.clear()
    assert chosen_family(bert, "roberta") is FAMILIES["roberta"]
    assert "RoBERTa has no place for the pooler and the next-sentence head: left out" in caplog.text
    caplog.clear()
    for config in (bert, *(dataclasses.replace(bert, **settings) for settings in CASES.values())):
        chosen_family(config, None)
    assert chosen_family(bert, "albert") is FAMILIES["albert"]  # which has room for all of BERT
    assert not caplog.records


@pytest.mark.parametrize("asked", ["roberta", "albert", "distilbert"])
def test_a_bert_as_another_family(workdirs, asked):
    """What is left computes the same; of DistilBERT, on texts of one segment."""
    config, family = workdirs.MODEL, FAMILIES[asked]
    params = random_params(config)
    state_dict = {name: torch.from_numpy(array) for name, array in to_huggingface(params, config, family, 0).items()}
    settings = transformers.AutoConfig.for_model(**to_huggingface_config(config, 0, family))
    model = getattr(transformers, family.pretraining_class(config))(settings).eval()
    assert set(model.load_state_dict(state_dict, strict=False).missing_keys) <= set(family.names.tied)
    model.tie_weights()
    rows = workdirs.padded(workdirs.TEXTS)
    inputs = {name: torch.from_numpy(rows[name]).long() for name in ("input_ids", "attention_mask")}
    with torch.no_grad():
        theirs = model(**inputs)[0].numpy()
    positions = np.tile(np.arange(workdirs.MAX_LENGTH, dtype=np.int32), (len(theirs), 1))
    ours = jax.jit(pretraining_model(config).apply)(params, *rows.values(), positions).masked_lm
    here = rows["attention_mask"][:, :, None]
    np.testing.assert_allclose(ours * here, theirs * here, rtol=0, atol=1e-4)


def test_heads_of_tasks_are_named_and_not_used(workdirs, tmp_path, caplog):
    config = dataclasses.replace(workdirs.MODEL, **OF_OURS["roberta"])
    params = random_params(config)
    write_huggingface(epath.Path(tmp_path), Trained(1, params, {}, {}), config, workdirs.TOKENIZER, FAMILIES["roberta"])
    transformers.RobertaForMultipleChoice.from_pretrained(tmp_path).save_pretrained(tmp_path / "choice")
    found = read_huggingface(tmp_path / "choice", SETTINGS)
    names = {"roberta.pooler.dense.weight", "roberta.pooler.dense.bias", "classifier.weight", "classifier.bias"}
    assert set(found.unused) == names
    assert all(name in caplog.text for name in names)
    assert_read(found, config, params)
    assert nest(found.arrays).keys() == {"encoder"}
