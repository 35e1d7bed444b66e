"""What all tests share: eight devices on the CPU, strict broadcasting, a time limit, and a small model with a batch."""

import ctypes
import gc
import importlib
import importlib.util
import io
import json
import os
import pydoc_data.topics
import subprocess
import sys
import tempfile
import types
import uuid
from pathlib import Path
from types import MappingProxyType

os.environ["JAX_PLATFORMS"] = "cpu"  # in the processes that tests start, too
os.environ["USE_TF"] = "0"  # lest transformers imports TensorFlow, which judges our files, into every test
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"

import jax
import numpy as np
import pytest
from jax._src import compiler

from bert_jax.config import ModelConfig

# By config and not by XLA_FLAGS: a process that a test starts sees one device, like a user's.
jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_numpy_rank_promotion", "raise")

ROOT = Path(__file__).parent.parent
# Only in processes that tests start. tensorboardX imports torch where it finds it, which takes two seconds a process
# and which nobody needs; and what one process has compiled, however quickly, the next one need not.
paths = [f"{ROOT}/tests/without_torch", str(ROOT), os.environ.get("PYTHONPATH")]
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
TIME_LIMIT_SECONDS = 300  # of one test; a hang ends with a stack trace


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


# XLA's older way of writing a fusion's loops, which takes half as long.
PLAIN_LOOPS = ("xla_cpu_use_fusion_emitters", False)


@pytest.fixture(scope="module")
def quick_compilation():
    """XLA's cheap optimizations only, which takes a fraction of the time, for tests that compile whole steps."""

    def quick(*arguments, **options):
        chosen = of_jax(*arguments, **options)
        chosen.env_option_overrides = [*chosen.env_option_overrides, PLAIN_LOOPS]
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


def inherited():
    """The environment of a process that is started now, without what pytest puts there for each test."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}


# As `quick_compilation`, for processes; pulse_test.py has all optimizations.
QUICK_COMPILATION = MappingProxyType(
    {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1", "XLA_FLAGS": "--xla_cpu_use_fusion_emitters=false"}
)
INHERITED = inherited()


class Verbs:
    """Runs verbs in children of a process that has imported what they import (verb_server.py): seconds less for each.

    For tests of what a verb does. Tests of signals, and of how a process starts, start real ones.
    """

    def __init__(self, *interpreter, environment=QUICK_COMPILATION):
        self._command = [*(interpreter or [sys.executable]), str(ROOT / "tests" / "verb_server.py")]
        self._environment, self._server = INHERITED | environment, None

    def run(self, verb, *flags):
        """The finished process of `python -m bert_jax.VERB FLAGS`."""
        flags = [str(flag) for flag in flags]
        with tempfile.TemporaryDirectory() as directory:
            files = [Path(directory) / name for name in ("stdout", "stderr")]
            status = self.status(verb, flags, *files)
            return subprocess.CompletedProcess([verb, *flags], status, *(file.read_text() for file in files))

    def status(self, verb, flags, stdout, stderr, seconds=None):
        """Its exit code, or None after so many seconds; what it says is appended to these files."""
        request = {"verb": verb, "flags": flags, "stdout": str(stdout), "stderr": str(stderr), "seconds": seconds}
        if self._server is None:
            self._server = self._start()
        try:
            self._server.stdin.write(json.dumps(request) + "\n")
            self._server.stdin.flush()
            return json.loads(self._server.stdout.readline())["status"]
        except BaseException:  # a test's time is over: the answer is not for the next one
            self.close()
            raise

    def _start(self):
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        server = subprocess.Popen(self._command, cwd=ROOT, env=self._environment, text=True, **pipes)
        assert server.stdout.readline() == "ready\n"
        return server

    def close(self):
        """End that process, and the verb that it runs."""
        if self._server is not None:
            self._server.terminate()
            self._server.communicate()
            self._server = None


@pytest.fixture(scope="session")
def verbs():
    """verbs.run(verb, *flags) -> the finished process."""
    verbs = Verbs()
    yield verbs
    verbs.close()


class Chain:
    """The commands of the project, run as people run them, on a small real corpus."""

    environment = QUICK_COMPILATION

    def __init__(self, directory, verbs):
        self.directory, self._verbs = directory, verbs
        topics = [text for _, text in sorted(pydoc_data.topics.topics.items())]
        documents = [[line.strip() for line in topic.splitlines() if line.strip()] for topic in topics[:60]]
        self.corpus = directory / "corpus.txt"
        self.corpus.write_text("\n\n".join("\n".join(lines) for lines in documents) + "\n")
        self.vocab = directory / "vocab"
        self.run(
            "build_vocab", f"--input={self.corpus}", f"--output={self.vocab}", "--kind=wordpiece", "--vocab_size=800"
        )
        for length in (32, 64):
            self.build_records(length)

    def records(self, length):
        return self.directory / f"records-{length}"

    def build_records(self, length):
        return self.run(
            "build_records",
            f"--input={self.corpus}",
            f"--vocab={self.vocab}",
            f"--output={self.records(length)}",
            f"--max_seq_length={length}",
            "--max_predictions_per_seq=6",
            "--dupe_factor=2",
            "--holdout=0.1",
            "--num_workers=1",
        )

    def run(self, verb, *flags, check=True, **environment):
        """The finished process of `python -m bert_jax.VERB FLAGS`, with these environment variables."""
        if environment or inherited() != INHERITED:
            done = subprocess.run(
                [sys.executable, "-m", f"bert_jax.{verb}", *flags],
                cwd=ROOT,
                env=os.environ | self.environment | environment,
                capture_output=True,
                text=True,
                check=False,
            )
        else:
            done = self._verbs.run(verb, *flags)
        assert not check or done.returncode == 0, done.stderr
        return done

    def pretrain_flags(self, workdir, config="one_phase.py"):
        return [
            f"--config={ROOT / 'tests' / 'configs' / config}",
            f"--workdir={workdir}",
            f"--config.data.records={self.directory}/records-{{max_seq_length}}",
            f"--config.train.compilation_cache={self.directory}/compilation_cache",
        ]

    def pretrain(self, workdir, *flags, config="one_phase.py", check=True, **environment):
        """The finished process of a pretraining run."""
        return self.run("pretrain", *self.pretrain_flags(workdir, config), *flags, check=check, **environment)

    def start_pretrain(self, workdir, *flags, devices=1):
        """A pretraining run that has just been started, on so many devices; its stderr is a pipe."""
        command = [sys.executable, "-m", "bert_jax.pretrain", *self.pretrain_flags(workdir), *flags]
        environment = os.environ | self.environment | {"JAX_NUM_CPU_DEVICES": str(devices)}
        pipes = {"stderr": subprocess.PIPE, "stdout": subprocess.DEVNULL}
        return subprocess.Popen(command, cwd=ROOT, env=environment, text=True, **pipes)


@pytest.fixture(scope="session")
def chain(tmp_path_factory, verbs):
    """A corpus, its vocabulary and its records of 32 and 64 tokens, made by the real commands once."""
    return Chain(tmp_path_factory.mktemp("chain"), verbs)


@pytest.fixture(scope="session")
def finished_run(chain, tmp_path_factory):
    """The workdir of a run of tests/configs/one_phase.py as it is. Take a copy to change it."""
    workdir = tmp_path_factory.mktemp("finished") / "train"
    chain.pretrain(workdir)
    return workdir


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
