"""Fine-tuned models as transformers loads them: the class of the task, nothing missing, the same outputs."""

import dataclasses
import json
import shlex

import jax
import numpy as np
import pytest
import torch
import transformers
from etils import epath

from bert_jax.config import FineTuningConfig, ModelConfig
from bert_jax.config.file import to_json
from bert_jax.interchange.exports import ExportOptions, export_fine_tuned
from bert_jax.interchange.huggingface_tasks import CLASSES
from bert_jax.interchange.task_card import task_card
from bert_jax.tasks.kinds import KINDS

AUTO = {
    "sequence": transformers.AutoModelForSequenceClassification,
    "token": transformers.AutoModelForTokenClassification,
    "span": transformers.AutoModelForQuestionAnswering,
    "choice": transformers.AutoModelForMultipleChoice,
    "embedding": transformers.AutoModel,
}
QUESTION, CONTEXT, CHOICES = "where is paris?", "paris is the capital of france.", ["it is good", "it is bad"]


@pytest.fixture(scope="module")
def exported(workdirs, tmp_path_factory):
    """exported(kind) -> the directory of its model for transformers."""
    made = {}

    def export(kind):
        if kind not in made:
            directory = tmp_path_factory.mktemp(kind)
            workdirs.write_workdir(directory / "run", kind)
            made[kind] = directory / "hf"
            made[kind].mkdir()
            assert export_fine_tuned(epath.Path(made[kind]), directory / "run", ExportOptions("huggingface")) == 120
        return made[kind]

    return export


def load(directory, kind):
    """Its model, of which nothing is missing and nothing left over, and its tokenizer."""
    model, info = AUTO[CLASSES[kind].head].from_pretrained(directory, output_loading_info=True)
    missing = {"pooler.dense.weight", "pooler.dense.bias"} if kind == "similarity" else set()  # it never had one
    assert set(info.pop("missing_keys")) == missing
    assert {key: list(value) for key, value in info.items()} == {key: [] for key in info}
    assert type(model).__name__ == CLASSES[kind].name
    return model.eval(), transformers.AutoTokenizer.from_pretrained(directory)


@pytest.fixture(scope="module")
def ours(workdirs):
    """ours(kind, **inputs) -> what we compute."""
    return lambda kind, **inputs: np.asarray(
        jax.jit(workdirs.model_of(kind).apply)(workdirs.random_params(kind), **inputs)
    )


def theirs(workdirs, model, tokenizer, *texts):
    """On texts cut where they are too long."""
    inputs = tokenizer(*texts, padding=True, truncation=True, return_tensors="pt")
    assert inputs["input_ids"].shape[1] <= workdirs.MAX_LENGTH
    with torch.no_grad():
        return inputs, model(**inputs)


@pytest.mark.parametrize("kind", ["classification", "multilabel", "regression"])
def test_whole_texts(workdirs, ours, exported, kind):
    model, tokenizer = load(exported(kind), kind)
    _, outputs = theirs(workdirs, model, tokenizer, workdirs.TEXTS)
    expected = ours(kind, **workdirs.padded(workdirs.TEXTS))
    if kind == "regression":  # as tasks/regression.py predicts
        expected = expected * 1.25 + 3.5
    np.testing.assert_allclose(outputs.logits.numpy(), expected, rtol=0, atol=1e-5)


def test_pairs(workdirs, ours, exported):
    model, tokenizer = load(exported("classification"), "classification")
    _, outputs = theirs(workdirs, model, tokenizer, [QUESTION, CONTEXT], [CONTEXT, QUESTION])
    expected = ours("classification", **workdirs.padded([QUESTION, CONTEXT], [CONTEXT, QUESTION]))
    np.testing.assert_allclose(outputs.logits.numpy(), expected, rtol=0, atol=1e-5)


def test_tags(workdirs, ours, exported):
    model, tokenizer = load(exported("tagging"), "tagging")
    inputs, outputs = theirs(workdirs, model, tokenizer, workdirs.TEXTS)
    here = inputs["attention_mask"].numpy()[..., None]
    expected = ours("tagging", **workdirs.padded(workdirs.TEXTS))[:, : here.shape[1]]
    np.testing.assert_allclose(outputs.logits.numpy() * here, expected * here, rtol=0, atol=1e-5)


def test_answers(workdirs, ours, exported):
    model, tokenizer = load(exported("qa"), "qa")
    inputs, outputs = theirs(workdirs, model, tokenizer, [QUESTION], [CONTEXT])
    expected = ours("qa", **workdirs.padded([QUESTION], [CONTEXT]))[:, : inputs["input_ids"].shape[1]]
    np.testing.assert_allclose(outputs.start_logits.numpy(), expected[..., 0], rtol=0, atol=1e-5)
    np.testing.assert_allclose(outputs.end_logits.numpy(), expected[..., 1], rtol=0, atol=1e-5)


def test_choices(workdirs, ours, exported):
    model, tokenizer = load(exported("choice"), "choice")
    inputs = tokenizer([CONTEXT, CONTEXT], CHOICES, padding=True, return_tensors="pt")
    with torch.no_grad():
        logits = model(**{name: array[None] for name, array in inputs.items()}).logits
    expected = ours(
        "choice", **{name: array[None] for name, array in workdirs.padded([CONTEXT, CONTEXT], CHOICES).items()}
    )
    np.testing.assert_allclose(logits.numpy(), expected, rtol=0, atol=1e-5)


def test_the_encoder_of_a_bi_encoder(workdirs, ours, exported):
    model, tokenizer = load(exported("similarity"), "similarity")
    inputs, outputs = theirs(workdirs, model, tokenizer, workdirs.TEXTS)
    mask = inputs["attention_mask"][..., None]
    means = (outputs.last_hidden_state * mask).sum(1) / mask.sum(1)
    expected = ours("similarity", **{name: array[:, None] for name, array in workdirs.padded(workdirs.TEXTS).items()})[
        :, 0
    ]
    np.testing.assert_allclose(means.numpy(), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", CLASSES)
def test_labels_are_in_the_tasks_order_and_the_loss_is_the_tasks(workdirs, exported, kind):
    config = transformers.AutoConfig.from_pretrained(exported(kind))
    labels = ["score"] if kind == "regression" else workdirs.TASKS[kind][0].get("labels")
    if labels:
        assert config.num_labels == len(labels)
        assert config.id2label == dict(enumerate(labels))
        assert config.label2id == {label: number for number, label in enumerate(labels)}
    problems = {"classification": "single_label", "multilabel": "multi_label"}
    expected = (
        f"{problems[kind]}_classification" if kind in problems else "regression" if kind == "regression" else None
    )
    assert config.problem_type == expected
    assert config.classifier_dropout is None
    assert config.architectures == [CLASSES[kind].name]
    assert getattr(config, "thresholds", None) == workdirs.TASKS[kind][0].get("thresholds")


def test_pipelines_name_our_labels(workdirs, ours, exported):
    classify = transformers.pipeline("text-classification", str(exported("classification")), device="cpu")
    logits = ours("classification", **workdirs.padded(workdirs.TEXTS[:1]))[0]
    assert classify(workdirs.TEXTS[0])[0]["label"] == workdirs.TASKS["classification"][0]["labels"][logits.argmax()]
    tag = transformers.pipeline("token-classification", str(exported("tagging")), device="cpu")
    texts = workdirs.TEXTS[:3]
    rows = workdirs.padded(texts)
    tags = np.array(workdirs.TASKS["tagging"][0]["labels"])[ours("tagging", **rows).argmax(-1)]
    of_pieces = [row[1 : length - 1] for row, length in zip(tags, rows["attention_mask"].sum(1), strict=True)]
    expected = [[tag for tag in row if tag != "O"] for row in of_pieces]
    assert any(expected)
    assert [[one["entity"] for one in tag(text)] for text in texts] == expected


@pytest.mark.parametrize("kind", ["multilabel", "tagging", "similarity"])
def test_the_encoder_alone(workdirs, tmp_path, kind):
    workdirs.write_workdir(tmp_path / "run", kind)
    for name in ("huggingface", "numpy"):
        (tmp_path / name).mkdir()
        export_fine_tuned(epath.Path(tmp_path / name), tmp_path / "run", ExportOptions(name, drop_heads=True))
    model = transformers.AutoModel.from_pretrained(tmp_path / "huggingface")
    assert model.config.architectures == ["BertModel"]
    ours = workdirs.random_params(kind)["encoder"]["layer_1"]["output"]["kernel"]
    np.testing.assert_array_equal(model.encoder.layer[1].output.dense.weight.detach().numpy().T, ours)
    with np.load(tmp_path / "numpy" / "params.npz") as found:
        assert all(path.startswith("encoder/") for path in found)
    assert not (tmp_path / "numpy" / "task_settings.json").exists()
    cards = [(tmp_path / name / "README.md").read_text() for name in ("huggingface", "numpy")]
    assert "AutoModel.from_pretrained" in cards[0]
    assert not [card for card in cards if "and labels" in card or "task_settings" in card]


def test_every_task_has_its_class(workdirs):
    """And the head that its task says."""
    assert KINDS.keys() <= CLASSES.keys() == workdirs.TASKS.keys()
    assert {kind: CLASSES[kind].head for kind in KINDS} == {kind: task().head for kind, task in KINDS.items()}


@pytest.mark.parametrize("kind", CLASSES)
def test_the_card_tells_task_outputs_scores_floors_and_how_to_load_and_make_it(workdirs, exported, kind):
    card = (exported(kind) / "README.md").read_text()
    for fact in (
        f"bert_jax: {kind}",
        "| accuracy | 0.7500 | 0.5000 |",
        "| accuracy | 0.8125 |",
        "| score | this model | commonest label |",
        "step 120 of seed 2",
        "best on dev of 3 seeds",
        "labels in `config.json`",
        f"{AUTO[CLASSES[kind].head].__name__}.from_pretrained(DIR)",
        f"python -m bert_jax.finetune --task={kind} --init_from=runs/base '--train=train data.tsv'",
        '"layer_decay": 1.0',
    ):
        assert fact in card
    assert ("No answer where that of [CLS] exceeds the best answer's by -1.25." in card) == (kind == "qa")
    for label in workdirs.TASKS[kind][0].get("labels", ()):
        assert f"| {label.replace('|', chr(92) + '|')} |" in card


def test_a_card_without_scores(workdirs, tmp_path):

    model = dataclasses.replace(workdirs.write_workdir(tmp_path / "run", "classification"), dev={}, test={})
    assert "None were taken." in task_card(model, {}, {}, "transformers")


def test_the_cards_command_has_what_is_not_the_default(workdirs, tmp_path):
    model = workdirs.write_workdir(tmp_path / "run", "classification")
    model = dataclasses.replace(model, options=dataclasses.replace(model.options, header="no", strict=True))
    task = dataclasses.replace(model.options, class_weights="balanced")
    config = FineTuningConfig(task=task, model=ModelConfig(hidden_size=32, hidden_dropout_prob=0.25))
    config = dataclasses.replace(config, fit=dataclasses.replace(config.fit, epochs=5.0, layer_decay=0.9))
    card = task_card(model, {"seeds": [0, 1, 2, 3]}, json.loads(to_json(config)), "transformers")
    (command,) = (line for line in card.splitlines() if line.startswith("python -m"))
    assert shlex.split(command)[5:] == [
        *("--train=train data.tsv", "--dev=dev.tsv", "--test=test.tsv", "--header=no", "--strict=True"),
        *("--workdir=DIR", "--seeds=4", "--config.task.class_weights=balanced", "--config.fit.epochs=5.0"),
        *("--config.fit.layer_decay=0.9", "--config.model.hidden_dropout_prob=0.25"),
    ]
