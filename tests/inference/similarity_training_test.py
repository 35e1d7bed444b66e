"""The task similarity trained for a few steps from a random model: what it is scored by rises."""

import dataclasses
import json
import logging
import random
import shutil

import numpy as np
import pytest
from etils import epath

import bert_jax
from bert_jax.config import FineTuningConfig
from bert_jax.inference.embedding_options import EmbeddingOptions, load
from bert_jax.inference.predictor import load_predictor
from bert_jax.interchange.exports import ExportOptions, export_fine_tuned
from bert_jax.interchange.own_settings import OwnSettings, own_settings, write_own_settings
from bert_jax.interchange.sentence_transformers_files import Usage
from bert_jax.serving.options import Options
from bert_jax.serving.programs import program_writer
from bert_jax.tasks.task_files import make_task
from bert_jax.training.finetuning import default_length, finetune

TOPICS = (["wing", "lift", "plane", "air", "flow", "hull"], ["cat", "dog", "fox", "brown", "lazy", "jump"])
WORDS = [*TOPICS[0], *TOPICS[1]]


def pairs(count, seed):
    """Sentences about one topic, without a word in common, or about two."""
    rng = random.Random(seed)
    for _ in range(count):
        topic, is_same = rng.choice(TOPICS), rng.random() < 0.5
        words = rng.sample(topic, 6)
        others = words[3:] if is_same else rng.sample(TOPICS[topic is TOPICS[0]], 3)
        yield " ".join(words[:3]), " ".join(others), "duplicate" if is_same else "not_duplicate"


def config(tiny_bert, train, dev):
    settings = FineTuningConfig(init_from=str(tiny_bert))
    settings.task.kind, settings.task.train, settings.task.dev = "similarity", str(train), str(dev)
    settings.optimizer.learning_rate = 1e-3
    settings.fit.global_batch_size, settings.fit.steps = 16, 40
    settings.train.log_every_steps = 10
    return settings


@pytest.mark.slow
def test_labelled_pairs(tiny_bert, tmp_path):
    for name, count in (("train", 200), ("dev", 60)):
        rows = "".join(f"{a}\t{b}\t{score}\n" for a, b, score in pairs(count, name))
        (tmp_path / f"{name}.tsv").write_text(f"question1\tquestion2\tlabel\n{rows}")
    finetune(config(tiny_bert, tmp_path / "train.tsv", tmp_path / "dev.tsv"), tmp_path / "w", 1)
    task = json.loads((tmp_path / "w" / "task.json").read_text())
    known = {"scored": True, "pooling": "mean", "normalized": True, "pair_loss": "cosent"}
    assert task["settings"] == known | {"lowest": 0, "highest": 1, "scored_pairs": True}
    before = spearman(load(EmbeddingOptions(str(tiny_bert))).embedder, tmp_path / "dev.tsv")
    after = spearman(load(EmbeddingOptions(str(tmp_path / "w"))).embedder, tmp_path / "dev.tsv")
    assert after == pytest.approx(task["dev"]["spearman"], abs=1e-6)
    assert after > max(before, 0.0) + 0.3


@pytest.mark.parametrize(("asked", "pooling"), [("", "cls"), ("max", "max")])
def test_it_is_trained_with_the_models_own_pooling_and_length(tiny_bert, tmp_path, caplog, asked, pooling):
    """As a sentence-transformers directory says; the vectors that are compared in training are those of embed."""
    model = tmp_path / "model"
    shutil.copytree(tiny_bert, model)
    (model / "1_Pooling").mkdir()
    (model / "1_Pooling" / "config.json").write_text('{"pooling_mode_cls_token": true}')
    (model / "sentence_bert_config.json").write_text('{"max_seq_length": 9}')
    rows = "".join(f"{a}\t{b}\t{score}\n" for a, b, score in pairs(40, "train"))
    (tmp_path / "train.tsv").write_text(f"question1\tquestion2\tlabel\n{rows}")
    settings = config(model, tmp_path / "train.tsv", tmp_path / "train.tsv")
    settings.fit.steps, settings.task.pooling, settings.optimizer.warmup_steps = 2, asked, 100
    with caplog.at_level(logging.WARNING, logger="absl"):
        finetune(settings, tmp_path / "w", 1)
    assert "the learning rate never reaches its peak of 0.001: 2 steps, and a warm-up of 100" in caplog.text
    task = json.loads((tmp_path / "w" / "task.json").read_text())
    assert (task["settings"]["pooling"], task["text"]["max_length"]) == (pooling, 9)
    loaded = load(EmbeddingOptions(str(tmp_path / "w")))
    assert (loaded.settings["pooling"], loaded.settings["max_length"]) == (pooling, 9)
    assert spearman(loaded.embedder, tmp_path / "train.tsv") == pytest.approx(task["dev"]["spearman"], abs=1e-6)
    classes = dataclasses.replace(settings, task=dataclasses.replace(settings.task, kind="classification"))
    assert default_length(make_task(classes.task), own_settings(model)) is None  # as many as the model reads


def test_what_it_says_of_its_use_goes_with_it(tiny_bert, tmp_path):
    """Through fine-tuning, a second one, the library and exports."""
    model = tmp_path / "model"
    shutil.copytree(tiny_bert, model)
    usage = Usage({"query": "about: ", "passage": "of: "}, "query", "dot")
    write_own_settings(epath.Path(model), OwnSettings(9, "cls", True, usage=usage, pools_prompt=False), 32)
    rows = "".join(f"{a}\t{b}\t{score}\n" for a, b, score in pairs(40, "train"))
    (tmp_path / "train.tsv").write_text(f"question1\tquestion2\tlabel\n{rows}")
    settings = config(model, tmp_path / "train.tsv", tmp_path / "train.tsv")
    settings.fit.steps = 1
    finetune(settings, tmp_path / "w", 1)
    bert_jax.load(tmp_path / "w").save(tmp_path / "saved")
    settings.init_from, settings.task.pooling = str(tmp_path / "saved"), "max"
    finetune(settings, tmp_path / "again", 1)
    exported = {"w": ["sentence-transformers", "huggingface", "numpy"], "again": ["sentence-transformers"]}
    for run, forms in exported.items():
        for form in forms:
            (tmp_path / f"{run}-{form}").mkdir()
            export_fine_tuned(epath.Path(tmp_path / f"{run}-{form}"), tmp_path / run, ExportOptions(form))
    pooling_of = {"saved": "cls", "w-huggingface": "cls", "w-numpy": "cls", "w-sentence-transformers": "cls"}
    for name, pooling in (pooling_of | {"w": "cls", "again": "max", "again-sentence-transformers": "max"}).items():
        own = own_settings(tmp_path / name)
        assert own == OwnSettings(9, pooling, normalized=True), name
        assert (own.usage, own.pools_prompt) == (usage, False), name
    modules = json.loads((tmp_path / "w-sentence-transformers" / "modules.json").read_text())
    assert [module["type"].rpartition(".")[2] for module in modules] == ["Transformer", "Pooling", "Normalize"]


def test_a_served_program_gives_vectors_of_the_length_that_its_model_said(workdirs, tmp_path):
    run = tmp_path / "run"
    workdirs.write_workdir(run, "similarity")
    write_own_settings(epath.Path(run), OwnSettings(pooling="mean", normalized=True), workdirs.MODEL.hidden_size)
    (tmp_path / "out").mkdir()
    wanted = ExportOptions("onnx", write_program=program_writer("onnx", Options()))
    export_fine_tuned(epath.Path(tmp_path / "out"), run, wanted)
    onnxruntime = pytest.importorskip("onnxruntime")
    batch = bert_jax.load(run).encode(["the cat sat"])
    names = {"input_ids": "input_ids", "attention_mask": "attention_mask", "segment_ids": "token_type_ids"}
    feed = {theirs: batch[ours].astype(np.int64) for ours, theirs in names.items()}
    (vector,) = onnxruntime.InferenceSession(tmp_path / "out" / "model.onnx").run(["sentence_embedding"], feed)
    np.testing.assert_allclose(vector, bert_jax.load(run).embed(["the cat sat"], normalize=True), atol=1e-5)


def spearman(embedder, file):
    from scipy import stats

    rows = [line.split("\t") for line in file.read_text().splitlines()[1:]]
    a, b = (embedder.of_texts([row[column] for row in rows]) for column in (0, 1))
    cosines = (a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    return stats.spearmanr(cosines, [row[2] == "duplicate" for row in rows]).statistic


@pytest.mark.slow
def test_anchors_with_positives_and_negatives(tiny_bert, tmp_path):
    rng = random.Random(1)
    for name, count in (("train", 160), ("dev", 40)):
        with (tmp_path / f"{name}.jsonl").open("w") as file:
            for number in range(count):
                words = rng.sample(WORDS, 4)
                positive = " ".join(rng.sample(words, 4))
                row = {"anchor": " ".join(words), "positive": positive}
                row["negatives"] = [" ".join(rng.sample(WORDS, 4)) for _ in range(number % 2)]
                file.write(json.dumps(row) + "\n")
    finetune(config(tiny_bert, tmp_path / "train.jsonl", tmp_path / "dev.jsonl"), tmp_path / "w", 1)
    predictor = load_predictor(tmp_path / "w")
    examples = predictor.task.read(str(tmp_path / "dev.jsonl"), FineTuningConfig().task, True)
    predictions = predictor.predict(examples)
    scores = predictor.task.scores(predictions, examples)
    dev = json.loads((tmp_path / "w" / "task.json").read_text())["dev"]
    assert scores == pytest.approx(dev, abs=1e-6)
    assert scores["mrr"] > 0.5
