"""The newest transformers, in an environment of its own: ours is held at the last release whose models are judged."""

import json
import os
import subprocess
import sys

import pytest

NEWEST = "transformers>=5,<6"


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


@pytest.fixture(scope="session")
def transformers_5(request):
    """The newest release 5 of transformers, without torch: its tokenizers. Installed once, in pytest's cache."""
    directory = request.config.cache.mkdir("transformers_5")
    installed, python = directory / "installed", directory / "venv" / "bin" / "python"
    if not installed.exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", directory / "venv"], check=True)
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", NEWEST]
        done = subprocess.run(pip, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"pip cannot install {NEWEST}: {(done.stderr.splitlines() or ['no message'])[-1]}")
        installed.touch()
    return OtherPython(python)
