"""The export command on a run's workdir, judged by transformers: it loads whole and computes what we compute."""

import dataclasses
import json
import shutil
import subprocess
import sys
from collections import Counter
from pydoc_data.topics import topics

import jax
import numpy as np
import onnxruntime
import optax
import pytest
import torch
import transformers

from bert_jax.config import Config, ModelConfig, PhaseConfig
from bert_jax.config.file import to_json
from bert_jax.interchange.tensorflow import read_tensorflow
from bert_jax.model.functional import flatten
from bert_jax.model.pretraining import pretraining_model
from bert_jax.text.load_tokenizer import load_tokenizer
from bert_jax.workdir.checkpoints import Checkpoints
from bert_jax.workdir.run_directory import read_config

TEXT = topics["assert"]
MODEL = ModelConfig(
    hidden_size=32,
    num_hidden_layers=2,
    num_attention_heads=4,
    intermediate_size=64,
    max_position_embeddings=64,
    hidden_act="gelu_tanh",
)


def make_vocabulary(directory):
    words = [word for word, _ in Counter(" ".join(topics.values()).lower().split()).most_common(400)]
    characters = sorted(set("".join(words)))
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    pieces = dict.fromkeys([*special, *characters, *("##" + char for char in characters), *words])
    (directory / "vocab.txt").write_text("".join(f"{piece}\n" for piece in pieces))
    return load_tokenizer(directory / "vocab.txt", do_lower_case=True)


def make_state(model, step):
    """Weights that are all random, so that none can be mistaken for another."""
    random = np.random.default_rng(step)
    params = jax.tree.map(lambda leaf: random.normal(0, 0.1, leaf.shape).astype(np.float32), model.abstract_params)
    params = jax.tree.map(jax.numpy.asarray, params)
    return {"step": jax.numpy.int32(step), "params": params, "opt_state": optax.adam(1.0).init(params)}


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    """What a run of 10 steps leaves, with checkpoints of steps 5 and 10."""
    directory = tmp_path_factory.mktemp("run")
    tokenizer = make_vocabulary(tmp_path_factory.mktemp("vocab"))
    tokenizer.save(directory / "tokenizer")
    model_config = dataclasses.replace(MODEL, vocab_size=tokenizer.vocab_size)
    config = Config(model=model_config, phases=(PhaseConfig(10, 8, 32),))
    (directory / "config.json").write_text(to_json(config))
    model = pretraining_model(model_config)
    checkpoints = Checkpoints(directory / "checkpoints", keep=3)
    description = {
        "config": json.loads(to_json(config)),
        "vocab_fingerprint": tokenizer.fingerprint,
        "data": {"inputs": [["text.txt", 1000, "a digest"]], "options": {"dupe_factor": 2}},
        "versions": {"bert_jax": "0.1.0", "jax": jax.__version__},
    }
    for step in (5, 10):
        checkpoints.save(step, make_state(model, step), {"step": step, **description})
    checkpoints.close()
    lines = [{"split": "validation", "step": step, "time": 1.5, "loss": 9.0 - step / 10} for step in (5, 10)]
    (directory / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"split": "va')
    return directory


@pytest.fixture(scope="module")
def export(verbs):
    """export(workdir, output, *flags) -> the finished process of the export command."""

    def export(workdir, output, *flags):
        if not any(flag.startswith("--format") for flag in flags):
            flags = (*flags, "--format=huggingface")
        return verbs.run("export", f"--workdir={workdir}", f"--output={output}", *flags)

    return export


@pytest.fixture(scope="module")
def exported(export, workdir, tmp_path_factory):
    output = tmp_path_factory.mktemp("export") / "hf"
    done = export(workdir, output)
    assert done.returncode == 0, done.stderr
    return output


def contents(directory):
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def test_transformers_loads_it_with_nothing_missing_and_nothing_left_over(exported):
    model, info = transformers.BertForPreTraining.from_pretrained(exported, output_loading_info=True)
    assert {key: list(value) for key, value in info.items()} == {key: [] for key in info}
    assert {"missing_keys", "unexpected_keys", "mismatched_keys"} <= info.keys()
    assert model.cls.predictions.decoder.weight is model.bert.embeddings.word_embeddings.weight
    assert type(transformers.AutoModelForMaskedLM.from_pretrained(exported)) is transformers.BertForMaskedLM


def test_it_computes_what_we_compute_on_real_text(workdir, exported):
    tokenizer, step = load_tokenizer(workdir / "tokenizer"), 10
    lines = [line for line in TEXT.splitlines() if line.strip()][:8]
    batch = transformers.AutoTokenizer.from_pretrained(exported)(
        lines, padding="max_length", truncation=True, max_length=32, return_tensors="np"
    )
    for row, line in zip(batch["input_ids"], lines, strict=True):
        ids = [tokenizer.cls_id, *tokenizer.encode(line)[:30], tokenizer.sep_id]
        assert row.tolist() == ids + [tokenizer.pad_id] * (32 - len(ids))
    with torch.no_grad():
        tensors = {name: torch.from_numpy(array) for name, array in batch.items()}
        theirs = transformers.BertForPreTraining.from_pretrained(exported).eval()(**tensors)
    model = pretraining_model(dataclasses.replace(MODEL, vocab_size=tokenizer.vocab_size))
    positions = np.tile(np.arange(32, dtype=np.int32), (len(lines), 1))
    inputs = [batch[name].astype(np.int32) for name in ("input_ids", "attention_mask", "token_type_ids")]
    ours = jax.jit(model.apply)(make_state(model, step)["params"], *inputs, positions)
    np.testing.assert_allclose(ours.masked_lm, theirs.prediction_logits.numpy(), rtol=0, atol=1e-4)
    np.testing.assert_allclose(ours.pair_logits, theirs.seq_relationship_logits.numpy(), rtol=0, atol=1e-4)


def test_the_card_tells_data_config_steps_scores_and_versions(exported):
    card = (exported / "README.md").read_text()
    for fact in ("after 10 of 10 steps", "| loss | 8.0000 |", "records/{max_seq_length}", "| 32 | 8 | 10 of 10 |"):
        assert fact in card
    assert f"- jax {jax.__version__}" in card
    assert '"learning_rate": 0.0001' in card
    assert "1.5" not in card  # the clock of the run


def test_the_same_command_again_writes_the_same(export, workdir, exported):
    before = contents(exported)
    done = export(workdir, exported)
    assert done.returncode == 0, done.stderr
    assert contents(exported) == before


def test_an_older_checkpoint_on_request(export, workdir, tmp_path):
    done = export(workdir, tmp_path / "hf", "--step=5")
    assert done.returncode == 0, done.stderr
    card = (tmp_path / "hf" / "README.md").read_text()
    assert "after 5 of 10 steps" in card
    assert "| loss | 8.5000 |" in card
    model = transformers.BertForPreTraining.from_pretrained(tmp_path / "hf")
    params = make_state(pretraining_model(dataclasses.replace(MODEL, vocab_size=model.config.vocab_size)), 5)["params"]
    ours = flatten(params)["encoder/pooler/kernel"]
    np.testing.assert_array_equal(model.bert.pooler.dense.weight.detach().numpy(), ours.T)


def test_an_original_bert_folder(export, workdir, tmp_path):
    for name in ("one", "two"):
        done = export(workdir, tmp_path / name, "--format=tensorflow")
        assert done.returncode == 0, done.stderr
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    config = read_config(workdir).model
    found = read_tensorflow(tmp_path / "one", ModelConfig())
    assert found.config == config
    for path, array in flatten(make_state(pretraining_model(config), 10)["params"]).items():
        np.testing.assert_array_equal(found.arrays[path], array)
    assert "library_name: tensorflow" in (tmp_path / "one" / "README.md").read_text()
    tokenizers = [load_tokenizer(directory) for directory in (tmp_path / "one", workdir / "tokenizer")]
    assert tokenizers[0].fingerprint == tokenizers[1].fingerprint


def test_a_numpy_file(export, workdir, tmp_path):
    done = export(workdir, tmp_path / "out", "--format=numpy", "--step=5")
    assert done.returncode == 0, done.stderr
    params = flatten(make_state(pretraining_model(read_config(workdir).model), 5)["params"])
    with np.load(tmp_path / "out" / "params.npz") as found:
        assert set(found) == params.keys()
        for path, array in params.items():
            np.testing.assert_array_equal(found[path], array)
    assert "library_name: numpy" in (tmp_path / "out" / "README.md").read_text()


def test_an_encoder_for_sentence_transformers(export, workdir, tmp_path):
    done = export(workdir, tmp_path / "out", "--format=sentence-transformers", "--step=5", "--normalize")
    assert done.returncode == 0, done.stderr
    params = flatten(make_state(pretraining_model(read_config(workdir).model), 5)["params"])
    model, info = transformers.AutoModel.from_pretrained(tmp_path / "out", output_loading_info=True)
    assert {key: list(value) for key, value in info.items()} == {key: [] for key in info}
    ours = params["encoder/layer_1/output/kernel"]
    np.testing.assert_array_equal(model.encoder.layer[1].output.dense.weight.detach().numpy(), ours.T)
    assert [one["name"] for one in json.loads((tmp_path / "out" / "modules.json").read_text())] == ["0", "1", "2"]
    card = (tmp_path / "out" / "README.md").read_text()
    assert "library_name: sentence-transformers\npipeline_tag: sentence-similarity" in card
    assert "the encoder alone" in card
    done = export(workdir, tmp_path / "out")  # over it, as over any export
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "out" / "1_Pooling").exists()


def test_programs(export, workdir, tmp_path):
    """tests/serving/ has what they compute."""
    done = export(workdir, tmp_path / "onnx", "--format=onnx", "--step=5")
    assert done.returncode == 0, done.stderr
    session = onnxruntime.InferenceSession(tmp_path / "onnx" / "model.onnx")
    assert [each.name for each in session.get_outputs()] == ["logits"]
    assert "after 5 of 10 steps" in (tmp_path / "onnx" / "README.md").read_text()
    done = export(workdir, tmp_path / "hlo", "--format=stablehlo", "--drop_heads")
    assert done.returncode == 0, done.stderr
    about = json.loads((tmp_path / "hlo" / "program.json").read_text())
    assert list(about["outputs"]) == ["last_hidden_state", "sentence_embedding"]
    assert "of the encoder alone" in (tmp_path / "hlo" / "README.md").read_text()


@pytest.fixture(scope="module")
def fine_tuned(workdirs, tmp_path_factory):
    """A workdir of finetune."""
    directory = tmp_path_factory.mktemp("fine_tuned") / "run"
    workdirs.write_workdir(directory, "multilabel")
    return directory


@pytest.mark.slow
def test_a_fine_tuned_model_for_transformers(workdirs, fine_tuned, tmp_path):
    """By a process of its own; tests/interchange/huggingface_tasks_test.py has the outputs of every task."""
    command = [sys.executable, "-m", "bert_jax.export", f"--workdir={fine_tuned}", f"--output={tmp_path / 'hf'}"]
    done = subprocess.run([*command, "--format=huggingface"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"exported step 120 of {fine_tuned}" in done.stderr
    model, info = transformers.AutoModelForSequenceClassification.from_pretrained(
        tmp_path / "hf", output_loading_info=True
    )
    assert {key: list(value) for key, value in info.items()} == {key: [] for key in info}
    inputs = transformers.AutoTokenizer.from_pretrained(tmp_path / "hf")(
        workdirs.TEXTS, padding=True, truncation=True, return_tensors="pt"
    )
    with torch.no_grad():
        theirs = model.eval()(**inputs).logits.numpy()
    ours = workdirs.model_of("multilabel").apply(
        workdirs.random_params("multilabel"), **workdirs.padded(workdirs.TEXTS)
    )
    np.testing.assert_allclose(theirs, ours, rtol=0, atol=1e-5)


def test_a_fine_tuned_model_as_a_numpy_file(export, workdirs, fine_tuned, tmp_path):
    done = export(fine_tuned, tmp_path / "out", "--format=numpy")
    assert done.returncode == 0, done.stderr
    with np.load(tmp_path / "out" / "params.npz") as found:
        np.testing.assert_array_equal(
            found["classifier/kernel"], workdirs.random_params("multilabel")["classifier"]["kernel"]
        )
    task = json.loads((tmp_path / "out" / "task_settings.json").read_text())
    assert task == {"task": "multilabel", **workdirs.TASKS["multilabel"][0]}
    assert "library_name: numpy" in (tmp_path / "out" / "README.md").read_text()


def test_what_a_fine_tuned_model_cannot_be_exported_as(export, fine_tuned, tmp_path):
    copies = {name: tmp_path / name for name in ("unfinished", "damaged", "other")}
    for copy in copies.values():
        shutil.copytree(fine_tuned, copy)
    (copies["unfinished"] / "task.json").unlink()
    (copies["unfinished"] / "seed_0").mkdir()
    (copies["damaged"] / "model.safetensors").write_bytes(b"")
    shutil.rmtree(copies["other"] / "tokenizer")
    load_tokenizer("ids:90").save(copies["other"] / "tokenizer")
    before = sorted(path.name for path in tmp_path.iterdir())
    for workdir, flags, complaint in [
        (fine_tuned, ["--format=tensorflow"], "give --format=huggingface or numpy"),
        (fine_tuned, ["--step=5"], "the best step alone is kept; leave it out"),
        (copies["unfinished"], [], "has not ended; run its command again to resume"),
        (copies["damaged"], [], "model.safetensors is not as it was written"),
        (copies["other"], [], "is not the vocabulary that the model was trained with"),
    ]:
        done = export(workdir, tmp_path / "out", *flags)
        assert done.returncode == 1
        assert complaint in done.stderr
        assert "Traceback" not in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_wrong_requests_end_in_one_line_and_write_nothing(export, workdir, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("mine")
    (tmp_path / "young").mkdir()
    (tmp_path / "young" / "config.json").write_text((workdir / "config.json").read_text())
    load_tokenizer(workdir / "tokenizer").save(tmp_path / "young" / "tokenizer")
    before = sorted(path.name for path in tmp_path.iterdir())
    for flags, complaint in [
        ((workdir, tmp_path / "out", "--step=7"), "--step=7 is no checkpoint of"),
        ((workdir, tmp_path / "full"), "holds thesis.tex"),
        ((tmp_path / "young", tmp_path / "out"), "has no checkpoint yet"),
        ((tmp_path / "absent", tmp_path / "out"), "holds no run"),
        ((workdir, tmp_path / "out", "--format=tflite"), "--format"),
        ((workdir, tmp_path / "out", "--format=onnx", "--opset=11"), "came with 17; give 17 to"),
        ((workdir, tmp_path / "out", "--format=numpy", "--quantize=int8"), "--quantize=int8 is for --format=onnx"),
    ]:
        done = export(*flags)
        assert done.returncode in (1, 2)
        assert complaint in done.stderr
        assert "Traceback" not in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_a_model_that_is_no_run_is_converted(verbs, workdir, exported, tmp_path):
    """tests/interchange/foreign_exports_test.py has what there is to convert."""
    flags = ["--format=numpy", f"--output={tmp_path / 'out'}"]
    done = verbs.run("export", f"--model={exported}", *flags)
    assert done.returncode == 0, done.stderr
    assert f"exported {exported} to {tmp_path / 'out'}" in done.stderr
    params = flatten(make_state(pretraining_model(read_config(workdir).model), 10)["params"])
    with np.load(tmp_path / "out" / "params.npz") as found:
        assert set(found) == params.keys()
        for path, array in params.items():
            np.testing.assert_array_equal(found[path], array)
    for both in ([], [f"--model={exported}", f"--workdir={workdir}"]):
        done = verbs.run("export", *both, *flags)
        assert done.returncode in (1, 2)
        assert "Exactly one of (workdir, model)" in done.stderr
    done = verbs.run("export", f"--model={workdir}", *flags, "--step=5")
    assert done.returncode == 0, done.stderr
    assert f"exported step 5 of {workdir}" in done.stderr


def test_a_tokenizer_of_another_run_is_refused(export, workdir, tmp_path):
    copy = tmp_path / "run"
    copy.mkdir()
    for name in ("config.json", "checkpoints"):
        (copy / name).symlink_to(workdir / name)
    vocabulary = (workdir / "tokenizer" / "vocab.txt").read_text().splitlines()
    (tmp_path / "vocab.txt").write_text("".join(f"{token}\n" for token in [*vocabulary[:5], *vocabulary[:4:-1]]))
    load_tokenizer(tmp_path / "vocab.txt", do_lower_case=True).save(copy / "tokenizer")
    done = export(copy, tmp_path / "out")
    assert done.returncode == 1
    assert "is not the vocabulary that checkpoint 10 was trained with" in done.stderr
