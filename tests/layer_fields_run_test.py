"""A model whose layers are not BERT's through the commands: pretrained, gone on from, a teacher, fine-tuned, asked."""

import json
import random

import jax
import numpy as np
import onnxruntime
import pytest
import safetensors.numpy
import torch
from jax import export

import bert_jax
from bert_jax.model.functional import flatten, nest
from bert_jax.workdir.run_directory import read_config
from tests.layer_fields import FIELDS
from tests.torch_layers import reference

pytestmark = pytest.mark.slow
FLAGS = [f"--config.model.{name}={value}" for name, value in FIELDS.items()]
TEXTS = ["The method returns a list.", "A file is opened, and then it is read by another object of the same class."]
WORDS = "value string object list number module file class method call return argument name type".split()  # noqa: SIM905


@pytest.fixture(scope="module")
def run(chain, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("pretrained") / "run"
    chain.pretrain(workdir, *FLAGS)
    return workdir


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    path = tmp_path_factory.mktemp("texts") / "texts.txt"
    path.write_text("\n".join(TEXTS) + "\n")
    return path


def losses(workdir):
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    return [line["masked_lm_loss"] for line in lines if line["split"] == "train"]


def exported(chain, workdir, output, kind, **how):
    return chain.run("export", f"--workdir={workdir}", f"--output={output}", f"--format={kind}", **how)


def test_it_learns_and_another_run_goes_on_from_it(chain, run, tmp_path):
    assert read_config(run).model.unlike_bert == FIELDS
    assert losses(run)[-1] < losses(run)[0] - 0.5
    other_phase = [f"--config.init_from={run}", "--config.model.max_position_embeddings=128"]
    chain.pretrain(tmp_path / "on", *FLAGS, *other_phase, "--config.init_moments=true")
    assert losses(tmp_path / "on")[0] < losses(run)[0] - 0.5
    refused = chain.pretrain(tmp_path / "other", *other_phase, *FLAGS[1:], "--config.model.use_bias=true", check=False)
    assert refused.returncode == 1
    assert refused.stderr.splitlines()[-1] == (
        f"error: --config.init_from={run} does not fit this run: pre_norm=True (here False), use_bias=False (here "
        "True); give --config.model.pre_norm=True --config.model.use_bias=False"
    )
    named = ["--config.model.pre_norm=True", "--config.model.use_bias=False", "--config.phases[0].steps=2"]
    chain.pretrain(tmp_path / "other", *other_phase, *FLAGS[1:], *named)


def test_it_teaches_students_of_either_kind(chain, run, tmp_path):
    teacher = [f"--config.teacher={run}", "--config.model.type_vocab_size=0"]
    chain.pretrain(tmp_path / "same", *FLAGS, *teacher, "--config.distillation.init_layers=0")
    assert losses(tmp_path / "same")[0] < losses(run)[0] - 0.5
    chain.pretrain(tmp_path / "bert", *teacher)
    assert read_config(tmp_path / "bert").model.unlike_bert == {}
    refused = chain.pretrain(tmp_path / "no", *teacher, "--config.distillation.init_layers=0", check=False)
    assert "--config.model.pre_norm=False cannot be used; give True as the teacher has" in refused.stderr
    assert not (tmp_path / "no").exists()


def test_packed_rows(chain, tmp_path):
    packed = ["--config.data.packing=true", "--config.phases[0].max_seq_length=64", "--config.train.remat=dots"]
    chain.pretrain(tmp_path / "run", *FLAGS, *packed)
    assert losses(tmp_path / "run")[-1] < losses(tmp_path / "run")[0] - 0.5


def test_its_vectors_are_torchs_of_the_exported_arrays(chain, run, texts, tmp_path):
    exported(chain, run, tmp_path / "numpy", "numpy")
    arrays = dict(np.load(tmp_path / "numpy" / "params.npz"))
    config = bert_jax.ModelConfig(**json.loads((tmp_path / "numpy" / "config.json").read_text()))
    assert "Other than in BERT: pre_norm=True, gated_" in (tmp_path / "numpy" / "README.md").read_text()
    chain.run("embed", f"--model={run}", f"--input={texts}", f"--output={tmp_path}/vectors", "--pooling=mean")
    (found,) = (np.load(path) for path in (tmp_path / "vectors").glob("embeddings-*.npy"))
    model = bert_jax.load(run)
    batch = model.encode(TEXTS)
    inputs = (torch.from_numpy(batch[name]).long() for name in ("input_ids", "attention_mask", "segment_ids"))
    with torch.no_grad():
        states = reference(config, nest(arrays)).hidden_states(*inputs)[-1].numpy()
    here = batch["attention_mask"][:, :, None]
    np.testing.assert_allclose(found, (states * here).sum(axis=1) / here.sum(axis=1), atol=2e-4)
    filled = model.fill_mask("a [MASK] of numbers")
    assert bert_jax.load(tmp_path / "numpy").fill_mask("a [MASK] of numbers") == filled
    answers = chain.run("predict", f"--workdir={run}", f"--input={masked(tmp_path)}", "--output=-").stdout
    assert json.loads(answers)["masks"][0][0]["token"] == filled["masks"][0][0]["token"]


def masked(directory):
    path = directory / "masked.txt"
    path.write_text("a [MASK] of numbers\n")
    return path


def test_fine_tuned_it_answers_as_its_program_does(chain, run, texts, tmp_path):
    for seed, (name, rows) in enumerate({"train": 160, "dev": 40}.items()):
        (tmp_path / f"{name}.jsonl").write_text(labelled(rows, seed))
    workdir, fit = tmp_path / "tuned", ("epochs=2", "global_batch_size=16", "layer_decay=0.9", "frozen_layers=0")
    files = [f"--{name}={tmp_path}/{name}.jsonl" for name in ("train", "dev")]
    fit = [f"--config.fit.{each}" for each in fit] + ["--config.optimizer.learning_rate=3e-3"]
    chain.run("finetune", "--task=classification", f"--init_from={run}", f"--workdir={workdir}", *files, *fit)
    kept = safetensors.numpy.load((workdir / "model.safetensors").read_bytes())
    assert "encoder/final_norm/scale" in kept
    assert "encoder/embeddings/position/embedding" not in kept

    chain.run("predict", f"--workdir={workdir}", f"--input={texts}", f"--output={tmp_path}/out.jsonl")
    answers = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    exported(chain, workdir, tmp_path / "program", "stablehlo")
    program = export.deserialize(bytearray((tmp_path / "program" / "model.stablehlo").read_bytes()))
    batch = bert_jax.load(workdir).encode(TEXTS)
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask")} | {"token_type_ids": batch["segment_ids"]}
    logits = program.call(dict(np.load(tmp_path / "program" / "params.npz")), inputs)["logits"]
    exported(chain, workdir, tmp_path / "graph", "onnx")
    inputs = {name: array.astype(np.int64) for name, array in inputs.items()}
    session = onnxruntime.InferenceSession(tmp_path / "graph" / "model.onnx")
    np.testing.assert_allclose(session.run(["logits"], inputs)[0], logits, atol=1e-5)
    found = [list(each["probabilities"].values()) for each in answers]
    np.testing.assert_allclose(found, jax.nn.softmax(logits), atol=1e-4)
    refused = exported(chain, workdir, tmp_path / "hf", "huggingface", check=False)
    assert "have no place for pre_norm=True, gated_feed_forward=True, use_bias=False" in refused.stderr.splitlines()[-1]
    assert not (tmp_path / "hf").exists()

    chain.run("finetune", "--task=classification", f"--init_from={workdir}", f"--workdir={tmp_path}/on", *files, *fit)
    params = flatten(bert_jax.load(tmp_path / "on").params)
    assert params.keys() == kept.keys()


def labelled(rows, seed):
    """Texts of random words; those with "file" in them are of class io."""
    draw = random.Random(seed)
    texts = [" ".join(draw.choices(WORDS, k=draw.randint(3, 24))) for _ in range(rows)]
    lines = ({"text": text, "label": "io" if "file" in text else "other"} for text in texts)
    return "".join(json.dumps(line) + "\n" for line in lines)
