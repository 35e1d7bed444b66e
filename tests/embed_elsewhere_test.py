"""embed into a bucket, killed and begun again, and in two processes: the vectors of one process on a local disk."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from etils import epath

from bert_jax.inference.embedding_files import read_made, read_vectors
from tests.fake_gcs import fake_cloud
from tests.jobs import finish, job_flags

ROOT = Path(__file__).parent.parent
WORDS = ("value", "string", "object", "list", "number", "module", "file", "class")
ROWS, SHARD_ROWS = 400, 20


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    draw = np.random.default_rng(0)
    lines = [" ".join(draw.choice(WORDS, draw.integers(1, 30))) for _ in range(ROWS)]
    path = tmp_path_factory.mktemp("texts") / "texts.txt"
    path.write_text("\n".join(lines) + "\n")
    return path


def start(chain, model, texts, output, *more, devices=1):
    flags = [f"--model={model}", f"--input={texts}", f"--output={output}", f"--shard_rows={SHARD_ROWS}"]
    return subprocess.Popen(
        [sys.executable, "-m", "bert_jax.embed", *flags, *more],
        cwd=ROOT,
        env=os.environ | chain.environment | {"JAX_NUM_CPU_DEVICES": str(devices)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def vectors(directory):
    parts = list(read_vectors(directory))
    assert [number for ids, _ in parts for number in ids] == list(range(ROWS))
    return np.concatenate([part for _, part in parts])


@pytest.fixture(scope="module")
def local(chain, finished_run, texts, tmp_path_factory):
    """The vectors of a process in a local directory."""
    output = tmp_path_factory.mktemp("local") / "vectors"
    finish([start(chain, finished_run, texts, output)])
    return vectors(output)


@pytest.mark.slow
def test_a_bucket(chain, finished_run, texts, local):
    with fake_cloud() as fake:
        output = epath.Path(fake.make_bucket("embed")) / "vectors"
        process = start(chain, finished_run, texts, output)
        while not (output / f"embeddings-{2:05d}.npy").exists():
            assert process.poll() is None, process.communicate()[1]
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        begun = json.loads((output / "progress.json").read_text())["rows"]
        assert 0 < begun < ROWS
        assert f"{begun} texts are embedded already" in finish([start(chain, finished_run, texts, output)])[0]
        assert len(read_made(output).shards) == ROWS // SHARD_ROWS
        np.testing.assert_array_equal(vectors(output), local)
        assert not (ROOT / "gs:").exists()  # what takes a path for a local one makes this


def test_two_processes(chain, finished_run, texts, local, tmp_path):
    finish([start(chain, finished_run, texts, tmp_path / "vectors", *flags, devices=2) for flags in job_flags(2)])
    np.testing.assert_allclose(vectors(tmp_path / "vectors"), local, rtol=0, atol=1e-5)


def test_an_output_that_is_another_on_each_host_ends_all(chain, finished_run, texts, tmp_path):
    """Or else a job that resumes would wait for ever for the host that has no shard yet."""
    job = [
        start(chain, finished_run, texts, tmp_path / f"host{number}", *flags, devices=1)
        for number, flags in enumerate(job_flags(2))
    ]
    for number, process in enumerate(job):
        stderr = process.communicate(timeout=280)[1]
        assert process.returncode == 1, stderr
        assert f"error: --output={tmp_path}/host{number} is another directory on process 1 of the job" in stderr
    assert not list(tmp_path.glob("host*/*.npy"))
