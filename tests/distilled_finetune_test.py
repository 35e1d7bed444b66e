"""A fine-tuned teacher and a student that is fine-tuned beside it, by the command."""

import json

import pytest
import safetensors.numpy

from bert_jax.config import FineTuningConfig
from bert_jax.errors import UserError
from bert_jax.tasks.kinds import trained_task
from bert_jax.training.task_teacher import read_task_teacher

SHORT = [
    "--config.fit.steps=6",
    "--config.fit.global_batch_size=8",
    "--config.text.max_shapes=1",
    "--config.train.log_every_steps=2",
    "--config.train.checkpoint_every_steps=3",
]


@pytest.fixture(scope="module")
def train(tmp_path_factory, workdirs):
    """Texts of the workdirs' words with the labels of their classification."""
    path = tmp_path_factory.mktemp("labelled") / "train.jsonl"
    labels = workdirs.TASKS["classification"][0]["labels"]
    words = workdirs.SENTENCE.split()
    lines = [{"text": " ".join(words[number % 9 :][:6]), "label": labels[number % 3]} for number in range(48)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


@pytest.fixture(scope="module")
def models(tmp_path_factory, workdirs):
    """A directory of fine-tuned models with random weights, by their task."""
    directory = tmp_path_factory.mktemp("models")
    for kind in ("classification", "tagging", "similarity", "regression"):
        workdirs.write_workdir(directory / kind, kind)
    sort_labels(directory / "classification")
    return directory


def sort_labels(workdir):
    """As they are where they are found in a file."""
    described = json.loads((workdir / "task.json").read_text())
    described["settings"]["labels"].sort()
    (workdir / "task.json").write_text(json.dumps(described))


def flags_of(train, models, workdir, *more):
    begins = models / "tagging"
    return ["--task=classification", f"--train={train}", f"--init_from={begins}", f"--workdir={workdir}", *SHORT, *more]


@pytest.fixture(scope="module")
def student(chain, train, models, tmp_path_factory):
    """The workdir of a student that learns from its teacher alone."""
    workdir = tmp_path_factory.mktemp("student") / "run"
    teacher = f"--config.teacher={models / 'classification'}"
    weights = ("--config.distillation.task_weight=0", "--config.distillation.kl_weight=5")
    chain.run("finetune", *flags_of(train, models, workdir, teacher, *weights))
    return workdir


def test_it_comes_nearer_to_its_teacher(student):
    lines = [json.loads(line) for line in (student / "seed_0" / "metrics.jsonl").read_text().splitlines()]
    divergences = [line["teacher_kl"] for line in lines if "teacher_kl" in line]
    assert divergences[-1] < divergences[0]
    assert all(line["loss"] == pytest.approx(5 * 2**2 * line["teacher_kl"]) for line in lines if "teacher_kl" in line)


def test_the_model_that_comes_of_it_is_one_alone(student, workdirs):
    kept = safetensors.numpy.load((student / "model.safetensors").read_bytes())
    assert {name: array.shape for name, array in kept.items()} == {
        name: array.shape for name, array in workdirs.flatten(workdirs.random_params("classification")).items()
    }


def test_another_teacher_is_noticed(chain, student, train, models, workdirs, tmp_path):
    other = tmp_path / "other"
    workdirs.write_workdir(other, "classification")
    sort_labels(other)
    described = json.loads((other / "task.json").read_text())
    arrays = safetensors.numpy.load((other / "model.safetensors").read_bytes())
    arrays["classifier/bias"] = arrays["classifier/bias"] + 1
    described["weights_crc32c"] = workdirs.fine_tuned.write_weights(
        workdirs.epath.Path(other / "model.safetensors"), arrays
    )
    (other / "task.json").write_text(json.dumps(described))
    weights = ("--config.distillation.task_weight=0", "--config.distillation.kl_weight=5")
    done = chain.run("finetune", *flags_of(train, models, student, f"--config.teacher={other}", *weights), check=False)
    assert done.returncode == 1
    assert f"was started with the teacher {models}/classification (digest " in done.stderr


@pytest.mark.parametrize(
    ("name", "kind", "settings", "said"),
    [
        ("nowhere", "classification", {}, "holds no fine-tuned model; give the --workdir of"),
        ("tagging", "classification", {}, r"was fine-tuned with --task=tagging, not classification"),
        ("similarity", "similarity", {}, r"there is no teacher for --task=similarity; leave it out"),
        ("classification", "classification", {"labels": ["a", "b"]}, r"with labels \['bad\|good', .* and --train has"),
        ("regression", "regression", {"mean": 3.0, "sd": 1.25}, r"with mean 3.5, and --train has 3.0"),
    ],
)
def test_a_teacher_of_something_else_is_refused_in_one_line(workdirs, models, name, kind, settings, said):
    task = trained_task(kind, workdirs.TASKS[kind][0] | settings)
    with pytest.raises(UserError, match=said) as error:
        read_task_teacher(str(models / name), task, workdirs.TOKENIZER, 24)
    assert "\n" not in str(error.value)


def test_another_vocabulary_and_longer_rows_are_refused(workdirs, models):
    task = trained_task("regression", workdirs.TASKS["regression"][0])
    with pytest.raises(UserError, match="has another vocabulary than --init_from"):
        read_task_teacher(str(models / "regression"), task, workdirs.OTHER_TOKENIZER, 24)
    with pytest.raises(UserError, match=r"reads at most 48 tokens; give --config.text.max_length=48"):
        read_task_teacher(str(models / "regression"), task, workdirs.TOKENIZER, 64)


def test_a_loss_of_nothing_is_refused():
    config = FineTuningConfig(teacher="there")
    config.distillation.kl_weight = config.distillation.task_weight = 0.0
    with pytest.raises(UserError, match=r"distillation.kl_weight=0.0 cannot be used; both weights of the loss are 0"):
        config.check()
