"""What comes from elsewhere is data: no pickle of it is run, and no name in it leads out of its directory."""

import ast
import json
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from etils import epath

from bert_jax.config import ModelConfig
from bert_jax.data.source import RecordSource
from bert_jax.errors import UserError
from bert_jax.interchange.huggingface import to_huggingface, to_huggingface_config, write_model
from bert_jax.interchange.huggingface_reader import read_huggingface
from bert_jax.model.functional import flatten
from tests.random_params import random_params

ROOT = Path(__file__).parent.parent
SOURCES = [*sorted((ROOT / "bert_jax").rglob("*.py")), *sorted((ROOT / "configs").glob("*.py"))]
# They run what they read, or unpack it to wherever it says.
FORBIDDEN_MODULES = {"pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "yaml", "tarfile", "zipfile"}
FORBIDDEN_FUNCTIONS = {"eval", "exec", "compile", "__import__"}
FORBIDDEN_METHODS = {"extractall", "unpack_archive", "system", "popen"}


def risks(source):
    """Each use of something that runs, or unpacks, what it reads."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            yield from (name for name in names if name.split(".")[0] in FORBIDDEN_MODULES)
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            words = {word.arg: getattr(word.value, "value", None) for word in node.keywords}
            if name.removeprefix("builtins.") in FORBIDDEN_FUNCTIONS or name.split(".")[-1] in FORBIDDEN_METHODS:
                yield name
            if words.get("allow_pickle") or words.get("shell") or words.get("trust_remote_code"):
                yield f"{name}({', '.join(map(str, words))})"
            if name == "torch.load" and words.get("weights_only") is not True:
                yield name


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_runs_or_unpacks_what_it_reads(path):
    assert list(risks(path.read_text())) == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from yaml import load",
        "eval(text)",
        "np.load(file, allow_pickle=True)",
        "torch.load(file)",
        "torch.load(file, weights_only=False)",
        "subprocess.run(text, shell=True)",
        "os.system(text)",
        "shutil.unpack_archive(file)",
        "AutoModel.from_pretrained(name, trust_remote_code=True)",
    ],
)
def test_risks_are_seen(source):
    assert list(risks(source))


@pytest.mark.parametrize(
    "source",
    ["np.load(file)", "torch.load(file, weights_only=True)", "ast.literal_eval(text)", "re.compile(text)"],
)
def test_what_is_safe_is_left_alone(source):
    assert not list(risks(source))


class Trap:
    """Unpickling it creates a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (str(self.path),))


@pytest.fixture
def trap(tmp_path):
    """A trap that is known to work, and that must not have sprung in the end."""
    path = tmp_path / "sprung"
    pickle.loads(pickle.dumps(Trap(path)))
    path.rmdir()
    yield Trap(path)
    assert not path.exists()


@pytest.fixture
def records(chain, tmp_path):
    return shutil.copytree(chain.records(32), tmp_path / "records")


def test_a_pickle_for_an_index_of_records_is_not_run(records, trap):
    untouched = RecordSource(records, "train")[0]
    indices = [index for index in (records / "index").glob("*.npy") if not index.name.endswith(".sizes.npy")]
    assert indices
    for index in indices:
        np.save(index, np.array([trap], dtype=object), allow_pickle=True)
    found = RecordSource(records, "train")[0]  # the index is made anew
    assert found.keys() == untouched.keys()
    for name, array in found.items():
        np.testing.assert_array_equal(array, untouched[name])


@pytest.mark.parametrize("name", ["../elsewhere/{}", "{there}/{}", "sub/../../elsewhere/{}", "..", ""])
def test_a_shard_that_lies_elsewhere_is_refused(records, name):
    elsewhere = shutil.copytree(records, records.parent / "elsewhere")
    manifest = json.loads((records / "records.json").read_text())
    shard = manifest["splits"]["train"]["shards"][0]
    shard["file"] = name.format(shard["file"], there=elsewhere)
    (records / "records.json").write_text(json.dumps(manifest))
    with pytest.raises(UserError, match=r"records\.json .*damaged") as error:
        RecordSource(records, "train")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "file", ["../elsewhere/pytorch_model.bin", "{there}/pytorch_model.bin", "..", "\\\\host\\a.bin"]
)
def test_weights_in_pieces_elsewhere_are_not_looked_for(tmp_path, file):
    """The index of weights in several files names files beside it, or is refused."""
    for directory in ("weights", "elsewhere"):
        (tmp_path / directory).mkdir()
    (tmp_path / "elsewhere" / "pytorch_model.bin").write_bytes(b"")
    (tmp_path / "weights" / "config.json").write_text(json.dumps({"model_type": "bert", "vocab_size": 9}))
    index = {"weight_map": {"bert.pooler.dense.bias": file.format(there=tmp_path / "elsewhere")}}
    for name in ("pytorch_model.bin.index.json", "model.safetensors.index.json"):
        (tmp_path / "weights" / name).write_text(json.dumps(index))
        with pytest.raises(UserError, match=rf"{name} is damaged .* matching regex"):
            read_huggingface(tmp_path / "weights", ModelConfig())


def test_a_pickle_under_the_name_of_safe_weights_is_not_run(tmp_path, trap):
    (tmp_path / "model.safetensors").write_bytes(pickle.dumps(trap))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(UserError, match="is not a whole safetensors file"):
        read_huggingface(tmp_path, ModelConfig())


def test_code_that_a_weights_directory_brings_is_not_run(tmp_path, trap, model_config):
    """Hugging Face's auto_map names Python files beside the weights, which are read without it."""
    params = random_params(model_config)
    auto_map = {name: f"modeling.{name}" for name in ("AutoConfig", "AutoModel", "AutoModelForPreTraining")}
    settings = to_huggingface_config(model_config, 0) | {"auto_map": auto_map}
    write_model(epath.Path(tmp_path), to_huggingface(params, model_config), settings)
    (tmp_path / "modeling.py").write_text(f"import os\nos.mkdir({str(trap.path)!r})\n")
    found = read_huggingface(tmp_path, ModelConfig())
    assert found.arrays.keys() == flatten(params).keys()
    for path, array in found.arrays.items():
        np.testing.assert_array_equal(array, flatten(params)[path])
    assert not trap.path.exists()


WATCH = """
import sys
def watch(event, arguments):
    if event == "pickle.find_class":
        with open({notes!r}, "a") as notes:
            print(*arguments, file=notes)
sys.addaudithook(watch)
"""


def test_records_checkpoint_and_config_are_read_without_unpickling(chain, finished_run, tmp_path, monkeypatch):
    """By a real command, in an interpreter that notes unpickling."""
    (tmp_path / "watch").mkdir()
    (tmp_path / "watch" / "sitecustomize.py").write_text(WATCH.format(notes=str(tmp_path / "notes")))
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path / 'watch'}:{os.environ.get('PYTHONPATH', '')}")
    chain.run("evaluate", f"--workdir={finished_run}")
    assert not (tmp_path / "notes").exists(), (tmp_path / "notes").read_text()


def test_the_watch_sees_unpickling(tmp_path, monkeypatch):
    (tmp_path / "sitecustomize.py").write_text(WATCH.format(notes=str(tmp_path / "notes")))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    command = "import pickle, os; pickle.loads(pickle.dumps(os.getcwd))"
    subprocess.run([sys.executable, "-c", command], check=True)
    assert "getcwd" in (tmp_path / "notes").read_text()
