"""int8: what it costs is measured and written; and every wrong flag of a program is one line."""

import logging
import re
import sys

import numpy as np
import onnx
import onnxruntime
import pytest

from bert_jax.errors import UserError
from bert_jax.inference.task_scores import score_task
from bert_jax.serving.onnx_graph import FLOAT, INT64
from bert_jax.serving.options import Options
from bert_jax.serving.programs import program_writer


def table_of(directory):
    """The card's lines about int8: {what: (float32, int8)}."""
    section = (directory / "README.md").read_text().partition("## int8")[2]
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in section.splitlines() if line.startswith("| ")]
    return {what: (plain, int8) for what, plain, int8 in cells}


@pytest.mark.parametrize("kind", ["similarity", "qa", "choice", "regression"])
def test_an_int8_file_and_its_card(served_task, caplog, kind):
    caplog.set_level(logging.INFO, "absl")
    directory = served_task(kind, quantize="int8")
    assert [path.name for path in directory.glob("*.onnx*")] == ["model_quantized.onnx"]
    found = table_of(directory)
    sizes = [float(size) for size in found["size, MB"]]
    assert sizes[1] < sizes[0]
    agreement = found["as float32 answers"][1]
    assert re.match(
        {"similarity": r"cosine (0\.9|1\.0)", "regression": r"off by 0\.0"}.get(kind, r"\d+\.\d %"), agreement
    )
    plain, _ = found["a text alone, and padded beside longer ones"]
    exact = {"similarity": "cosine 1.0000, at least 1.0000", "qa": "100.0 %", "choice": "100.0 %"}
    assert kind == "regression" or plain == exact[kind]
    for line in (f"as float32 answers: float32 -, int8 {agreement}", "int8 answers depend on what else is in a batch"):
        assert line in caplog.text


def test_only_a_text_at_a_time_is_the_same_always(served_task, batch):
    """Neither padding nor equal lengths: it is the other texts' activations that move the scales."""
    directory = served_task("similarity", quantize="int8")
    session = onnxruntime.InferenceSession(directory / "model_quantized.onnx")
    inputs = {name.replace("segment", "token_type"): array.astype(np.int64) for name, array in batch().items()}
    for count, length in ((5, 48), (4, 3)):  # with padding; without
        rows = {name: array[:count, :length] for name, array in inputs.items()}
        alone = session.run(["sentence_embedding"], {name: array[3:4, :3] for name, array in rows.items()})[0]
        beside = session.run(["sentence_embedding"], rows)[0][3:4]
        assert 1e-5 < np.abs(alone - beside).max() < 0.1 * np.abs(alone).max()
        again = session.run(["sentence_embedding"], {name: array[3:4, :3] for name, array in rows.items()})[0]
        np.testing.assert_array_equal(again, alone)


def test_masked_words_and_families(served):
    for family in ("bert", "albert", "roformer"):  # the word table is looked up and multiplied with
        directory, _ = served(family, quantize="int8")
        weights = onnx.load(directory / "model_quantized.onnx").graph.initializer
        rotation = {each.name: each.data_type for each in weights if each.name in ("positions", "speeds")}
        assert rotation == ({"positions": INT64, "speeds": FLOAT} if family == "roformer" else {})
        session = onnxruntime.InferenceSession(directory / "model_quantized.onnx")
        assert table_of(directory)["as float32 answers"][1].endswith("%")
        assert session.get_outputs()[0].name == "logits"


@pytest.mark.parametrize(
    ("kind", "lines"),
    [
        ("classification", ["the cat sat on the mat\tneutral", "it is good\tbad|good", "where is paris?\tgut ü"]),
        ("regression", ["the cat sat on the mat\t3.5", "it is good\t1", "where is paris?\t4.25"]),
        ("similarity", ["the cat sat\tit is good\t0.5", "where is paris\tparis is home\t1.5", "good\tbad\t0"]),
    ],
)
def test_scores_on_a_labelled_file_are_those_of_evaluate(served_task, tmp_path, kind, lines):
    names = ["text", "text2", "label"] if kind == "similarity" else ["text", "label"]
    file = tmp_path / "test.tsv"
    file.write_text("\n".join(["\t".join(names), *lines]) + "\n")
    columns = ",".join(f"{name}:{name}" for name in names)
    directory = served_task(kind, quantize="int8", test=str(file), columns=columns)
    found = table_of(directory)
    ours = score_task(directory.parent / "run", str(file), columns)
    for name, value in ours.items():
        if isinstance(value, float):
            assert found[name][0] == f"{value:.4f}", name
            assert np.isfinite(float(found[name][1]))


def test_wrong_flags_are_one_line(monkeypatch, served, served_task, tmp_path):
    for kind, asked, complaint in [
        ("onnx", {"opset": 11}, r"--opset=11 has no LayerNormalization, which came with 17; give 17 to \d+"),
        ("onnx", {"opset": 999}, r"--opset=999 is newer than the installed onnx, .*; give 17 to \d+"),
        ("huggingface", {"normalize": True}, "--normalize is for vectors .*; leave it out with --format=huggingface"),
        ("numpy", {"opset": 18}, "--opset=18 is for --format=onnx; leave it out with --format=numpy"),
        ("stablehlo", {"quantize": "int8"}, "--quantize=int8 is for --format=onnx; leave it out"),
        ("onnx", {"dtype": "bfloat16"}, "--dtype=bfloat16 is for --format=stablehlo; leave it out"),
        ("onnx", {"quantize": "int8", "dtype": "bfloat16"}, "made of float32 weights, not bfloat16; leave out --dtype"),
        ("onnx", {"test": "t.tsv"}, "--test=t.tsv is for comparing int8 with float32; give --quantize=int8"),
        ("onnx", {"quantize": "int8", "columns": "text:0"}, "--columns=text:0 is for the file of --test; give that"),
        ("onnx", {"quantize": "int8", "header": "no"}, "--header=no is for the file of --test; give that, too"),
    ]:
        with pytest.raises(UserError, match=complaint):
            program_writer(kind, Options(**asked))
    for serve, model in ((served, "bert"), (served_task, "classification")):
        for kind in ("onnx", "stablehlo"):
            with pytest.raises(UserError, match=r"--normalize is for vectors, and .* or give --drop_heads for the enc"):
                serve(model, kind, normalize=True)
    with pytest.raises(UserError, match=r"--test=t\.tsv: a model without a task's head has no scores; leave it out"):
        served("bert", quantize="int8", test="t.tsv")
    with pytest.raises(UserError, match=r"absent\.tsv"):
        served_task("classification", quantize="int8", test=str(tmp_path / "absent.tsv"))
    with pytest.raises(UserError, match="a model without a task's head has no scores"):
        served_task("classification", quantize="int8", test="t.tsv", drop_heads=True)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UserError, match=r"--quantize=int8 needs onnxruntime, .*; run launch/setup.sh onnx"):
        program_writer("onnx", Options(quantize="int8"))
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(UserError, match=r"--format=onnx needs onnx, which is not installed; run launch/setup.sh onnx"):
        program_writer("onnx", Options())
    assert program_writer("numpy", Options()) is None
