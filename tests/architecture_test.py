"""The house rules that a parser can see: which package imports which, and how long files and functions are."""

import ast
import configparser
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PACKAGE = "bert_jax"
ROOT = Path(__file__).parent.parent

# Room -> the rooms that it may import. A verb (a top-level module with a __main__ block) may import all of them.
MAY_IMPORT = {
    "__init__": {"platforms", "host_memory", "ctrl_c", "config", "errors", "library", "model", "text"},
    "ctrl_c": set(),
    "child_processes": set(),
    "platforms": set(),
    "host_memory": {"platforms"},
    "scopes": set(),
    "errors": set(),
    "progress": set(),
    "storage": {"errors"},
    "cli": {"ctrl_c", "errors", "config", "storage"},
    "config": {"errors", "storage"},
    "text": {"progress", "ctrl_c", "child_processes", "errors", "config", "storage"},
    "data": {"progress", "ctrl_c", "child_processes", "errors", "config", "text", "storage"},
    "parallel": {"errors", "config", "storage"},
    "model": {"errors", "config", "parallel", "scopes"},
    "objectives": {"errors", "config", "parallel", "model", "scopes"},
    "workdir": {"errors", "config", "storage", "text"},
    "tasks": {"errors", "config", "storage", "text", "data", "objectives"},  # of objectives, metrics.py alone: no JAX
    "inference": {
        "progress",
        "errors",
        "config",
        "storage",
        "text",
        "tasks",
        "parallel",
        "model",
        "workdir",
        "interchange",
    },
    "interchange": {"errors", "config", "model", "storage", "text", "workdir"},
    "training": {
        "ctrl_c",
        "host_memory",
        "errors",
        "config",
        "text",
        "data",
        "parallel",
        "model",
        "objectives",
        "scopes",
        "interchange",
        "storage",
        "workdir",
        "tasks",
        "inference",
    },
    "serving": {"progress", "errors", "config", "model", "tasks", "interchange", "inference"},
    "library": {
        "errors",
        "config",
        "storage",
        "text",
        "data",
        "tasks",
        "parallel",
        "model",
        "workdir",
        "interchange",
        "inference",
    },
    "planning": {
        "progress",
        "ctrl_c",
        "child_processes",
        "errors",
        "config",
        "data",
        "parallel",
        "objectives",
        "scopes",
        "training",
        "storage",
    },
    "reporting": {"errors", "config", "objectives", "storage", "tasks", "workdir"},
}
# Room -> libraries that have no business there.
NO_BUSINESS = {
    "errors": {"jax", "flax", "numpy", "absl"},
    "progress": {"jax", "flax", "numpy"},
    "storage": {"jax", "flax", "optax", "orbax"},
    "config": {"jax", "flax", "numpy"},
    "text": {"jax", "flax", "optax", "orbax"},
    "data": {"jax", "flax", "optax", "orbax"},
    "workdir": {"flax", "optax"},
    "tasks": {"jax", "flax", "optax", "orbax"},
    "interchange": {"flax", "optax"},
    "inference": {"flax", "optax"},
    "serving": {"flax", "optax", "orbax"},
    "library": {"flax", "optax"},
    "reporting": {"jax", "flax", "optax", "orbax"},
}
# May be absent where the product runs: imported inside the function that needs them, never when a module is.
OPTIONAL = {
    *("wandb", "tensorflow", "torch", "transformers", "apache_beam", "onnx", "onnxruntime"),
    *("sklearn", "scipy", "seqeval", "ir_measures", "bm25s", "threadpoolctl", "mwparserfromhell"),
}
DRAWERS = {"utils", "util", "common", "helpers", "types", "misc"}

FILE_LINES, VERB_LINES, FUNCTION_LINES = 300, 60, 60
LONG_FUNCTIONS = {("training/loop.py", "train"): 120}  # the one long function


def violations(path: str, source: str) -> list[str]:
    """What is wrong with a file of the package; `path` is relative to the package."""
    tree = ast.parse(source)
    package = Path(path).parts[0].removesuffix(".py")
    is_verb = "/" not in path and "__main__" in source
    found = [*wrong_imports(path, package, is_verb, tree), *long_functions(path, tree)]
    if Path(path).stem in DRAWERS:
        found.append("a drawer: name the file after what is in it")
    lines, limit = len(source.splitlines()), VERB_LINES if is_verb else FILE_LINES
    if lines > limit:
        found.append(f"{lines} lines, more than {limit}")
    return [f"{PACKAGE}/{path}: {what}" for what in found]


def wrong_imports(path: str, package: str, is_verb: bool, tree: ast.Module) -> Iterator[str]:
    if package != "__init__" and not is_verb and package not in MAY_IMPORT:
        yield f"the package {package} is not in MAY_IMPORT"
        return
    allowed = set(MAY_IMPORT) if is_verb else MAY_IMPORT.get(package, set()) | {package}
    while_loading = {id(node) for node in outside_functions(tree)}
    for node in ast.walk(tree):
        for name in imported(node):
            top, *below = name.split(".")
            if top == PACKAGE and below and below[0] not in allowed | {"__version__"}:
                yield f"line {node.lineno}: {package} must not import {below[0]}"
            if top in NO_BUSINESS.get(package, ()):
                yield f"line {node.lineno}: {package} must not import {top}"
            if top in OPTIONAL and id(node) in while_loading:
                yield f"line {node.lineno}: {top} is optional, import it in the function that needs it"


def imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        assert node.level == 0, "relative imports hide the package they come from"
        return [f"{node.module}.{alias.name}" for alias in node.names]
    return []


def outside_functions(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield child
            yield from outside_functions(child)


def long_functions(path: str, tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = node.end_lineno - node.lineno + 1
            limit = LONG_FUNCTIONS.get((path, node.name), FUNCTION_LINES)
            if lines > limit:
                yield f"{node.name} has {lines} lines, more than {limit}"


SOURCES = sorted((ROOT / PACKAGE).rglob("*.py"))


def test_there_is_a_package_to_look_at():
    assert len(SOURCES) > 20


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_house_is_in_order(source):
    assert violations(source.relative_to(ROOT / PACKAGE).as_posix(), source.read_text()) == []


def test_what_is_imported_is_installed_with_the_package():
    """Not as somebody else's dependency either, which may go; what is OPTIONAL is in an extra."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    lines = setup["options"]["install_requires"].split("\n")
    asked = {canonicalize_name(Requirement(line).name) for line in lines if line}
    nodes = (node for source in SOURCES for node in ast.walk(ast.parse(source.read_text())))
    tops = {name.partition(".")[0] for node in nodes for name in imported(node)} - {PACKAGE} - OPTIONAL
    distributions = packages_distributions()
    for top in tops - sys.stdlib_module_names:
        assert asked & set(map(canonicalize_name, distributions.get(top, [top]))), f"{top} is not in install_requires"
    assert "flatbuffers" in asked  # jax.export needs it to write a program, and does not ask for it


@pytest.mark.parametrize(
    ("path", "source", "complaint"),
    [
        ("data/batches.py", "from bert_jax.model.heads import X", "data must not import model"),
        ("model/layers.py", "import bert_jax.data.source", "model must not import data"),
        ("model/layers.py", "from bert_jax import training", "model must not import training"),
        ("config/run.py", "from bert_jax.parallel import mesh", "config must not import parallel"),
        ("text/corpus.py", "def f():\n    import jax.numpy", "text must not import jax"),
        ("data/source.py", "from jax import numpy", "data must not import jax"),
        ("workdir/checkpoints.py", "from flax import nnx", "workdir must not import flax"),
        ("interchange/names.py", "from bert_jax.training.state import Model", "interchange must not import training"),
        ("reporting/page.py", "import jax", "reporting must not import jax"),
        ("reporting/page.py", "from bert_jax import cli", "reporting must not import cli"),
        ("training/loop.py", "from bert_jax.pretrain import main", "training must not import pretrain"),
        ("interchange/tensorflow.py", "if True:\n    import tensorflow as tf", "tensorflow is optional"),
        ("text/utils.py", "", "a drawer"),
        ("drawer.py", "", "the package drawer is not in MAY_IMPORT"),
        ("model/layers.py", "x = 1\n" * 301, "301 lines, more than 300"),
        ("pretrain.py", "x = 1\n" * 60 + "if __name__ == '__main__': pass", "61 lines, more than 60"),
        ("model/layers.py", "def f():\n" + "    x = 1\n" * 60, "f has 61 lines, more than 60"),
        ("training/loop.py", "def train():\n" + "    x = 1\n" * 120, "train has 121 lines, more than 120"),
    ],
)
def test_disorder_is_seen(path, source, complaint):
    assert any(complaint in found for found in violations(path, source))


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("training/loop.py", "import bert_jax\nfrom bert_jax.data import source\nimport jax"),
        ("interchange/tensorflow.py", "def f():\n    import tensorflow"),
        ("export.py", "from bert_jax import cli\nfrom bert_jax.training import loop\nif __name__ == '__main__': pass"),
        ("model/layers.py", "from bert_jax.model.encoder import Encoder"),
    ],
)
def test_order_is_left_alone(path, source):
    assert violations(path, source) == []
