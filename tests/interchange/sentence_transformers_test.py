"""Encoders as sentence-transformers loads them: the same vectors, from files that hold what it looks for."""

import dataclasses
import json

import jax
import numpy as np
import pytest
import torch
import transformers
from etils import epath

import bert_jax
from bert_jax.errors import UserError
from bert_jax.inference.embedding_options import EmbeddingOptions, load
from bert_jax.inference.predictor import load_predictor
from bert_jax.interchange.exports import ExportOptions, export_fine_tuned
from bert_jax.interchange.foreign_exports import export
from bert_jax.interchange.own_settings import OwnSettings, own_settings
from bert_jax.interchange.sentence_transformers import write_sentence_transformers
from bert_jax.interchange.sentence_transformers_files import Usage
from bert_jax.model.pretraining import pretraining_model
from bert_jax.model.tasks import task_model

KINDS = ["similarity", "classification", "pretraining"]  # the first has no pooler


@pytest.fixture(scope="module")
def pretrained_params(workdirs):
    random = np.random.default_rng(3)
    abstract = pretraining_model(workdirs.MODEL).abstract_params
    return jax.tree.map(lambda leaf: random.normal(0, 0.2, leaf.shape).astype(np.float32), abstract)


@pytest.fixture(scope="module")
def exported(workdirs, pretrained_params, tmp_path_factory):
    """exported(kind, normalize) -> the directory of its encoder."""

    def export(kind, normalize=False, pooling="mean"):
        directory = tmp_path_factory.mktemp(kind)
        (directory / "out").mkdir()
        output = epath.Path(directory / "out")
        if kind == "pretraining":
            own = OwnSettings(workdirs.MAX_LENGTH, pooling, normalize)
            write_sentence_transformers(output, pretrained_params, workdirs.MODEL, workdirs.TOKENIZER, own)
        else:
            workdirs.write_workdir(directory / "run", kind)
            settings = directory / "run" / "task.json"
            content = read(settings)
            content["settings"] |= {"pooling": pooling} if kind == "similarity" else {}
            settings.write_text(json.dumps(content))
            export_fine_tuned(output, directory / "run", ExportOptions("sentence-transformers", normalize=normalize))
        return directory / "out"

    return export


@pytest.fixture(scope="module")
def ours(workdirs, pretrained_params):
    """ours(kind, head) -> the vectors of workdirs.TEXTS."""

    def vectors(kind, head="embedding"):
        params = pretrained_params if kind == "pretraining" else workdirs.random_params(kind)
        encoder = {name: module for name, module in params["encoder"].items() if name != "pooler"}
        inputs = {name: array[:, None] for name, array in workdirs.padded(workdirs.TEXTS).items()}
        return np.asarray(task_model(head, 0, workdirs.MODEL).apply({"encoder": encoder}, **inputs))[:, 0]

    return vectors


def read(path):
    return json.loads(path.read_text())


@pytest.mark.parametrize("kind", KINDS)
def test_the_files_hold_what_it_looks_for(workdirs, exported, kind):
    directory = exported(kind)
    modules = [(one["idx"], one["path"], one["type"].rpartition(".")[2]) for one in read(directory / "modules.json")]
    assert modules == [(0, "", "Transformer"), (1, "1_Pooling", "Pooling")]
    transformer = read(directory / "sentence_bert_config.json")
    assert transformer["max_seq_length"] == workdirs.MAX_LENGTH
    assert ("model_args" in transformer) == (kind == "similarity")  # or it would initialise a pooler
    pooling = read(directory / "1_Pooling" / "config.json")
    assert pooling["word_embedding_dimension"] == workdirs.MODEL.hidden_size
    assert [name for name, value in pooling.items() if value is True] == ["pooling_mode_mean_tokens"]
    assert read(directory / "config_sentence_transformers.json")["similarity_fn_name"] == "cosine"
    assert read(directory / "config.json")["architectures"] == ["BertModel"]


@pytest.mark.parametrize("kind", KINDS)
def test_what_it_computes_from_them_is_our_vector(workdirs, exported, ours, kind):
    """Restated: the mean of the last hidden states of BertModel, over the tokens."""
    directory = exported(kind)
    model, info = transformers.AutoModel.from_pretrained(directory, output_loading_info=True)
    assert set(info["missing_keys"]) <= {"pooler.dense.weight", "pooler.dense.bias"}
    assert not info["unexpected_keys"]
    inputs = transformers.AutoTokenizer.from_pretrained(directory)(
        workdirs.TEXTS, padding=True, truncation=True, return_tensors="pt"
    )
    with torch.no_grad():
        states = model.eval()(**inputs).last_hidden_state
    mask = inputs["attention_mask"][..., None]
    np.testing.assert_allclose((states * mask).sum(1) / mask.sum(1), ours(kind), rtol=0, atol=1e-5)


def test_vectors_that_are_not_computed_here_are_not_written(exported, tmp_path):
    directory = exported("pretraining")
    modules = read(directory / "modules.json")
    (directory / "modules.json").write_text(json.dumps([*modules, {"type": "sentence_transformers.models.Dense"}]))
    with pytest.raises(UserError, match=r"makes its vectors with Dense, which is not .*; --format=huggingface writes"):
        export(epath.Path(tmp_path), None, str(directory), ExportOptions("sentence-transformers"))
    export(epath.Path(tmp_path), None, str(directory), ExportOptions("huggingface"))


@pytest.mark.parametrize("kind", ["similarity", "pretraining"])
@pytest.mark.parametrize("form", ["huggingface", "numpy"])
def test_other_formats_of_ours_keep_what_it_says_of_itself(workdirs, exported, tmp_path, kind, form):
    run = exported(kind, kind == "pretraining", pooling="cls")
    if kind == "similarity":
        run = run.parent / "run"
    if kind == "similarity":
        export_fine_tuned(epath.Path(tmp_path), run, ExportOptions(form))
    else:
        export(epath.Path(tmp_path), None, str(run), ExportOptions(form))
    assert own_settings(tmp_path) == OwnSettings(workdirs.MAX_LENGTH, "cls", kind == "pretraining")
    if kind == "pretraining":
        bert_jax.load(tmp_path).save(tmp_path / "saved")
        assert own_settings(tmp_path / "saved") == own_settings(tmp_path)


FORMS = ["huggingface", "numpy", "saved"]


def written(model, directory, form):
    """The model of a directory, written anew: exported, or saved by the library."""
    if form == "saved":
        bert_jax.load(model).save(directory)
    else:
        directory.mkdir()
        export(epath.Path(directory), None, str(model), ExportOptions(form))
    return directory


@pytest.mark.parametrize("form", ["sentence-transformers", *FORMS])
def test_prompts_and_how_vectors_are_compared_are_handed_on(exported, tmp_path, caplog, form):
    directory = exported("pretraining")
    usage = Usage({"query": "about: ", "passage": "of: ", "none": ""}, "query", "dot")
    (directory / "config_sentence_transformers.json").write_text(json.dumps(dataclasses.asdict(usage)))
    (directory / "1_Pooling" / "config.json").write_text('{"pooling_mode": "mean", "include_prompt": false}')
    again = written(directory, tmp_path / form, form)
    caplog.clear()
    caplog.set_level("INFO")
    found = own_settings(again)
    assert (found.usage, found.pooling, found.pools_prompt) == (usage, "mean", False)
    of_vector = "; its tokens are part of the vector here, and not there"
    assert f"its prompt 'about: ' stands before each text there; here put it into the texts{of_vector}" in caplog.text
    assert "has prompts (passage); here put the one you need into the texts" in caplog.text


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("mode", ['{"pooling_mode": "weightedmean"}', '{"pooling_mode_weightedmean_tokens": true}'])
def test_a_pooling_that_is_not_computed_here_stays_and_is_told_again(exported, tmp_path, caplog, form, mode):
    directory = exported("pretraining", normalize=True)
    (directory / "1_Pooling" / "config.json").write_text(mode)
    again = written(directory, tmp_path / form, form)
    caplog.clear()
    found = own_settings(again)
    assert (found.pooling, found.other_pooling, found.normalized) == (None, ("weightedmean",), True)
    assert "pooling by weightedmean is not computed here: vectors are others than its own" in caplog.text


def test_the_pooling_is_where_the_modules_say(workdirs, exported, caplog):
    directory = exported("pretraining", pooling="cls")
    modules = read(directory / "modules.json")
    modules[1]["path"] = "9_Pooling/"
    (directory / "modules.json").write_text(json.dumps(modules))
    assert own_settings(directory).pooling is None
    assert f"pooling by {directory}/9_Pooling/config.json, which is missing, is not computed here" in caplog.text
    (directory / "1_Pooling").rename(directory / "9_Pooling")
    assert own_settings(directory) == OwnSettings(workdirs.MAX_LENGTH, "cls")


def test_vectors_that_are_not_computed_here_are_not_promised(exported, tmp_path):
    """A model of which we would leave a module out gets no modules.json, which is of all of them."""
    directory = exported("pretraining", normalize=True)
    modules = read(directory / "modules.json")
    modules.insert(2, {"type": "sentence_transformers.models.Dense"})
    (directory / "modules.json").write_text(json.dumps(modules))
    (tmp_path / "hf").mkdir()
    export(epath.Path(tmp_path / "hf"), None, str(directory), ExportOptions("huggingface"))
    bert_jax.load(directory).save(tmp_path / "saved")
    for written in (tmp_path / "hf", tmp_path / "saved"):
        assert not (written / "modules.json").exists()


def test_lower_case_that_the_tokenizer_does_not_make_is_told(exported, caplog):
    directory = exported("pretraining")
    settings = read(directory / "sentence_bert_config.json")
    (directory / "sentence_bert_config.json").write_text(json.dumps(settings | {"do_lower_case": True}))
    assert own_settings(directory).not_computed == ()
    tokenizer = read(directory / "tokenizer_config.json")
    cased = {"tokenizer_class": "BertTokenizer", "do_lower_case": False}
    (directory / "tokenizer_config.json").write_text(json.dumps(tokenizer | cased))
    assert own_settings(directory).not_computed == ("lower case (do_lower_case)",)
    assert "lower case (do_lower_case) is not computed here" in caplog.text


def test_a_pooling_that_is_none_is_one_line(exported):
    run = exported("similarity").parent / "run"
    content = read(run / "task.json")
    (run / "task.json").write_text(json.dumps(content | {"settings": content["settings"] | {"pooling": "mfan"}}))
    for use in (load_predictor, lambda path: export(epath.Path(path) / "out", None, str(path), ExportOptions("numpy"))):
        with pytest.raises(UserError, match=r"task.json, settings, is damaged .*'mfan' at `pooling`; restore it"):
            use(run)


@pytest.mark.parametrize("kind", ["similarity", "pretraining"])
@pytest.mark.parametrize(("pooling", "mode"), [("cls", "cls_token"), ("max", "max_tokens")])
def test_other_poolings_stay_what_they_are(workdirs, exported, ours, tmp_path, kind, pooling, mode):
    """Of a model that was trained with them; also where somebody else's directory is written anew."""
    directory = exported(kind, normalize=True, pooling=pooling)
    export(epath.Path(tmp_path), None, str(directory), ExportOptions("sentence-transformers"))
    for one in (directory, tmp_path):
        found = read(one / "1_Pooling" / "config.json")
        assert [name for name, value in found.items() if value is True] == [f"pooling_mode_{mode}"]
        assert read(one / "sentence_bert_config.json")["max_seq_length"] == workdirs.MAX_LENGTH
        assert read(one / "modules.json")[-1]["path"] == "2_Normalize"
        assert own_settings(one) == OwnSettings(workdirs.MAX_LENGTH, pooling, True)
    vectors = load(EmbeddingOptions(str(directory), normalize=False)).embedder.of_texts(workdirs.TEXTS)
    np.testing.assert_allclose(vectors, ours(kind, f"embedding_{pooling}"), rtol=0, atol=1e-5)


def test_vectors_of_length_1(exported):
    modules = read(exported("similarity", normalize=True) / "modules.json")
    assert modules[2:] == [
        {"idx": 2, "name": "2", "path": "2_Normalize", "type": "sentence_transformers.models.Normalize"}
    ]


@pytest.mark.parametrize("says", [True, False])
def test_vectors_have_the_length_that_the_model_says(workdirs, exported, says):
    """By embed and in Python, against torch; unless something else is asked for."""
    directory, texts = exported("pretraining", normalize=says), workdirs.TEXTS
    as_they_are = means_by_torch(directory, texts)
    of_length_1 = torch.nn.functional.normalize(torch.tensor(as_they_are), dim=-1).numpy()
    model = bert_jax.load(str(directory))
    for asked, wanted in ((None, of_length_1 if says else as_they_are), (True, of_length_1), (False, as_they_are)):
        loaded = load(EmbeddingOptions(str(directory), normalize=asked))
        assert loaded.settings["normalize"] == (says if asked is None else asked)
        np.testing.assert_allclose(loaded.embedder.of_texts(texts), wanted, rtol=0, atol=1e-5)
        np.testing.assert_allclose(model.embed(texts, normalize=asked), wanted, rtol=0, atol=1e-5)
    of_tokens = load(EmbeddingOptions(str(directory), pooling="tokens"))
    assert of_tokens.settings["normalize"] is False


def means_by_torch(directory, texts):
    model = transformers.BertModel.from_pretrained(directory).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(directory)
    with torch.no_grad():
        inputs = [tokenizer(text, return_tensors="pt", truncation=True) for text in texts]
        return np.stack([model(**each).last_hidden_state[0].mean(axis=0).numpy() for each in inputs])


ENCODE = """
import io, json, logging, sys, warnings
said = io.StringIO()
logging.basicConfig(stream=said, level=logging.WARNING)
from sentence_transformers import SentenceTransformer
with warnings.catch_warnings(record=True) as caught:
    model = SentenceTransformer(sys.argv[1], device="cpu")
    vectors = model.encode(json.loads(sys.argv[2])).tolist()
print(json.dumps([vectors, model.max_seq_length, model.similarity_fn_name, said.getvalue()]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("normalize", "pooling"), [(False, "mean"), (True, "mean"), (False, "cls"), (False, "max")])
def test_sentence_transformers_gives_our_vectors(
    workdirs, exported, ours, sentence_transformers, kind, normalize, pooling
):
    if kind == "classification" and pooling != "mean":
        pytest.skip("it has no pooling of its own")
    directory, texts = exported(kind, normalize, pooling), json.dumps(workdirs.TEXTS)
    vectors, length, similarity, said = sentence_transformers.run(ENCODE, directory, texts)
    assert (length, similarity) == (workdirs.MAX_LENGTH, "cosine")
    assert "newly initialized" not in said
    expected = ours(kind, "embedding" if pooling == "mean" else f"embedding_{pooling}")
    if normalize:
        expected = expected / np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(vectors, expected, rtol=0, atol=1e-5)
    np.testing.assert_allclose(bert_jax.load(str(directory)).embed(workdirs.TEXTS), vectors, rtol=0, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["huggingface", "saved"])
@pytest.mark.parametrize("pooling", ["mean", "cls", "max"])
def test_what_other_writers_of_ours_leave_is_pooled_there_as_here(
    workdirs, exported, ours, sentence_transformers, tmp_path, form, pooling
):
    """Without modules.json it would be the mean, whatever is in 1_Pooling."""
    directory = written(exported("pretraining", False, pooling), tmp_path / form, form)
    vectors, length, *_ = sentence_transformers.run(ENCODE, directory, json.dumps(workdirs.TEXTS))
    assert length == workdirs.MAX_LENGTH
    expected = ours("pretraining", "embedding" if pooling == "mean" else f"embedding_{pooling}")
    np.testing.assert_allclose(vectors, expected, rtol=0, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["sentence-transformers", "saved"])
def test_its_vectors_stay_where_we_do_not_compute_them(workdirs, exported, sentence_transformers, tmp_path, form):
    """With a prompt and other cosines, and saved a pooling that is none of ours, too."""
    directory, texts = exported("pretraining"), json.dumps(workdirs.TEXTS)
    usage = Usage({"query": "where is: "}, "query", "dot")
    (directory / "config_sentence_transformers.json").write_text(json.dumps(dataclasses.asdict(usage)))
    if form == "saved":
        (directory / "1_Pooling" / "config.json").write_text(
            json.dumps({"word_embedding_dimension": 32, "pooling_mode_weightedmean_tokens": True})
        )
    again = written(directory, tmp_path / form, form)
    before, after = (sentence_transformers.run(ENCODE, one, texts) for one in (directory, again))
    np.testing.assert_allclose(after[0], before[0], rtol=0, atol=1e-6)
    assert before[1:3] == after[1:3] == [workdirs.MAX_LENGTH, "dot"]


SAVE = """
import sys
from sentence_transformers import SentenceTransformer
SentenceTransformer(sys.argv[1], device="cpu").save(sys.argv[2])
print("null")
"""


@pytest.mark.slow
@pytest.mark.parametrize("pooling", ["mean", "cls", "max"])
def test_what_sentence_transformers_writes_says_the_same_of_itself(
    workdirs, exported, ours, sentence_transformers, tmp_path, pooling
):
    sentence_transformers.run(SAVE, exported("pretraining", True, pooling), tmp_path)
    assert own_settings(tmp_path) == OwnSettings(workdirs.MAX_LENGTH, pooling, True)
    vectors = load(EmbeddingOptions(str(tmp_path), normalize=False)).embedder.of_texts(workdirs.TEXTS)
    head = "embedding" if pooling == "mean" else f"embedding_{pooling}"
    np.testing.assert_allclose(vectors, ours("pretraining", head), rtol=0, atol=1e-5)
