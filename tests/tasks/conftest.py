"""Files for the readers: small ones that a test writes, and the real ones beside the project."""

import ast
import collections
import importlib.util
import json
import math
from pathlib import Path
from types import SimpleNamespace

import pytest

REAL = Path(__file__).parents[3] / "shared" / "tasks"


@pytest.fixture
def real():
    """real(name) -> the path of a real labelled file."""
    if not REAL.is_dir():
        pytest.skip("no labelled data beside the project")
    return lambda name: str(REAL / name)


@pytest.fixture(scope="session")
def labelled_files():
    """The module of that name; without the files the test is skipped."""
    path = Path(__file__).with_name("labelled_files.py")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if not module.TASKS.is_dir():
        pytest.skip("no labelled files beside the project")
    return module


@pytest.fixture
def write(tmp_path):
    """write(name, content) -> its path; content is text or bytes."""

    def written(name, content):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(path)

    return written


SQUAD = {
    "SquadExample",
    "InputFeatures",
    "read_squad_examples",
    "convert_examples_to_features",
    "_check_is_max_context",
}
SQUAD |= {"_improve_answer_span", "write_predictions", "get_final_text", "_get_best_indexes", "_compute_softmax"}


@pytest.fixture(scope="session")
def original_squad(original_tokenization):
    """Functions of bert.run_squad as PyPI's bert-tensorflow 1.0.4 has it, for SQuAD 2.0, without its TensorFlow."""
    six = pytest.importorskip("six")
    source = Path(importlib.util.find_spec("bert").submodule_search_locations[0]) / "run_squad.py"
    tree = ast.parse(source.read_text())
    tree.body = [node for node in tree.body if getattr(node, "name", None) in SQUAD]
    silent = SimpleNamespace(info=lambda *_: None, warning=lambda *_: None)
    program = {
        "collections": collections,
        "json": json,
        "math": math,
        "six": six,
        "tokenization": original_tokenization,
    }
    program["tf"] = SimpleNamespace(gfile=SimpleNamespace(Open=open, GFile=open), logging=silent)
    program["FLAGS"] = SimpleNamespace(
        version_2_with_negative=True, verbose_logging=False, null_score_diff_threshold=0.0
    )
    exec(compile(tree, str(source), "exec"), program)
    return SimpleNamespace(**program)
