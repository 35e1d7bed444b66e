"""Reference curves: made of real runs, found again by config and records only, and judged by scipy's t."""

import dataclasses
import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from scipy import stats

from bert_jax.config import Config
from bert_jax.config.file import from_dict
from bert_jax.objectives.pretraining_metrics import METRICS
from bert_jax.reporting import reference
from bert_jax.reporting.page import write_report
from bert_jax.reporting.reference import Reference, Seed, band, read_reference, reference_of, sentence, settings_of
from bert_jax.reporting.run_history import Run, read_run

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "curves.py"
CONFIGS = Path(__file__).parents[2] / "configs"


def curves(*workdirs, output):
    flags = ["--name=small", "--command=as in the tests", f"--workdirs={','.join(map(str, workdirs))}"]
    command = [sys.executable, str(SCRIPT), *flags, f"--output={output}"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def directory(seeds, tmp_path_factory):
    """Of references, with one of these runs."""
    directory = tmp_path_factory.mktemp("curves")
    done = curves(*seeds, output=directory)
    assert done.returncode == 0, done.stderr
    return directory


def test_what_the_script_writes(directory, seeds):
    text = (directory / "small.json").read_text()
    found = read_reference(directory / "small.json")
    assert (found.command, [seed.seed for seed in found.seeds]) == ("as in the tests", [1, 2])
    assert found.versions.keys() == {"bert_jax", "jax", "python"}
    for seed, workdir in zip(found.seeds, seeds, strict=True):
        points = read_run(workdir).points("validation", "masked_lm_loss")
        assert [step for step, _ in points] == [10, 20]
        assert seed.points["masked_lm_loss"] == [(step, pytest.approx(value, rel=1e-4)) for step, value in points]
    assert str(seeds[0].parent) not in text  # nor any path of this machine
    assert len(text) < 4000


def test_a_run_of_this_config_on_these_records_is_drawn_over_it(directory, finished_run, tmp_path, parsed, monkeypatch):
    monkeypatch.setattr(reference, "DIRECTORY", directory)
    path = write_report(finished_run, tmp_path / "report.html")
    words = parsed(path).words()
    assert "reference, 2 seeds" in words
    assert "Held-out loss at step 20, " in words
    assert "2 runs of this config on these records, each with a seed of its own." in words
    monkeypatch.setattr(reference, "DIRECTORY", tmp_path)
    assert "reference, 2 seeds" not in parsed(write_report(finished_run, tmp_path / "report.html")).words()


def test_other_settings_and_other_records_have_no_reference(directory, finished_run, tmp_path):
    workdir = tmp_path / "train"
    shutil.copytree(finished_run, workdir)
    config = json.loads((workdir / "config.json").read_text())

    def found(**groups):
        changed = {name: config[name] | values for name, values in groups.items()}
        (workdir / "config.json").write_text(json.dumps(config | changed))
        return reference_of(read_run(workdir), workdir, directory)

    assert found() is not None
    assert found(train={"seed": 7, "log_every_steps": 3}) is not None
    assert found(optimizer={"beta1": 0.8}) is None
    assert found(evaluation={"max_batches": 1}) is None
    assert found(evaluation={"records": "elsewhere"}) is None
    assert found(model={"wings": 2}) is None  # another version's
    assert reference_of(read_run(finished_run), tmp_path, directory) is None  # without a checkpoint
    description = next((workdir / "checkpoints").glob("20/description/metadata"))
    content = json.loads(description.read_text())
    content["records"][0]["splits"]["train"]["digest"] = "0" * 16
    description.write_text(json.dumps(content))
    assert found() is None


def test_a_reference_on_held_out_records_of_their_own_is_of_these(directory, finished_run, tmp_path):
    """One such run and one such reference, both made of runs on the records' own split."""
    workdir, curve = shutil.copytree(finished_run, tmp_path / "train"), tmp_path / "small.json"
    config = json.loads((workdir / "config.json").read_text())
    config["evaluation"]["records"] = "elsewhere"
    (workdir / "config.json").write_text(json.dumps(config))
    content = json.loads((directory / "small.json").read_text())
    content["config"]["evaluation"]["records"] = "of its own"
    description = next((workdir / "checkpoints").glob("20/description/metadata"))
    beside = json.loads(description.read_text())
    del beside["records"][0]["splits"]["validation"], content["records"][0]["validation"]

    def found(of_run, of_reference):
        beside["records"][0]["evaluated"] = of_run
        content["records"][0] |= {"evaluated": of_reference} if of_reference else {}
        description.write_text(json.dumps(beside))
        curve.write_text(json.dumps(content))
        return reference_of(read_run(workdir), workdir, tmp_path)

    one, other = ({"num_records": 100, "digest": digest * 16} for digest in "ab")
    assert found(None, None) is None  # which they were is not known
    assert found(one, None) is None
    assert found(one, one) is not None
    assert found(other, one) is None


def test_runs_that_make_no_reference_are_refused(seeds, finished_run, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(finished_run, other)
    config = json.loads((other / "config.json").read_text())
    config["optimizer"]["beta1"] = 0.8
    (other / "config.json").write_text(json.dumps(config))
    for workdirs, said in (
        (seeds[:1], "two seeds or more"),
        ([seeds[0], seeds[0]], "each of them once"),
        ([seeds[0], other], "another config or other records"),
        ([seeds[0], tmp_path / "nothing"], "holds no run"),
    ):
        done = curves(*workdirs, output=tmp_path / "curves")
        assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
        assert said in done.stderr
    assert not (tmp_path / "curves").exists()


def reference_with(*curves):
    seeds = [Seed(number, {"masked_lm_loss": curve}) for number, curve in enumerate(curves)]
    return Reference("", {}, [], {}, seeds)


@pytest.mark.parametrize("number", [2, 3, 5, 10, 14])
def test_the_band_is_a_prediction_interval(number):
    values = [3.0 + 0.01 * place**2 for place in range(number)]
    (found,) = band(reference_with(*([(100, value)] for value in values)), "masked_lm_loss")
    mean, sd = sum(values) / number, stats.tstd(values)
    low, high = stats.t.interval(0.95, number - 1, mean, sd * (1 + 1 / number) ** 0.5)
    assert (found.low, found.mean, found.high) == pytest.approx((low, mean, high), rel=2e-3)


def test_the_sentence():
    curves = [[(10, 5.0 + shift), (20, 4.0 + shift), (30, 3.5)] for shift in (-0.01, 0.0, 0.01)]
    known = reference_with(*curves, [(10, 5.0), (20, 4.0)])  # which has no point at step 30

    def said(*points):
        lines = [{"split": "validation", "step": step, "time": 0.0, "masked_lm_loss": loss} for step, loss in points]
        return sentence(Run("run", {}, lines, []), known, METRICS[0])

    assert "at step 15, 4.510, lies inside the reference: 4 runs" in said((15, 4.51), (25, 3.9))
    assert "this one is 0.010 above the mean of 4.500." in said((15, 4.51))
    assert "lies above the reference" in said((20, 4.1))
    assert "between 3.971 and 4.029 there; this one is 0.100 below the mean of 4.000." in said((10, 9.0), (20, 3.9))
    assert said((5, 6.0)) == said() == ""


WIDER = {
    "num_hidden_layers": 4,
    "hidden_size": 256,
    "num_attention_heads": 4,
    "intermediate_size": 1024,
    "initializer_range": 0.04,
}
# The packaged curves: of which config, with what changed of it.
PACKAGED = {
    "quickstart": ("tiny_fast", {}),
    "wikipedia_2x128_fast": ("tiny_fast", {}),
    "wikipedia_2x128_paper": ("tiny", {}),
    "wikipedia_4x256_fast": ("tiny_fast", {"scale": 0.4, "model": WIDER}),
    "wikipedia_4x256_paper": ("tiny", {"scale": 0.4, "model": WIDER, "optimizer": {"learning_rate": 5e-4}}),
}


def config_of(name, changes):
    spec = importlib.util.spec_from_file_location(name, CONFIGS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    config = module.get_config()
    for key, value in changes.items():
        held = getattr(config, key)
        setattr(config, key, dataclasses.replace(held, **value) if isinstance(value, dict) else value)
    return config.resolved()


def test_what_is_in_the_package_is_known():
    assert {path.stem for path in reference.DIRECTORY.glob("*.json")} == PACKAGED.keys()


@pytest.mark.parametrize("name", PACKAGED)
def test_what_is_in_the_package_is_of_todays_configs(name):
    """Or no run of theirs has a reference."""
    found = read_reference(reference.DIRECTORY / f"{name}.json")
    assert band(found, "masked_lm_loss")
    config = config_of(*PACKAGED[name])
    config.model.vocab_size = found.config["model"]["vocab_size"]  # of the text
    assert settings_of(from_dict(found.config, name, Config)) == settings_of(config)
