import importlib.util
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def records():
    """The module records.py beside this file."""
    spec = importlib.util.spec_from_file_location("records", Path(__file__).with_name("records.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
