"""Fine-tuning and what comes after it, by the commands, on a task that a very small BERT can learn."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
import safetensors.numpy

from bert_jax.config import FineTuningConfig, ModelConfig, TaskConfig, TextConfig
from bert_jax.errors import UserError
from bert_jax.inference.predicting import begun_head
from bert_jax.interchange.pretrained import read_pretrained
from bert_jax.tasks.kinds import KINDS
from bert_jax.training.finetuning import finetune
from bert_jax.workdir.fine_tuned import read_description

WORDS = "value string object list number module file class method call return argument name type".split()  # noqa: SIM905
FLAGS = [
    "--config.fit.global_batch_size=16",
    "--config.optimizer.learning_rate=3e-3",
    "--config.train.log_every_steps=5",
    "--config.train.checkpoint_every_steps=10",
    "--config.model.hidden_dropout_prob=0.05",
    "--config.text.max_shapes=2",  # compile sooner
]


def labelled(rows, seed):
    """Texts of random words; those with "file" in them are of class io."""
    draw = random.Random(seed)
    lines = []
    for number in range(rows):
        words = draw.choices(WORDS, k=draw.randint(3, 24))
        lines.append({"id": f"r{number}", "text": " ".join(words), "label": "io" if "file" in words else "other"})
    return lines


def write(path, lines):
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Directory with train, dev and test.jsonl."""
    directory = tmp_path_factory.mktemp("labelled")
    for seed, (name, rows) in enumerate({"train": 320, "dev": 80, "test": 80}.items()):
        write(directory / f"{name}.jsonl", labelled(rows, seed))
    return directory


SETTINGS = """
import sys
from absl import flags
from bert_jax import finetune
from bert_jax.config.command_line import check_settings
check_settings(sys.argv)
flags.FLAGS(sys.argv)
settings = finetune.settings_of_flags()
print(settings.task.columns, settings.task.dev, settings.task.header, settings.task.strict, settings.text.long)
"""


def settings_of(*given):
    """What the flags of finetune come to, and what is said of them."""
    flags = ["--task=qa", "--init_from=bert", "--train=a.tsv,b.tsv", "--workdir=w", *given]
    done = subprocess.run([sys.executable, "-c", SETTINGS, *flags], capture_output=True, text=True)
    return done.stdout.strip() or done.stderr.strip().splitlines()[-1]


def test_a_setting_holds_unless_its_flag_is_given():
    settings = ["--config.task.columns=text:3,label:1", "--config.task.dev=d.tsv", "--config.task.header=no"]
    assert settings_of(*settings, "--config.task.strict=true", "--config.text.long=cut") == (
        "text:3,label:1 d.tsv no True cut"
    )
    assert settings_of(
        "--columns=text:0,label:1", "--dev=e.tsv,f.tsv", "--header=yes", "--strict", "--long=windows"
    ) == ("text:0,label:1 e.tsv,f.tsv yes True windows")
    said = settings_of(*settings, "--dev=e.tsv")
    assert said == ("bert_jax.errors.UserError: --dev=e.tsv, and the config has dev=d.tsv; leave one of them out")


def flags_of(files, model, workdir, *more):
    of_files = [f"--{name}={files / name}.jsonl" for name in ("train", "dev", "test")]
    return ["--task=classification", f"--init_from={model}", *of_files, f"--workdir={workdir}", *FLAGS, *more]


@pytest.fixture(scope="module")
def fine_tuned(chain, finished_run, files, tmp_path_factory):
    """The workdir of a run of two seeds. Take a copy to change it."""
    workdir = tmp_path_factory.mktemp("finetuned") / "run"
    chain.run("finetune", *flags_of(files, finished_run, workdir, "--seeds=2", "--config.fit.epochs=4"))
    return workdir


def read(path):
    return json.loads(path.read_text())


def test_it_learns_more_than_the_commonest_label(fine_tuned):
    scores = read(fine_tuned / "scores.json")
    assert scores["seeds"] == [0, 1]
    each = scores["test"]["accuracy"]["each"]
    assert len(each) == 2
    assert scores["test"]["accuracy"]["mean"] == pytest.approx(np.mean(each))
    assert scores["test"]["accuracy"]["sd"] == pytest.approx(np.std(each, ddof=1))
    assert max(each) > scores["floors"]["test"]["commonest label"]["accuracy"] + 0.05
    assert scores["floors"]["test"]["TF-IDF"]["accuracy"] > 0.9


def test_the_best_seed_and_step_are_kept(fine_tuned):
    task, scores = read(fine_tuned / "task.json"), read(fine_tuned / "scores.json")
    of_dev = scores["dev"]["accuracy"]["each"]
    assert task["seed"] == int(np.argmax(of_dev))
    history = read(fine_tuned / f"seed_{task['seed']}" / "best.json")["history"]
    assert dict(history)[task["step"]] == max(score for _, score in history) == max(of_dev)
    assert task["settings"]["labels"] == ["io", "other"]
    kept = (fine_tuned / "model.safetensors").read_bytes()
    assert kept == (fine_tuned / f"seed_{task['seed']}" / "model.safetensors").read_bytes()


def test_the_page_and_what_it_needs_are_written(fine_tuned):
    page = (fine_tuned / "report.html").read_text()
    assert "accuracy on the test file is" in page
    assert "over 2 seeds" in page
    assert "Worst mistakes" in page
    lengths = read(fine_tuned / "scores.json")["lengths"]
    assert {split: (found["texts"], sum(found["counts"])) for split, found in lengths.items()} == {
        "train": (320, 320),
        "dev": (80, 80),
        "test": (80, 80),
    }


def test_the_same_command_again_changes_nothing(chain, finished_run, files, fine_tuned):
    before = {path: path.stat().st_mtime_ns for path in fine_tuned.rglob("*.safetensors") if path.parent != fine_tuned}
    flags = flags_of(files, finished_run, fine_tuned, "--seeds=2", "--config.fit.epochs=4")
    done = chain.run("finetune", *flags)
    assert "test  Accuracy" in done.stderr
    assert {path: path.stat().st_mtime_ns for path in before} == before


def predicted(chain, workdir, source, output, *flags):
    chain.run("predict", f"--workdir={workdir}", f"--input={source}", f"--output={output}", *flags)
    return [json.loads(line) for line in output.read_text().splitlines()]


def test_predictions_are_those_of_the_run_in_the_order_of_the_input(chain, fine_tuned, files, tmp_path):
    rows = labelled(80, 2)  # those of test.jsonl
    unlabelled = write(tmp_path / "in.jsonl", [{"id": row["id"], "text": row["text"]} for row in rows])
    found = predicted(chain, fine_tuned, unlabelled, tmp_path / "out.jsonl")
    assert [each["id"] for each in found] == [row["id"] for row in rows]
    accuracy = np.mean([each["label"] == row["label"] for each, row in zip(found, rows, strict=True)])
    seed = read(fine_tuned / "task.json")["seed"]
    assert accuracy == read(fine_tuned / f"seed_{seed}" / "scores.json")["test"]["accuracy"]
    assert list(found[0]["probabilities"]) == ["io", "other"]
    done = chain.run("evaluate", f"--workdir={fine_tuned}", f"--input={files / 'test.jsonl'}")
    scores = json.loads(done.stdout)
    assert scores["accuracy"] == accuracy
    low, high = scores["accuracy_interval"]
    assert low <= accuracy <= high


def test_predictions_do_not_depend_on_the_batch_or_the_order(chain, fine_tuned, tmp_path):
    rows = labelled(60, 5)
    alone = predicted(chain, fine_tuned, write(tmp_path / "1.jsonl", rows[:1]), tmp_path / "1.out.jsonl")
    all_of_them = predicted(chain, fine_tuned, write(tmp_path / "a.jsonl", rows), tmp_path / "a.out.jsonl")
    mirrored = predicted(chain, fine_tuned, write(tmp_path / "b.jsonl", rows[::-1]), tmp_path / "b.out.jsonl")

    def shares(found):
        return np.array([list(each["probabilities"].values()) for each in found])

    np.testing.assert_allclose(shares(mirrored)[::-1], shares(all_of_them), atol=1e-5, rtol=0)
    np.testing.assert_allclose(shares(alone), shares(all_of_them)[:1], atol=1e-5, rtol=0)


def test_a_header_that_only_the_input_has(chain, fine_tuned, tmp_path):
    source = tmp_path / "in.tsv"
    source.write_text("value\tlabel\nstring file\tio\n")
    own = ["--columns=text:0,label:1"]
    assert len(predicted(chain, fine_tuned, source, tmp_path / "1.jsonl", *own, "--header=no")) == 2
    assert len(predicted(chain, fine_tuned, source, tmp_path / "2.jsonl", *own, "--header=yes")) == 1
    done = chain.run("evaluate", f"--workdir={fine_tuned}", f"--input={source}", *own, "--header=yes")
    assert json.loads(done.stdout)["examples"] == 1


def test_other_formats_by_the_name_of_the_output(chain, fine_tuned, tmp_path):
    source = tmp_path / "in.txt"
    source.write_text("value file\n\nstring 'quoted\" file\n")
    chain.run("predict", f"--workdir={fine_tuned}", f"--input={source}", f"--output={tmp_path}/out.tsv")
    header, *lines = (tmp_path / "out.tsv").read_text().splitlines()
    assert header.split("\t") == ["id", "label", "probabilities.io", "probabilities.other"]
    assert len(lines) == 3
    done = chain.run("predict", f"--workdir={fine_tuned}", f"--input={source}", "--output=-")
    assert len(done.stdout.splitlines()) == 3
    for name, what in (
        ("out.conll", ".conll is for tags"),
        ("out.json", ".json is for answers"),
        ("out.x", "no format"),
    ):
        flags = [f"--workdir={fine_tuned}", f"--input={source}", f"--output={tmp_path / name}"]
        done = chain.run("predict", *flags, check=False)
        assert done.returncode == 1
        assert what in done.stderr
        assert not (tmp_path / name).exists()


def test_predictions_that_were_begun_are_gone_on_with(chain, fine_tuned, tmp_path):
    source = write(tmp_path / "in.jsonl", labelled(30, 9))
    whole = predicted(chain, fine_tuned, source, tmp_path / "whole.jsonl")
    begun = tmp_path / "out.jsonl.partial"
    examples = KINDS["classification"]().read(str(source), TaskConfig(), False)
    head = begun_head(read_description(fine_tuned), examples, "float32")
    invented = [{"label": "other", "probabilities": {"io": 0.25, "other": 0.75}}] * 3
    begun.write_text("".join(json.dumps(line) + "\n" for line in [head, *invented]) + '{"label": "o')
    found = predicted(chain, fine_tuned, source, tmp_path / "out.jsonl")
    assert [each["probabilities"]["io"] for each in found[:3]] == [0.25] * 3
    assert found[3:] == whole[3:]
    assert not begun.exists()
    begun.write_text(json.dumps(head | {"weights": "0"}) + "\n" + json.dumps(invented[0]) + "\n")
    assert predicted(chain, fine_tuned, source, tmp_path / "out.jsonl") == whole  # of another model: begun anew


@pytest.mark.parametrize("kind", ["choice", "similarity"])
def test_tasks_that_read_no_windows_refuse_them(kind, tmp_path):
    config = FineTuningConfig(TaskConfig(kind), TextConfig(long="windows"), init_from="not/there")
    with pytest.raises(UserError, match=f"^--long=windows: --task={kind} compares texts with each other"):
        finetune(config, tmp_path / "run", 1)
    assert not (tmp_path / "run").exists()


def weights(workdir):
    return safetensors.numpy.load_file(workdir / "seed_0" / "model.safetensors")


def start(flags, **environment):
    command = [sys.executable, "-m", "bert_jax.finetune", *flags]
    return subprocess.Popen(
        command, env=os.environ | environment, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )


def until(process, text):
    for line in process.stderr:
        if text in line:
            return
    raise AssertionError(f"ended without {text!r}")


@pytest.fixture(scope="module")
def undisturbed(chain, finished_run, files, tmp_path_factory):
    """The workdir of a run of 40 steps with dropout, evaluated every ten."""
    workdir = tmp_path_factory.mktemp("undisturbed") / "run"
    chain.run("finetune", *interrupted_flags(files, finished_run, workdir))
    return workdir


def interrupted_flags(files, model, workdir):
    more = ["--config.fit.steps=40", "--config.fit.evaluations_per_epoch=2", "--config.text.max_shapes=2"]
    return flags_of(files, model, workdir, *more)


@pytest.mark.slow
@pytest.mark.parametrize(("sent", "code"), [(signal.SIGKILL, -9), (signal.SIGTERM, 75)])
def test_an_interrupted_run_ends_in_the_same_bits(chain, finished_run, files, undisturbed, tmp_path, sent, code):
    workdir = tmp_path / "run"
    flags = interrupted_flags(files, finished_run, workdir)
    process = start(flags, **chain.environment)
    until(process, "step 25/40")
    process.send_signal(sent)
    process.stderr.read()
    assert process.wait() == code
    assert not (workdir / "task.json").exists()
    chain.run("finetune", *flags)
    for name, array in weights(undisturbed).items():
        np.testing.assert_array_equal(weights(workdir)[name], array, err_msg=name)

    def lines(directory):
        lines = [json.loads(line) for line in (directory / "seed_0" / "metrics.jsonl").read_text().splitlines()]
        timed = ("time", "tokens_per_second", "mfu", "input_wait_share")
        return [{name: value for name, value in line.items() if name not in timed} for line in lines]

    assert lines(workdir) == lines(undisturbed)
    assert read(workdir / "scores.json") == read(undisturbed / "scores.json")


@pytest.mark.slow
def test_patience_ends_a_run_that_does_not_get_better(chain, finished_run, files, tmp_path):
    flags = flags_of(files, finished_run, tmp_path / "run", "--config.fit.steps=100", "--config.fit.patience=2")
    more = ["--config.optimizer.learning_rate=1e-9", "--config.fit.evaluations_per_epoch=4"]
    done = chain.run("finetune", *flags, *more)
    history = read(tmp_path / "run" / "seed_0" / "best.json")["history"]
    assert len(history) == 3  # one that is the best, two that are no better
    assert "no better accuracy in 2 evaluations: the run ends early" in done.stderr


@pytest.mark.slow
def test_what_is_frozen_stays_and_what_is_fresh_does_not(chain, finished_run, files, tmp_path):
    """The model has one layer: frozen in one run, fresh in another (which layers are: training/layer_rates_test.py)."""
    before = read_pretrained(finished_run, ModelConfig()).arrays
    after = {}
    for name in ("frozen", "fresh"):
        flags = flags_of(files, finished_run, tmp_path / name, "--config.fit.steps=4", f"--config.fit.{name}_layers=1")
        flags += ["--config.optimizer.warmup_steps=6"]
        chain.run("finetune", *flags, "--config.train.seed=7")  # with that of pretraining it had the same first weights
        after[name] = weights(tmp_path / name)
    with (tmp_path / "fresh" / "seed_0" / "metrics.jsonl").open() as lines:
        rates = [line["learning_rate"] for line in map(json.loads, lines) if "learning_rate" in line]
    assert rates[-1] == pytest.approx(3e-3 * 3 / 6)  # of step 4: the warm-up's number goes before its share
    for path, array in before.items():
        same = np.array_equal(after["frozen"][path], array)
        assert same == ("embeddings" in path or "layer_0" in path), path
    kernel, table = "encoder/layer_0/intermediate/kernel", "encoder/embeddings/word/embedding"
    assert np.corrcoef(after["fresh"][kernel].ravel(), before[kernel].ravel())[0, 1] < 0.2
    assert np.corrcoef(after["fresh"][table].ravel(), before[table].ravel())[0, 1] > 0.8


def test_masks_are_filled_in_from_a_pretraining_workdir(chain, finished_run, tmp_path):
    source = tmp_path / "in.txt"
    source.write_text("The [MASK] of a list is a [MASK].\nReturn [MASK]\n")
    first, second = predicted(chain, finished_run, source, tmp_path / "out.jsonl", "--best=3")
    assert [len(mask) for mask in first["masks"]] == [3, 3]
    shares = [guess["probability"] for guess in first["masks"][0]]
    assert shares == sorted(shares, reverse=True)
    assert "[MASK]" not in second["filled"]
    source.write_text("nothing to fill in\n")
    done = chain.run("predict", f"--workdir={finished_run}", f"--input={source}", check=False)
    assert done.returncode == 1
    assert "in.txt, line 1 has no [MASK]" in done.stderr


MISTAKES = {
    "no file": (["--train=nothing.jsonl"], "nothing.jsonl"),
    "no such task's workdir": (["--init_from=nothing"], "nothing is neither a workdir"),
    "more steps than a window": (
        ["--config.text.max_length=1000"],
        "max_length=1000 cannot be used; give 4 to 64",
    ),
    "batch and accumulation": (
        ["--config.train.accumulation_steps=3"],
        "a multiple of train.accumulation_steps=3",
    ),
    "new layers that stay": (
        ["--config.fit.fresh_layers=1", "--config.fit.frozen_layers=1"],
        "frozen_layers=1 cannot be used; new weights would stay as they are; give fewer",
    ),
    "a setting of other tasks": (
        ["--config.task.temperature=0.1"],
        "--config.task.temperature=0.1 is not for --task=classification; leave it out",
    ),
    "a flag of other tasks": (["--strict"], "--strict=True is not for --task=classification; leave it out"),
    "layers": (["--config.fit.fresh_layers=3"], "the model has 1 layers; give at most that"),
    "unknown column": (["--columns=text:review"], "no column 'review'"),
    "an unset variable": (["--train=train.jsonl,"], "--train=train.jsonl, has an empty part; give a value"),
    "another unset variable": (["--dev="], "--dev is empty; give a value (is a shell variable unset?)"),
    "another run": (["--config.optimizer.learning_rate=1e-4"], "was started with optimizer.learning_rate"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line(chain, finished_run, files, fine_tuned, mistake):
    more, message = MISTAKES[mistake]
    flags = flags_of(files, finished_run, fine_tuned, "--seeds=2", "--config.fit.epochs=4", *more)
    done = chain.run("finetune", *flags, check=False)
    assert done.returncode in (1, 2), done.stderr
    assert message in done.stderr.splitlines()[-1]
    assert (fine_tuned / "task.json").exists()


def test_a_run_that_is_refused_leaves_its_directory_to_another(chain, finished_run, files, tmp_path):
    flags = flags_of(files, finished_run, tmp_path / "run", "--config.optimizer.decay_steps=1000")
    done = chain.run("finetune", *flags, check=False)
    assert "decay_steps=1000 cannot be used; the run has 54 steps after its warm-up" in done.stderr.splitlines()[-1]
    assert not (tmp_path / "run").exists()


def test_labels_of_dev_that_train_does_not_have_are_named(chain, finished_run, files, tmp_path):
    rows = labelled(20, 7)
    rows[4]["label"] = "orther"
    dev = write(tmp_path / "dev.jsonl", rows)
    done = chain.run("finetune", *flags_of(files, finished_run, tmp_path / "run", f"--dev={dev}"), check=False)
    assert "dev.jsonl, line 5: the label 'orther' is none that was trained on" in done.stderr.splitlines()[-1]
    assert not (tmp_path / "run" / "config.json").exists()


@pytest.mark.slow
def test_another_training_file_in_the_same_run_is_refused(chain, finished_run, files, tmp_path):
    workdir = tmp_path / "run"
    flags = interrupted_flags(files, finished_run, workdir)
    process = start(flags, **chain.environment)
    until(process, "step 25/40")  # the checkpoint of step 10 is whole
    process.kill()
    process.stderr.read()
    process.wait()
    other = write(tmp_path / "train.jsonl", labelled(320, 77))
    done = chain.run("finetune", *flags, f"--train={other}", check=False)
    assert "was started with other rows than --train=" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize("split", ["train", "dev", "test"])
def test_another_file_in_a_finished_run_is_refused(chain, finished_run, files, fine_tuned, tmp_path, split):
    other = write(tmp_path / "other.jsonl", labelled(40, 78))
    flags = flags_of(files, finished_run, fine_tuned, "--seeds=2", "--config.fit.epochs=4", f"--{split}={other}")
    done = chain.run("finetune", *flags, check=False)
    assert done.returncode == 1
    assert f"was started with other rows than --{split}={other} has now" in done.stderr.splitlines()[-1]
    assert str(other) not in (fine_tuned / "config.json").read_text()


def test_other_weights_in_a_finished_run_are_refused(chain, finished_run, files, fine_tuned, tmp_path):
    # Of a pretraining that goes on, a further seed would begin with those of a later step.
    workdir = tmp_path / "run"
    shutil.copytree(fine_tuned, workdir, ignore=shutil.ignore_patterns("seed_*", "compilation_cache"))
    digests = read(workdir / "rows.json")
    (workdir / "rows.json").write_text(json.dumps(digests | {"init_from": "0" * 16}))
    flags = flags_of(files, finished_run, workdir, "--seeds=3", "--config.fit.epochs=4")
    done = chain.run("finetune", *flags, check=False)
    assert f"was started with other weights than --init_from={finished_run} has now" in done.stderr.splitlines()[-1]


def test_a_workdir_of_the_other_kind_is_named(chain, finished_run, fine_tuned, files, tmp_path):
    done = chain.run("finetune", *flags_of(files, finished_run, finished_run), check=False)
    assert "is the workdir of a pretraining run" in done.stderr
    done = chain.pretrain(fine_tuned, check=False)
    assert "is the workdir of a fine-tuning run" in done.stderr
    done = chain.run("evaluate", f"--workdir={fine_tuned}", check=False)
    assert "is a fine-tuned model; give the labelled file with --input" in done.stderr


def test_a_damaged_model_is_not_used(chain, fine_tuned, tmp_path):
    workdir = tmp_path / "run"
    shutil.copytree(fine_tuned, workdir, ignore=shutil.ignore_patterns("seed_*", "compilation_cache"))
    content = bytearray((workdir / "model.safetensors").read_bytes())
    content[-5] ^= 1
    (workdir / "model.safetensors").write_bytes(content)
    source = write(tmp_path / "in.jsonl", labelled(2, 0))
    done = chain.run("predict", f"--workdir={workdir}", f"--input={source}", check=False)
    assert "model.safetensors is not as it was written (its checksum differs)" in done.stderr
    (workdir / "model.safetensors").unlink()
    done = chain.run("predict", f"--workdir={workdir}", f"--input={source}", check=False)
    assert "model.safetensors is missing" in done.stderr
