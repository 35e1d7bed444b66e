"""Exported ONNX graphs under onnxruntime: our numbers in every head and family, alone and padded; others' names."""

import dataclasses
import json
import sysconfig

import jax
import numpy as np
import onnx
import onnxruntime
import pytest
import transformers
from etils import epath
from onnxruntime.transformers.optimizer import optimize_model

from bert_jax.errors import UserError
from bert_jax.interchange.foreign_exports import export
from bert_jax.model.pretraining import pretraining_model
from bert_jax.model.tasks import task_model
from bert_jax.serving import onnx_file
from tests.interchange.conftest import environment
from tests.serving.conftest import LENGTHS, wanted

NAMES = {"segment_ids": "token_type_ids"}


def session_of(directory, **options):
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = 1
    for name, value in options.items():
        setattr(settings, name, value)
    return onnxruntime.InferenceSession(directory / "model.onnx", settings)


def run(session, batch):
    """Outputs by name."""
    theirs = {NAMES.get(name, name): array.astype(np.int64) for name, array in batch.items()}
    feed = {each.name: theirs[each.name] for each in session.get_inputs()}
    return dict(zip([each.name for each in session.get_outputs()], session.run(None, feed), strict=True))


def assert_close(found, expected):
    """To 1e-5 of the largest number."""
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()


def assert_same(session, batch, expected, of_tokens):
    """All rows together, and the rows of 48, 7 and 1 tokens alone and without padding; of padding nothing is said."""
    together = run(session, batch)
    assert together.keys() == expected.keys()
    for row, length in enumerate(LENGTHS):
        one = {name: array[row : row + 1, ..., :length] for name, array in batch.items()}
        alone = run(session, one) if length in (48, 7, 1) else None
        for name, array in expected.items():
            ours = array[row : row + 1]
            ours, found = (
                each[:, :length] if name in of_tokens else each for each in (ours, together[name][row : row + 1])
            )
            assert_close(found, ours)
            if alone:
                assert_close(alone[name], ours)


@pytest.mark.parametrize("family", ["bert", "roberta", "albert", "distilbert", "roformer", "none"])
def test_encoder_and_masked_words_of_each_family(served, configs, batch, family):
    inputs, config = batch(), dataclasses.replace(configs[family], next_sentence=False)
    if not config.type_vocab_size:
        inputs["segment_ids"][:] = 0

    def ours(params):
        module = pretraining_model(config).module({part: params[part] for part in ("encoder", "masked_lm")})
        states = module.encoder(**inputs)[-1]
        logits = module.masked_lm(states, module.encoder.embeddings.word.embedding[...])
        return (
            states,
            task_model("embedding", 0, config).module({"encoder": params["encoder"]})(
                **{name: array[:, None] for name, array in inputs.items()}
            )[:, 0],
            logits,
        )

    directory, params = served(family)
    encoder = {name: part for name, part in params["encoder"].items() if name != "pooler"}
    states, mean, logits = jax.device_get(jax.jit(ours)({**params, "encoder": encoder}))
    session = session_of(directory)
    assert_same(session, inputs, {"logits": logits}, {"logits"})
    has_types = [] if config.type_vocab_size == 0 else ["token_type_ids"]
    assert [each.name for each in session.get_inputs()] == ["input_ids", *has_types, "attention_mask"]
    assert transformers.AutoTokenizer.from_pretrained(directory).model_input_names == [
        each.name for each in session.get_inputs()
    ]
    if family == "none":
        with pytest.raises(ValueError, match="Should have a `model_type` key"):
            transformers.AutoConfig.from_pretrained(directory)
    else:
        theirs = transformers.AutoConfig.from_pretrained(directory)
        assert theirs.model_type == family
        assert theirs.architectures[0].endswith("ForMaskedLM")
    directory, _ = served(family, drop_heads=True, normalize=True)
    unit = mean / np.linalg.norm(mean, axis=-1, keepdims=True)
    expected = {"last_hidden_state": states, "sentence_embedding": unit}
    assert_same(session_of(directory), inputs, expected, {"last_hidden_state"})


@pytest.mark.parametrize(("pooling", "mode"), [("cls", "cls_token"), ("max", "max_tokens")])
@pytest.mark.parametrize("opset", [17, 20])
def test_vectors_are_pooled_as_the_model_says(pretrained, configs, batch, tmp_path, pooling, mode, opset):
    source, params = pretrained("bert")
    (source / "1_Pooling").mkdir()
    (source / "1_Pooling" / "config.json").write_text(json.dumps({f"pooling_mode_{mode}": True}))
    (source / "modules.json").write_text('[{"type": "sentence_transformers.models.Normalize"}]')
    export(epath.Path(tmp_path), None, str(source), wanted("onnx", drop_heads=True, opset=opset))
    encoder = {name: part for name, part in params["encoder"].items() if name != "pooler"}
    inputs = batch()
    model = task_model(f"embedding_{pooling}", 0, configs["bert"])
    expected = model.apply({"encoder": encoder}, **{name: array[:, None] for name, array in inputs.items()})
    unit = np.asarray(expected)[:, 0] / np.linalg.norm(np.asarray(expected)[:, 0], axis=-1, keepdims=True)
    said = {"cls": "[CLS]' state", "max": "the largest of the tokens' states"}[pooling]
    assert f"`sentence_embedding` is {said}." in (tmp_path / "README.md").read_text()
    session = session_of(tmp_path)
    assert_close(run(session, inputs)["sentence_embedding"], unit)
    inputs["attention_mask"][1] = 0
    assert np.isfinite(run(session, inputs)["sentence_embedding"]).all()


TASKS = ["classification", "multilabel", "regression", "tagging", "qa", "choice", "similarity"]
OF_OTHERS = [("tagging", "distilbert"), ("choice", "roformer"), ("classification", "none")]


@pytest.mark.parametrize(("kind", "family"), [*((kind, "bert") for kind in TASKS), *OF_OTHERS])
def test_heads_of_tasks(workdirs, served_task, configs, batch, kind, family):
    directory, config = served_task(kind, family=family), configs[family]
    inputs = batch(texts=3 if kind == "choice" else 1 if kind == "similarity" else 0)
    model, params = workdirs.model_of(kind, config), workdirs.random_params(kind, config=config)
    ours = np.asarray(jax.jit(model.apply)(params, **inputs))
    if kind == "similarity":
        expected = {"sentence_embedding": ours[:, 0]}
        inputs = {name: array[:, 0] for name, array in inputs.items()}
        states = model.module(params).encoder(**inputs)[-1]
        expected["last_hidden_state"] = np.asarray(states)
    elif kind == "qa":
        expected = {"start_logits": ours[..., 0], "end_logits": ours[..., 1]}
    else:
        expected = {"logits": ours * 1.25 + 3.5 if kind == "regression" else ours}
    per_token = {"tagging": {"logits"}, "qa": {"start_logits", "end_logits"}, "similarity": {"last_hidden_state"}}
    assert_same(session_of(directory), inputs, expected, per_token.get(kind, set()))
    onnx.checker.check_model(directory / "model.onnx", full_check=True)
    settings = json.loads((directory / "config.json").read_text())
    if "labels" in workdirs.TASKS[kind][0]:
        assert list(settings["id2label"].values()) == workdirs.TASKS[kind][0]["labels"]
    card = (directory / "README.md").read_text()
    assert "library_name: onnx" in card
    for name in expected:
        assert f"| output | `{name}` | float32 |" in card


@pytest.mark.parametrize(
    ("kind", "family", "asked"), [("classification", "distilbert", None), ("tagging", "bert", "distilbert")]
)
def test_token_types_as_the_written_family_has_them(workdirs, served_task, configs, batch, caplog, kind, family, asked):
    """DistilBERT has no head of a text as ours, so that is written as BERT, with types that change nothing."""
    directory, config, inputs = served_task(kind, family=family, asked=asked), configs[family], batch()
    session = session_of(directory)
    assert ("token_type_ids" in [each.name for each in session.get_inputs()]) == (asked is None)
    if asked:
        assert "DistilBERT has no place for token types" in caplog.text
        inputs["segment_ids"][:] = 0
    apply, params = workdirs.model_of(kind, config).apply, workdirs.random_params(kind, config=config)
    expected = {"logits": np.asarray(jax.jit(apply)(params, **inputs))}
    assert_same(session, inputs, expected, {"logits"} if kind == "tagging" else set())


@pytest.mark.parametrize("family", ["bert", "distilbert"])  # exact GELU, and that of tanh
def test_onnxruntime_fuses_attention_layer_norm_and_gelu(served, configs, tmp_path, family):
    pytest.importorskip("sympy")  # which comes with torch, for onnxruntime's optimizer
    directory, _ = served(family, drop_heads=True)
    config = configs[family]
    fused = optimize_model(
        str(directory / "model.onnx"), num_heads=config.num_attention_heads, hidden_size=config.hidden_size, opt_level=0
    ).get_fused_operator_statistics()
    layers = config.num_hidden_layers
    gelu = "BiasGelu" if family == "bert" else "FastGelu"
    assert (fused["Attention"], fused[gelu]) == (layers, layers)
    assert fused["SkipLayerNormalization"] - 2 * layers in (0, 1)  # onnxruntime 1.23 takes the embeddings' sum along
    session_of(directory, optimized_model_filepath=str(tmp_path / "optimized.onnx"), log_severity_level=3)
    kinds = [node.op_type for node in onnx.load(tmp_path / "optimized.onnx").graph.node]
    assert kinds.count("BiasGelu" if family == "bert" else "FastGelu") == layers
    assert kinds.count("LayerNormalization") + kinds.count("SkipLayerNormalization") == 1 + 2 * layers


def test_a_newer_opset_and_weights_beside_the_graph(served, batch, monkeypatch):
    plain = run(session_of(served("bert")[0]), batch())["logits"]
    monkeypatch.setattr(onnx_file, "LARGEST", 1000)
    directory, _ = served("bert", opset=21)
    assert (directory / "model.onnx_data").stat().st_size > 5 * (directory / "model.onnx").stat().st_size
    onnx.checker.check_model(directory / "model.onnx", full_check=True)
    assert onnx.load(directory / "model.onnx", load_external_data=False).opset_import[0].version == 21
    np.testing.assert_allclose(run(session_of(directory), batch())["logits"], plain, rtol=0, atol=1e-5)


def test_a_table_that_is_in_the_file_twice_counts_twice(served, monkeypatch):
    """As that of masked tokens is in the float32 file of which int8 is made: at 2 GiB it cannot be written as one."""
    once = (served("bert")[0] / "model.onnx").stat().st_size
    written = []

    def look(source, target):
        written.extend(path.name for path in source.parent.glob("model.onnx*"))
        return quantize(source, target)

    quantize = onnx_file.quantize
    monkeypatch.setattr(onnx_file, "quantize", look)
    monkeypatch.setattr(onnx_file, "LARGEST", once)
    served("bert", quantize="int8")
    assert sorted(written) == ["model.onnx", "model.onnx_data"]


@pytest.mark.parametrize("family", ["bert", "roformer"])
def test_a_text_that_is_too_long_is_no_answer(served, family):
    session = session_of(served(family)[0])
    ids = np.ones((1, 49), np.int64)
    with pytest.raises(onnxruntime.capi.onnxruntime_pybind11_state.InvalidArgument, match="out of data bounds, idx=48"):
        run(session, {"input_ids": ids, "attention_mask": ids, "segment_ids": 0 * ids})


def test_the_cards_code_runs_as_it_stands(served_task, monkeypatch):
    directory = served_task("classification")
    code = (directory / "README.md").read_text().split("```python\n")[-1].split("```")[0]
    found = {}
    exec(code.replace("DIR", str(directory)), found)
    assert found["outputs"]["logits"].shape == (2, 3)


def test_the_settings_of_a_text_that_roformer_reads_otherwise(served_task):
    """Its class computes another head of the weights, but here it is the graph that computes."""
    settings = json.loads((served_task("classification", family="roformer") / "config.json").read_text())
    assert (settings["model_type"], settings["architectures"]) == ("roformer", ["RoFormerForSequenceClassification"])


def test_a_model_that_is_none_of_transformers_has_our_own_settings(workdirs, served_task, configs):
    directory = served_task("multilabel", family="none")
    settings = json.loads((directory / "config.json").read_text())
    ours = dataclasses.asdict(configs["none"])
    assert {name: settings[name] for name in ours} == ours
    assert settings.keys() - ours.keys() == {"id2label", "label2id", "thresholds"}
    assert "`config.json` has bert_jax's own settings" in (directory / "README.md").read_text()
    for how in ({"asked": "roformer"}, {"kind": "huggingface"}):
        with pytest.raises(UserError, match=r"left_to_right=True, pre_norm=True, .*; give --format=numpy or stablehlo"):
            served_task("multilabel", family="none", **how)


JUDGED = """
import json, sys
import optimum.onnxruntime as ort
import transformers
directory, kind, texts = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
model = getattr(ort, kind).from_pretrained(directory)
tokenizer = transformers.AutoTokenizer.from_pretrained(directory)
inputs = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
print(json.dumps({name: array.tolist() for name, array in model(**inputs).items() if array is not None}))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "theirs", "family"),
    [
        ("classification", "ORTModelForSequenceClassification", "bert"),
        ("classification", "ORTModelForSequenceClassification", "roformer"),
        ("tagging", "ORTModelForTokenClassification", "bert"),
        ("qa", "ORTModelForQuestionAnswering", "bert"),
        ("similarity", "ORTModelForFeatureExtraction", "bert"),
    ],
)
def test_optimum_loads_it(request, workdirs, served_task, kind, theirs, family):
    judge = environment(
        request.config.cache.mkdir("optimum"), "optimum[onnxruntime]", beside=sysconfig.get_path("purelib")
    )
    directory = served_task(kind, family=family)
    found = judge.run(JUDGED, directory, theirs, json.dumps(workdirs.TEXTS))
    ours = run(session_of(directory), workdirs.padded(workdirs.TEXTS))
    for name, array in found.items():
        length = np.shape(array)[1]
        expected = ours[name][:, :length] if np.ndim(ours[name]) > 1 and kind != "classification" else ours[name]
        np.testing.assert_allclose(np.array(array), expected, rtol=0, atol=1e-4)
