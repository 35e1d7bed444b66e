import importlib.util
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def labelled_files():
    """The module of that name; without the files the test is skipped."""
    path = Path(__file__).parents[1] / "labelled_files.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if not module.TASKS.is_dir():
        pytest.skip("no labelled files beside the project")
    return module
