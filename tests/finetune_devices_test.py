"""A fine-tuning on other devices comes to the same: a mesh of several, two processes, a bucket; bfloat16 nearly."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from bert_jax.workdir.fine_tuned import read_description
from tests.fake_gcs import fake_cloud
from tests.jobs import finish, job_flags

ROOT = Path(__file__).parent.parent
WORDS = ("value", "string", "object", "list", "number", "module", "file", "class")
SETTINGS = [
    "--config.fit.steps=8",
    "--config.fit.global_batch_size=16",
    "--config.fit.evaluations_per_epoch=2",
    "--config.optimizer.learning_rate=1e-3",
    "--config.text.max_shapes=1",
    "--config.train.log_every_steps=2",
]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Two files of tagged words."""
    directory = tmp_path_factory.mktemp("tagged")
    for seed, name in enumerate(("train", "dev")):
        draw = np.random.default_rng(seed)
        sentences = [draw.choice(WORDS, draw.integers(2, 9)) for _ in range(64)]
        lines = ["".join(f"{word}\t{'B-F' if word == 'file' else 'O'}\n" for word in words) for words in sentences]
        (directory / f"{name}.tsv").write_text("\n".join(lines))
    return directory


def start(chain, files, model, workdir, *more, devices=1):
    flags = ["--task=tagging", f"--init_from={model}", f"--train={files / 'train.tsv'}", f"--dev={files / 'dev.tsv'}"]
    command = [sys.executable, "-m", "bert_jax.finetune", *flags, f"--workdir={workdir}", *SETTINGS, *more]
    environment = os.environ | chain.environment | {"JAX_NUM_CPU_DEVICES": str(devices)}
    pipes = {"stderr": subprocess.PIPE, "stdout": subprocess.DEVNULL}
    return subprocess.Popen(command, cwd=ROOT, env=environment, text=True, **pipes)


def weights(workdir):
    return safetensors.numpy.load_file(Path(workdir) / "model.safetensors")


def scores(workdir):
    return json.loads((Path(workdir) / "scores.json").read_text())["dev"]


def check_same(workdir, other, tolerance):
    for name, array in weights(other).items():
        np.testing.assert_allclose(weights(workdir)[name], array, atol=tolerance, rtol=0, err_msg=name)
    assert scores(workdir)["f1"]["mean"] == pytest.approx(scores(other)["f1"]["mean"], abs=0.03)


@pytest.fixture(scope="module")
def alone(chain, finished_run, files, tmp_path_factory):
    """The workdir of a run on one device."""
    workdir = tmp_path_factory.mktemp("alone") / "run"
    finish([start(chain, files, finished_run, workdir)])
    return workdir


@pytest.mark.slow
def test_a_mesh_of_four_devices(chain, finished_run, files, alone, tmp_path):
    mesh = ["--config.mesh.data=2", "--config.mesh.fsdp=2", "--config.train.accumulation_steps=2"]
    finish([start(chain, files, finished_run, tmp_path / "run", *mesh, devices=4)])
    check_same(tmp_path / "run", alone, 1e-4)


@pytest.mark.slow
def test_two_processes(chain, finished_run, files, alone, tmp_path):
    finish([start(chain, files, finished_run, tmp_path / "run", *flags, devices=2) for flags in job_flags(2)])
    check_same(tmp_path / "run", alone, 1e-4)
    assert read_description(tmp_path / "run").step > 0


@pytest.mark.slow
def test_bfloat16(chain, finished_run, files, alone, tmp_path):
    finish([start(chain, files, finished_run, tmp_path / "run", "--config.train.dtype=bfloat16")])
    check_same(tmp_path / "run", alone, 2e-2)


@pytest.mark.slow
def test_a_bucket(chain, finished_run, files, alone, tmp_path):
    with fake_cloud() as fake:
        from etils import epath

        bucket = epath.Path(fake.make_bucket("finetune"))
        for name in ("train.tsv", "dev.tsv"):
            (bucket / name).write_bytes((files / name).read_bytes())
        finish([start(chain, bucket, finished_run, bucket / "run")])
        (tmp_path / "model.safetensors").write_bytes((bucket / "run" / "model.safetensors").read_bytes())
        for name, array in weights(alone).items():
            np.testing.assert_array_equal(weights(tmp_path)[name], array, err_msg=name)
        flags = [f"--workdir={bucket}/run", f"--input={bucket}/dev.tsv", f"--output={bucket}/out.conll"]
        done = subprocess.run(
            [sys.executable, "-m", "bert_jax.predict", *flags],
            env=os.environ | chain.environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        words = [line.split("\t")[0] for line in (bucket / "out.conll").read_text().splitlines()]
        assert words == [line.split("\t")[0] for line in (files / "dev.tsv").read_text().splitlines()] + [""]
        assert list((bucket / "run" / "compilation_cache").iterdir())
        assert not (ROOT / "gs:").exists()  # what takes a path for a local one makes this
