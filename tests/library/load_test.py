"""A model of whatever kind, loaded: the numbers of transformers' torch models on the same files, and of the verbs."""

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

import bert_jax
from bert_jax.inference.predicting import predict
from bert_jax.inference.predictor import load_predictor
from bert_jax.interchange.families import family_of
from bert_jax.interchange.huggingface import to_huggingface, write_huggingface
from bert_jax.interchange.tensorflow import write_tensorflow
from bert_jax.model.functional import flatten, nest
from bert_jax.workdir import fine_tuned
from bert_jax.workdir.trained import Trained
from tests.random_params import random_params

NO_PAIRS = {"type_vocab_size": 0, "next_sentence": False}
# The class of transformers -> settings beside those of workdirs.MODEL.
CASES = {
    "BertForPreTraining": {},
    "RobertaForMaskedLM": {**NO_PAIRS, "layer_norm_eps": 1e-5},
    "AlbertForPreTraining": {"num_hidden_layers": 4, "num_hidden_groups": 2, "embedding_size": 16},
    "DistilBertForMaskedLM": NO_PAIRS,
}
TEXTS = ["The cat sat on the mat.", ("where is paris?", "It is the capital of France."), "good"]


@pytest.fixture(scope="module", params=CASES)
def published(request, workdirs, tmp_path_factory):
    """The class of transformers, our settings and weights, and the directory with them."""
    config = dataclasses.replace(workdirs.MODEL, **CASES[request.param])
    params, directory = random_params(config), epath.Path(tmp_path_factory.mktemp("published"))
    write_huggingface(directory, Trained(1, params, {}, {}), config, workdirs.TOKENIZER, family_of(config))
    return request.param, config, params, directory


def test_states_and_logits_are_those_of_transformers(published):
    kind, config, _, directory = published
    model = bert_jax.load(directory)
    batch = model.encode(TEXTS)
    ours = model.apply(model.params, batch)
    inputs = {"input_ids": batch["input_ids"], "attention_mask": batch["attention_mask"]}
    if config.type_vocab_size:
        inputs["token_type_ids"] = batch["segment_ids"]
    tensors = {name: torch.from_numpy(array).long() for name, array in inputs.items()}
    torch_model = getattr(transformers, kind).from_pretrained(directory).eval()
    with torch.no_grad():
        theirs = torch_model(**tensors, output_hidden_states=True)
        pooled = torch_model.base_model(**tensors).get("pooler_output")
    here = batch["attention_mask"][:, :, None]
    assert len(ours.hidden_states) == len(theirs.hidden_states) == config.num_hidden_layers + 1
    for our, their in zip(ours.hidden_states, theirs.hidden_states, strict=True):
        np.testing.assert_allclose(our * here, their.numpy() * here, rtol=0, atol=1e-5)
    logits = theirs.prediction_logits if config.next_sentence else theirs.logits
    np.testing.assert_allclose(ours.logits * here, logits.numpy() * here, rtol=0, atol=1e-4)
    assert (ours.pooled is None) == (ours.pair_logits is None) == (not config.next_sentence)
    if config.next_sentence:
        pairs = theirs.sop_logits if "sop_logits" in theirs else theirs.seq_relationship_logits
        np.testing.assert_allclose(ours.pair_logits, pairs.numpy(), rtol=0, atol=1e-5)
        np.testing.assert_allclose(ours.pooled, pooled.numpy(), rtol=0, atol=1e-5)


@pytest.mark.parametrize("published", ["RobertaForMaskedLM"], indirect=True)
def test_a_pooler_of_roberta_is_told_and_not_read(published, workdirs, tmp_path, caplog):
    transformers.RobertaModel.from_pretrained(published[-1]).save_pretrained(tmp_path)
    workdirs.TOKENIZER.save(tmp_path)
    model = bert_jax.load(tmp_path)
    assert re.search(r"holds roberta\.pooler\.dense\.\w+, roberta\S+, which have no place here: not used", caplog.text)
    assert model.apply(model.params, model.encode(TEXTS)).pooled is None


@pytest.mark.parametrize("published", ["BertForPreTraining"], indirect=True)
def test_ids_are_those_of_transformers_and_masks_are_found(published):
    _, config, _, directory = published
    model, theirs = bert_jax.load(directory), transformers.AutoTokenizer.from_pretrained(directory)
    texts = ["The [MASK] sat.", ("where is [MASK]?", "London")]
    batch = model.encode(texts, masks=True, pad_to=20)
    expected = theirs(*zip(*[(text, None) if isinstance(text, str) else text for text in texts[1:]], strict=True))
    row = batch["input_ids"][1]
    assert row[row != model.tokenizer.pad_id].tolist() == expected["input_ids"][0]
    alone = theirs(texts[0], return_offsets_mapping=True)
    length = len(alone["input_ids"])
    assert batch["input_ids"][0].tolist() == [*alone["input_ids"], *[model.tokenizer.pad_id] * (20 - length)]
    assert [tuple(span) for span in batch["offsets"][0].tolist()][:length] == alone["offset_mapping"]
    assert model.encode(texts)["input_ids"].tolist() != batch["input_ids"].tolist()  # without masks, words
    found = model.fill_mask([texts[0], "[MASK] and [MASK]"], best=3)
    assert [[len(words) for words in each["masks"]] for each in found] == [[3], [3, 3]]
    logits = model.apply(model.params, model.encode([texts[0]], masks=True)).logits[0, alone["input_ids"].index(4)]
    assert found[0]["masks"][0][0]["token"] == model.tokenizer.tokens[int(logits.argmax())]
    assert config.vocab_size == logits.shape[-1]


def test_a_file_and_an_original_checkpoint_are_the_same_model(workdirs, tmp_path):
    params, config = random_params(workdirs.MODEL), workdirs.MODEL
    (tmp_path / "original").mkdir()
    write_tensorflow(epath.Path(tmp_path / "original"), Trained(1, params, {}, {}), config, workdirs.TOKENIZER)
    tensors = {name: torch.from_numpy(array) for name, array in to_huggingface(params, config).items()}
    safetensors.torch.save_file(tensors, tmp_path / "weights.safetensors")
    workdirs.TOKENIZER.save(tmp_path)
    models = [
        bert_jax.load(tmp_path / "original"),
        bert_jax.load(tmp_path / "weights.safetensors", config=config),
    ]
    for model in models:
        for path, array in flatten(model.params).items():
            np.testing.assert_array_equal(array, flatten(params)[path], err_msg=path)
    states = [model.apply(model.params, model.encode(TEXTS)).hidden_states[-1] for model in models]
    np.testing.assert_array_equal(*states)
    np.testing.assert_array_equal(
        *(model.embed(TEXTS, pooling="max", layers=tuple(np.array([0, -1]))) for model in models)
    )


@pytest.mark.parametrize("published", ["BertForPreTraining"], indirect=True)
def test_what_a_model_says_of_its_vectors_is_kept(published, tmp_path):
    """As sentence-transformers' directories say it."""
    _, _, _, directory = published
    model = bert_jax.load(directory)
    model.save(tmp_path / "plain")
    (tmp_path / "plain" / "sentence_bert_config.json").write_text('{"max_seq_length": 8}')
    (tmp_path / "plain" / "1_Pooling").mkdir()
    (tmp_path / "plain" / "1_Pooling" / "config.json").write_text('{"pooling_mode_cls_token": true}')
    said = bert_jax.load(tmp_path / "plain")
    said.save(tmp_path / "kept")
    kept = bert_jax.load(tmp_path / "kept")
    assert (said.max_length, kept.max_length) == (8, 8)
    expected = model.apply(model.params, model.encode(TEXTS, max_length=8)).hidden_states[-1][:, 0]
    for each in (said, kept):
        np.testing.assert_allclose(each.embed(TEXTS), expected, atol=1e-5)
    for path, array in flatten(model.params).items():
        np.testing.assert_array_equal(flatten(kept.params)[path], array, err_msg=path)


PAIR = ("where is paris?", "It is the capital of France.")
ROW = {"text": PAIR[0], "text2": PAIR[1]}
CONTEXT = "Paris is the capital of France. " * 3
QUESTION = {"id": "1", "question": PAIR[0], "context": CONTEXT, "answers": {"text": [], "answer_start": []}}
# Of each task, what predict is given, and the same as rows of a file.
GIVEN = {
    "classification": ([PAIR, PAIR[::-1]], [ROW, {"text": PAIR[1], "text2": PAIR[0]}]),
    "multilabel": (["good"], [{"text": "good"}]),
    "regression": ([PAIR], [ROW]),
    "similarity": ([PAIR], [ROW]),
    "tagging": (
        [["where", "is", "Paris"], ["good"] * 40],
        [{"words": ["where", "is", "Paris"]}, {"words": ["good"] * 40}],
    ),
    "choice": ([("the cat", ["sat", "ran home", "is"])], [{"text": "the cat", "choices": ["sat", "ran home", "is"]}]),
    "qa": ([(PAIR[0], CONTEXT)], [QUESTION]),
}


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(kind, marks=() if kind in ("classification", "qa", "similarity") else pytest.mark.slow)
        for kind in GIVEN
    ],
)
def test_a_fine_tuned_model_answers_as_the_verb(workdirs, tmp_path, kind, monkeypatch):
    monkeypatch.setattr("bert_jax.inference.predicting.keep_compiled", lambda workdir: None)  # in the tests' own place
    workdirs.write_workdir(tmp_path / "run", kind)
    given, rows = GIVEN[kind]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    predict(tmp_path / "run", f"{tmp_path}/in.jsonl", f"{tmp_path}/out.jsonl")
    expected = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    model = bert_jax.load(tmp_path / "run")
    assert model.task.kind == kind
    assert_alike(model.predict(given), [{name: each[name] for name in each if name != "id"} for each in expected])
    assert_logits_are_those_of_the_answers(model, load_predictor(tmp_path / "run"), given[0])


def test_what_was_trained_further_is_kept(workdirs, tmp_path):
    workdirs.write_workdir(tmp_path / "run", "classification")
    model, given = bert_jax.load(tmp_path / "run"), GIVEN["classification"][0]
    before = model.predict(given)
    changed = model.with_params(jax.tree.map(lambda leaf: 1.5 * leaf, model.params))
    changed.save(tmp_path / "kept")
    kept = bert_jax.load(tmp_path / "kept")
    assert kept.predict(given) == changed.predict(given) != before == model.predict(given)
    np.testing.assert_array_equal(kept.embed(given), changed.embed(given))


@pytest.mark.parametrize("kind", ["classification", "similarity"])
@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float64"])
def test_other_precisions_are_saved_as_float32(workdirs, tmp_path, kind, dtype):
    workdirs.write_workdir(tmp_path / "run", kind)
    model = bert_jax.load(tmp_path / "run")
    model.with_params(jax.tree.map(lambda leaf: np.asarray(leaf).astype(dtype), model.params)).save(tmp_path / "kept")
    kept = flatten(bert_jax.load(tmp_path / "kept").params)
    for path, array in flatten(model.params).items():
        assert kept[path].dtype == np.float32
        rounded = torch.from_numpy(np.array(array)).to(getattr(torch, dtype)).float()
        np.testing.assert_array_equal(kept[path], rounded.numpy(), err_msg=path)


@pytest.mark.parametrize("kind", [None, "classification"])
@pytest.mark.parametrize(("dtype", "value"), [("float32", np.nan), ("float64", 1e300)])
def test_what_could_not_be_loaded_again_is_not_saved(workdirs, tmp_path, kind, dtype, value):
    """1e300 is infinite in float32, of which all files are."""
    if kind:
        workdirs.write_workdir(tmp_path / "run", kind)
    model = bert_jax.load(tmp_path / "run") if kind else bert_jax.from_config(workdirs.MODEL, workdirs.TOKENIZER)
    path = "encoder/layer_0/output/bias"
    spoiled = flatten(model.params) | {path: np.full(model.config.hidden_size, value, dtype)}
    with pytest.raises(bert_jax.UserError, match=rf"^params: {path} is not finite .*; give weights from before that$"):
        model.with_params(nest(spoiled)).save(tmp_path / "saved")
    assert not (tmp_path / "saved").exists()


def test_weights_of_a_type_that_is_not_read_are_one_line(workdirs, tmp_path):
    run = tmp_path / "run"
    workdirs.write_workdir(run, "classification")
    safetensors.torch.save_file({"head": torch.zeros(2, dtype=torch.bfloat16)}, run / "model.safetensors")
    task = json.loads((run / "task.json").read_text())
    digest = fine_tuned.digest((run / "model.safetensors").read_bytes())
    (run / "task.json").write_text(json.dumps(task | {"weights_crc32c": digest}))
    with pytest.raises(bert_jax.UserError, match=r"safetensors holds no arrays of float32 \('BF16'\); restore it"):
        bert_jax.load(run)


def assert_logits_are_those_of_the_answers(model, predictor, given):
    rows = predictor.rows([model.task.example(given, "")])
    batch = rows.batch([0], 1, int(rows.lengths[0]))
    outputs, kind = model.apply(model.params, batch), model.task.kind
    found = outputs.logits
    if kind == "similarity":
        assert found is None
        states, mask = outputs.hidden_states[-1], batch["attention_mask"][..., None]
        found = (states * mask).sum(axis=-2) / mask.sum(axis=-2)
    np.testing.assert_allclose(found[0], predictor.outputs(rows)[0], atol=1e-5)
    assert (outputs.pooled is None) == (kind in ("tagging", "qa", "similarity"))


def assert_alike(ours, theirs):
    """The same, numbers to 1e-5, however deep."""
    if isinstance(theirs, dict):
        assert ours.keys() == theirs.keys()
        for name in theirs:
            assert_alike(ours[name], theirs[name])
    elif isinstance(theirs, list):
        assert len(ours) == len(theirs)
        for our, their in zip(ours, theirs, strict=True):
            assert_alike(our, their)
    else:
        assert ours == (pytest.approx(theirs, abs=1e-5) if isinstance(theirs, float) else theirs)
