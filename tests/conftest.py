"""What all tests share: eight devices on the CPU, strict broadcasting, a time limit, and a small model with a batch."""

import ctypes
import fcntl
import gc
import importlib
import io
import os
import shutil
import sys
import types
import uuid
from pathlib import Path

os.environ["JAX_PLATFORMS"] = "cpu"  # in the processes that tests start, too
os.environ["USE_TF"] = "0"  # lest transformers imports TensorFlow, which judges our files, into every test
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
# What any process has compiled, however quickly, no other one need compile, in later runs of the tests either.
os.environ["JAX_COMPILATION_CACHE_DIR"] = f"{Path(__file__).parents[1]}/.pytest_cache/d/compiled"
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
# Only in processes that tests start. tensorboardX imports torch where it finds it, which takes two seconds a process
# and which nobody needs.
os.environ["PYTHONPATH"] = os.pathsep.join(
    [f"{Path(__file__).parent}/without_torch", str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
).rstrip(os.pathsep)

import jax
import numpy as np
import pytest
from jax._src import compiler

from bert_jax.config import ModelConfig
from tests.chain import Chain
from tests.verbs import PLAIN_LOOPS, Verbs

# By config and not by XLA_FLAGS: a process that a test starts sees one device, like a user's.
jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_numpy_rank_promotion", "raise")

ROOT = Path(__file__).parent.parent
COMPILED = Path(os.environ["JAX_COMPILATION_CACHE_DIR"])
TIME_LIMIT_SECONDS = 300  # of one test; a hang ends with a stack trace


def pytest_configure():
    # Here, and not by JAX's limit: with one, a process that is killed while it writes an entry, as many a test kills
    # one, leaves a cache that takes no other entry.
    if "PYTEST_XDIST_WORKER" not in os.environ and sum(path.stat().st_size for path in COMPILED.glob("*")) > 2**29:
        shutil.rmtree(COMPILED)


def pytest_collection_modifyitems(items):
    for item in items:
        if item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(TIME_LIMIT_SECONDS))
    # Lest one of two processes begins a long file when the other has nothing left to do.
    first = [ROOT / "tests" / name for name in (ROOT / "tests" / "longest_first.txt").read_text().split()]
    place = {path: number for number, path in enumerate(first)}
    items.sort(key=lambda item: place.get(item.path, len(place)))


def pytest_collection_finish():
    gc.collect()
    gc.freeze()  # a collection need not look at all that is imported


@pytest.fixture(scope="module", autouse=True)
def quick_compilation():
    """XLA's cheap optimizations only, which takes half of the time."""

    def quick(*arguments, **options):
        chosen = of_jax(*arguments, **options)
        chosen.env_option_overrides = [*chosen.env_option_overrides, *PLAIN_LOOPS]
        return chosen

    of_jax = compiler.get_compile_options
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiler, "get_compile_options", quick)  # by XLA_FLAGS it would be for all tests
        jax.config.update("jax_disable_most_optimizations", True)
        yield
        jax.config.update("jax_disable_most_optimizations", False)


@pytest.fixture(scope="session")
def model_config():
    """Two layers whose every dimension divides over eight devices; the paper's dropout. Take a copy to change it."""
    return ModelConfig(
        vocab_size=101,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=8,
        intermediate_size=64,
        max_position_embeddings=16,
    )


@pytest.fixture(scope="session")
def workdirs():
    """The module fine_tuned_workdirs.py beside this file."""
    spec = importlib.util.spec_from_file_location("workdirs", ROOT / "tests" / "fine_tuned_workdirs.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def make_batch():
    """make_batch(rows, seed) -> a batch of random ids for `model_config`, with padding and empty masked slots."""

    def make(rows, seed=0, length=16, predictions=4, vocab_size=101):
        random = np.random.default_rng(seed)
        tokens = random.integers(predictions + 2, length + 1, (rows, 1))
        masked = random.integers(1, predictions + 1, (rows, 1))
        mask = (np.arange(length)[None, :] < tokens).astype(np.int32)
        weights = (np.arange(predictions)[None, :] < masked).astype(np.float32)
        positions = np.stack([np.sort(random.choice(int(n), predictions, replace=False)) for n in tokens[:, 0]])
        return {
            "input_ids": (random.integers(1, vocab_size, (rows, length)) * mask).astype(np.int32),
            "input_mask": mask,
            "segment_ids": ((np.arange(length)[None, :] >= tokens // 2) * mask).astype(np.int32),
            "masked_lm_positions": (positions * weights).astype(np.int32),
            "masked_lm_ids": (random.integers(1, vocab_size, (rows, predictions)) * weights).astype(np.int32),
            "masked_lm_weights": weights,
            "next_sentence_labels": random.integers(0, 2, (rows, 1)).astype(np.int32),
        }

    return make


@pytest.fixture(scope="session")
def made_once(tmp_path_factory):
    """made_once(name, make) -> a directory that `make(directory)` fills, once for all processes of pytest-xdist."""
    base = tmp_path_factory.getbasetemp()
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def made_once(name, make):
        directory, whole = base / name, base / f"{name}.whole"
        with (base / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not whole.exists():
                shutil.rmtree(directory, ignore_errors=True)
                directory.mkdir()
                make(directory)
                whole.touch()
        return directory

    return made_once


@pytest.fixture(scope="session")
def verbs():
    """verbs.run(verb, *flags) -> the finished process."""
    verbs = Verbs()
    yield verbs
    verbs.close()


@pytest.fixture(scope="session")
def chain(made_once, verbs):
    """A corpus, its vocabulary and its records of 32 and 64 tokens, made by the real commands once."""
    return Chain(made_once("chain", lambda directory: Chain(directory, verbs).make()), verbs)


@pytest.fixture(scope="session")
def finished_run(chain, made_once):
    """The workdir of a run of tests/configs/one_phase.py as it is. Take a copy to change it."""
    return made_once("finished", lambda directory: chain.pretrain(directory / "train")) / "train"


@pytest.fixture(scope="session")
def original_tokenization():
    """bert.tokenization of PyPI's bert-tensorflow 1.0.4, with as much of TensorFlow as it needs."""
    pytest.importorskip("bert", reason="needs bert-tensorflow==1.0.4", exc_type=ImportError)
    flags = importlib.import_module("absl.flags").FLAGS
    with pytest.MonkeyPatch.context() as patch:
        v1 = types.SimpleNamespace(gfile=types.SimpleNamespace(GFile=lambda path, mode: io.FileIO(path)))
        for name in ("tensorflow", "tensorflow.compat"):
            patch.setitem(sys.modules, name, types.ModuleType(name))
        patch.setattr(sys.modules["tensorflow.compat"], "v1", v1, raising=False)
        patch.setitem(sys.modules, "tensorflow.compat.v1", v1)
        module = importlib.import_module("bert.tokenization")
    if not flags.is_parsed():
        flags.mark_as_parsed()
    return module


MS_REMOUNT = 32


@pytest.fixture
def small_disk(tmp_path):
    """small_disk(kilobytes) -> a directory on a disk of that size; small_disk(kilobytes, directory) changes it.

    `inodes`: how many files and directories it takes, itself among them; 0: as many as fit.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    mounted = []

    def mount(kilobytes, directory=None, inodes=0):
        flags = MS_REMOUNT if directory else 0
        directory = directory or tmp_path / uuid.uuid4().hex
        directory.mkdir(exist_ok=True)
        if libc.mount(b"tmpfs", bytes(directory), b"tmpfs", flags, f"size={kilobytes}k,nr_inodes={inodes}".encode()):
            pytest.skip(f"cannot mount here: {os.strerror(ctypes.get_errno())}")
        mounted.append(directory)
        return directory

    yield mount
    for directory in mounted:
        libc.umount2(bytes(directory), 2)  # MNT_DETACH
