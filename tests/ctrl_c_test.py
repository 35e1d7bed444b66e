"""Ctrl-C at any moment of a command: exit code 130 and one line, no traceback, and it never goes on."""

import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LINE = "error: interrupted; run the same command again to resume"
pytestmark = pytest.mark.timeout(900)


def start(*command, **environment):
    return subprocess.Popen(
        [sys.executable, *command],
        env=os.environ | environment,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # What a shell starts in the background ignores it, and so would what that starts.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def interrupt(process, said=(), everyone=False):
    """Ctrl-C now, to one process or, as a terminal does, to all; `said` are the lines before. What is said then."""
    (os.killpg if everyone else os.kill)(process.pid, signal.SIGINT)
    stdout, rest = process.communicate()
    lines = [line.rstrip() for line in said] + rest.splitlines()
    return stdout, [line for line in lines if not line.startswith("import time: ")]


def assert_interrupted(process, lines):
    text = "\n".join(lines)
    assert process.returncode == 130, text
    assert [line for line in lines if line.startswith("error: ")] == lines[-1:] == [LINE], text
    assert "Traceback" not in text
    assert "ignored" not in text
    assert "resource_tracker" not in text


# ---------------------------------------------------------------- a command of a few lines

VERB = """
import gc, os, signal, sys, time
from absl import flags
from bert_jax import cli
from bert_jax.text.ordered_map import ordered_map

_HOW = flags.DEFINE_string("how", "", "")

def ctrl_c():
    os.kill(os.getpid(), signal.SIGINT)

def in_a_callback(phase, about):
    gc.callbacks.remove(in_a_callback)
    ctrl_c()

def main(argv):
    how = _HOW.value
    if how == "in a callback of the garbage collector":
        gc.callbacks.append(in_a_callback)
        gc.collect()
    if how == "in a destructor":
        type("Thing", (), {"__del__": lambda self: ctrl_c()})()
    if how in ("lost", "another error"):
        try:
            ctrl_c()
        except KeyboardInterrupt:
            if how == "another error":
                raise RuntimeError
            return
    if how == "with something to clean up":
        try:
            ctrl_c()
        finally:
            print("cleaned up", flush=True)
    if how == "twice":
        try:
            ctrl_c()
        finally:
            ctrl_c()
            print("cleaned up", flush=True)
    if how == "while workers work":
        for number, _ in enumerate(ordered_map(time.sleep, [0.01] * 100_000, 2)):
            if number == 10:
                print("working", flush=True)
    print("went on", flush=True)

if __name__ == "__main__":
    cli.run(main)
"""


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    path = tmp_path_factory.mktemp("verb") / "verb.py"
    path.write_text(VERB)
    return path


@pytest.mark.parametrize(
    "how",
    ["in a callback of the garbage collector", "in a destructor", "lost", "another error", "twice"],
)
def test_an_interrupt_that_python_would_lose(script, how):
    process = start(script, f"--how={how}")
    stdout, stderr = process.communicate()
    assert_interrupted(process, stderr.splitlines())
    assert stdout == ""


def test_what_has_to_be_cleaned_up_is(script):
    process = start(script, "--how=with something to clean up")
    stdout, stderr = process.communicate()
    assert_interrupted(process, stderr.splitlines())
    assert stdout == "cleaned up\n"


def test_workers_say_nothing(script):
    process = start(script, "--how=while workers work")
    assert process.stdout.readline() == "working\n"
    stdout, lines = interrupt(process, everyone=True)
    assert_interrupted(process, lines)
    assert stdout == ""


def test_in_the_background_of_a_script_it_is_ignored(script):
    command = [sys.executable, script, "--how="]
    ignored = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_IGN)}
    wait = f"import bert_jax.cli, os, signal, runpy; os.kill(os.getpid(), signal.SIGINT); {'{}'}"
    command = [sys.executable, "-c", wait.format(f"runpy.run_path({str(script)!r}, run_name='__main__')")]
    done = subprocess.run(command, capture_output=True, text=True, **ignored)
    assert (done.returncode, done.stdout) == (0, "went on\n"), done.stderr


def test_the_library_leaves_signals_alone():
    program = "import signal, bert_jax; print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)"
    process = start("-c", program)
    assert process.communicate()[0] == "True\n"


# ---------------------------------------------------------------- the commands


@pytest.fixture
def flags(chain, finished_run, tmp_path):
    """The flags of each command, for a new output."""
    return {
        "pretrain": chain.pretrain_flags(tmp_path / "out"),
        "export": [f"--workdir={finished_run}", "--format=huggingface", f"--output={tmp_path}/out"],
        "evaluate": [f"--workdir={finished_run}"],
        "report": [f"--workdir={finished_run}", f"--output={tmp_path}/out"],
        "build_vocab": [f"--input={chain.corpus}", f"--output={tmp_path}/out", "--vocab_size=800"],
        "build_records": [f"--input={chain.corpus}", f"--vocab={chain.vocab}", f"--output={tmp_path}/out"],
        "plan": ["--config=configs/tiny.py", "--topology=cpu:8"],
    }


def interrupt_at_import(verb, flags, number):
    """Ctrl-C when so many modules have been imported since the package's first ones; False if that is too many."""
    process = start("-X", "importtime", "-m", f"bert_jax.{verb}", *flags)
    said, seen = [], None
    for line in process.stderr:
        said.append(line)
        if line.startswith("import time: ") and line.rstrip().endswith("bert_jax.platforms"):
            seen = 0
        if seen is not None and line.startswith("import time: "):
            seen += 1
            if seen > number:
                _, lines = interrupt(process, said)
                assert_interrupted(process, lines)
                return True
    process.communicate()
    return False


OTHERS = ["export", "evaluate", "report", "build_vocab", "build_records", "plan"]


@pytest.mark.parametrize("verb", ["pretrain", *(pytest.param(verb, marks=pytest.mark.slow) for verb in OTHERS)])
def test_while_a_command_imports(flags, verb, tmp_path):
    for number in (0, 10, 100, 300):
        assert interrupt_at_import(verb, flags[verb], number)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(10))
def test_while_a_command_imports_at_many_moments(flags, seed):
    moments = random.Random(seed)
    interrupted = [interrupt_at_import("pretrain", flags["pretrain"], moments.randrange(3000)) for _ in range(20)]
    assert sum(interrupted) > 10


# What a training says on its way, from its first line to its last.
MOMENTS = [
    "no published peak",
    "each device holds",
    "from step 0",
    "step 5/20",
    "held-out",
    "goodput",
    "trained to step",
]


QUICK = ("step 5/20",)


@pytest.mark.parametrize(
    ("moment", "real"),
    [
        pytest.param(moment, moment == "step 5/20", marks=() if moment in QUICK else pytest.mark.slow)
        for moment in MOMENTS
    ],
)
def test_while_a_training_starts_and_ends(chain, flags, tmp_path, moment, real):
    """What a real process does and a child of one that has imported everything does not is before these moments."""
    if real:
        process = start("-m", "bert_jax.pretrain", *flags["pretrain"], **chain.environment)
    else:
        process = chain.start_pretrain(tmp_path / "out")
    said = []
    for line in process.stderr:
        said.append(line)
        if moment in line:
            break
    _, lines = interrupt(process, said)
    if process.returncode == 0:  # it was too late: all was done
        assert "trained to step 20" in "\n".join(lines)
        assert "Traceback" not in "\n".join(lines)
    else:
        assert_interrupted(process, lines)
    done = chain.pretrain(tmp_path / "out")
    assert "trained to step 20" in done.stderr


@pytest.mark.parametrize("verb", ["export", "build_vocab"])
def test_an_output_is_whole_or_not_there(chain, flags, tmp_path, verb):
    process = start("-m", f"bert_jax.{verb}", *flags[verb])
    lock = tmp_path / ".out.lock"
    while not (lock.exists() and lock.stat().st_size):
        assert process.poll() is None
    _, lines = interrupt(process)
    assert_interrupted(process, lines)
    if (tmp_path / "out").exists():  # the interrupt came after all was written
        last = {"export": "export.json", "build_vocab": "vocabulary.json"}[verb]
        assert (tmp_path / "out" / last).stat().st_size
    elif list(tmp_path.iterdir()):  # it came between two lines, before Python knew what to clean up
        chain.run(verb, *flags[verb])
        assert list(tmp_path.iterdir()) == [tmp_path / "out"]


FAILS_AT_THE_END = """
import os, signal, threading
from bert_jax import ctrl_c
ctrl_c.install()
threading._register_atexit(lambda: os.write(-1, b""))  # as concurrent.futures does, with a pipe that is closed
with ctrl_c.raised():
    os.kill(os.getpid(), signal.SIGINT)
"""


def test_what_fails_while_python_ends_is_not_told():
    process = start("-c", FAILS_AT_THE_END)
    assert_interrupted(process, process.communicate()[1].splitlines())


def test_workers_of_a_build_say_nothing_and_it_goes_on(chain, flags, tmp_path):
    more = [*flags["build_records"], "--dupe_factor=20", "--num_parts=2", "--num_workers=2"]
    process = start("-m", "bert_jax.build_records", *more)
    while not (tmp_path / "out" / ".parts" / "workers.lock").exists():
        assert process.poll() is None
    _, lines = interrupt(process, everyone=True)
    assert_interrupted(process, lines)
    assert "Records are in" in chain.run("build_records", *more).stderr
    shutil.rmtree(tmp_path / "out")


PLANS = """
from bert_jax import cli
from bert_jax.config import Config, PhaseConfig
from bert_jax.planning.compilation import Request, compile_step
from bert_jax.planning.topologies import parse_topology

def main(argv):
    config = Config(phases=(PhaseConfig(global_batch_size=8, max_seq_length=16),))
    compile_step(Request(config, 0, 4, parse_topology("cpu:2")), 600, "slow_compiler")

cli.run(main)
"""
SLOW_COMPILER = "import os, time; print(os.getpid(), flush=True); time.sleep(600)"


def test_while_a_plan_compiles(tmp_path):
    """The compiler's process and its directory are gone when the command has ended."""
    (tmp_path / "plans.py").write_text(PLANS)
    (tmp_path / "slow_compiler.py").write_text(SLOW_COMPILER)
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    path = os.pathsep.join([str(tmp_path), os.environ["PYTHONPATH"]])
    process = start(tmp_path / "plans.py", TMPDIR=str(temporary), PYTHONPATH=path)
    while not (said := [log.read_text() for log in temporary.glob("*/log.txt")]) or not said[0].endswith("\n"):
        assert process.poll() is None
    _, lines = interrupt(process, everyone=True)
    assert_interrupted(process, lines)
    with pytest.raises(ProcessLookupError):
        os.kill(int(said[0]), 0)
    assert list(temporary.iterdir()) == []
