"""A host with libtpu and without a TPU: JAX is not to start the one without the other."""

import importlib.util
import os
import subprocess
import sys

import pytest

from bert_jax.platforms import has_accelerator, without_absent_tpu

pytestmark = pytest.mark.skipif(importlib.util.find_spec("libtpu") is None, reason="libtpu is not installed")
LOOK = "import bert_jax, jax; print(jax.devices()[0].platform)"


@pytest.mark.skipif(has_accelerator(), reason="an accelerator is here")
def test_jax_finds_the_cpu_and_says_nothing():
    environment = {name: value for name, value in os.environ.items() if name != "JAX_PLATFORMS"}
    done = subprocess.run([sys.executable, "-c", LOOK], env=environment, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("cpu\n", "")


@pytest.mark.parametrize(("device", "platforms"), [("accel0", None), ("other", "cpu")])
def test_a_device_is_looked_for_where_one_is(tmp_path, monkeypatch, device, platforms):
    monkeypatch.delenv("JAX_PLATFORMS")
    (tmp_path / device).touch()
    without_absent_tpu(tmp_path)
    assert os.environ.get("JAX_PLATFORMS") == platforms


def test_what_the_user_says_counts(tmp_path, monkeypatch):
    monkeypatch.setenv("JAX_PLATFORMS", "tpu")
    without_absent_tpu(tmp_path)
    assert os.environ["JAX_PLATFORMS"] == "tpu"
