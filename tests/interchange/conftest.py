"""Judges in environments of their own: the newest transformers, since ours is held at the last release that judges
models, and sentence-transformers.
"""

import json
import os
import subprocess
import sys
import sysconfig

import pytest

NEWEST = "transformers>=5,<6"
JUDGE_OF_VECTORS = "sentence-transformers>=5,<6"


class OtherPython:
    """An interpreter with other packages."""

    def __init__(self, python):
        self.python = python

    def run(self, program, *arguments):
        """What `program`, which finds its arguments in sys.argv, prints, read as JSON."""
        environment = os.environ | {"PYTHONPATH": "", "HF_HUB_OFFLINE": "1"}
        command = [self.python, "-c", program, *map(str, arguments)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


def environment(directory, wanted, beside=""):
    """An interpreter with what is `wanted`, installed once in `directory`; with packages of the path `beside`, too."""
    installed, python = directory / "installed", directory / "venv" / "bin" / "python"
    if not installed.exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", directory / "venv"], check=True)
        (packages,) = (directory / "venv" / "lib").glob("python*/site-packages")
        (packages / "beside.pth").write_text(f"{beside}\n")
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", wanted]
        done = subprocess.run(pip, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"pip cannot install {wanted}: {(done.stderr.splitlines() or ['no message'])[-1]}")
        installed.touch()
    return OtherPython(python)


@pytest.fixture(scope="session")
def transformers_5(request):
    """The newest release 5 of transformers, without torch: its tokenizers. Installed once, in pytest's cache."""
    return environment(request.config.cache.mkdir("transformers_5"), NEWEST)


@pytest.fixture(scope="session")
def sentence_transformers(request):
    """sentence-transformers 5, beside our own torch and transformers. Installed once, in pytest's cache."""
    directory = request.config.cache.mkdir("sentence_transformers")
    return environment(directory, JUDGE_OF_VECTORS, beside=sysconfig.get_path("purelib"))
