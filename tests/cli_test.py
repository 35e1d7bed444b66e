"""How a verb starts and fails, in processes of its own: one line that names the flag and the remedy, no traceback."""

import errno
import os
import signal
import subprocess
import sys
import types
from pathlib import Path

import pytest

from bert_jax import cli

ROOT = Path(__file__).parent.parent
TINY = "--config=configs/tiny.py"

# As short as a verb can be, and without what takes seconds to import.
VERB = """
import builtins
import errno
from absl import flags
from bert_jax import cli
from bert_jax.config import Config
from bert_jax.config.command_line import define_config
from bert_jax.errors import UserError

_CONFIG = define_config(Config)
_WORKDIR = flags.DEFINE_string("workdir", None, "Directory.")
_TROUBLE = flags.DEFINE_string("trouble", "none", "What goes wrong.")
flags.DEFINE_list("several", None, "Directories.")
flags.DEFINE_integer("other", 5, "A number.")
flags.mark_flags_as_required(["config", "workdir"])

async def write_fragment():
    pass

def main(argv):
    config = _CONFIG.value
    if _TROUBLE.value == "user":
        raise UserError("the thing is broken; fix it")
    cli.refuse(["other"], "is for another use")
    if _TROUBLE.value == "long":
        raise UserError(f"FILE cannot be read (token `{'n' * 100_000}`); give another")
    if _TROUBLE.value == "disk":
        builtins.left_behind = write_fragment()  # as Orbax does; it goes when the interpreter does
        raise OSError(errno.ENOSPC, "No space left on device", "/a/file")
    if _TROUBLE.value == "interrupt":
        raise KeyboardInterrupt
    if _TROUBLE.value == "path":
        raise OSError(errno.EACCES, "Permission denied", "/a/file")
    if _TROUBLE.value == "tensorstore":
        raise ValueError("PERMISSION_DENIED: Failed to open: \\"/a/b\\": Permission denied [os_error_code='13']")
    if _TROUBLE.value == "many lines":
        for number in range(100_000):
            print(number)
    if _TROUBLE.value == "connection":
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")
    if _TROUBLE.value == "memory":
        import jax
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes.\\nmore")
    if _TROUBLE.value == "letters":
        print("naïve \N{GRINNING FACE}")
    if _TROUBLE.value == "bug":
        raise OSError(errno.EACCES, "Permission denied")
    if _TROUBLE.value == "place":
        print(_WORKDIR.value, *flags.FLAGS.several)
        return
    print(config.phases[0].steps, config.optimizer.learning_rate, config.train.check_nans, config.scale)

if __name__ == "__main__":
    cli.run(main)
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    script = tmp_path_factory.mktemp("verb") / "verb.py"
    script.write_text(VERB)

    def run(*flags, **how):
        command = [sys.executable, script, *flags]
        return subprocess.run(command, cwd=ROOT, **({"capture_output": True, "text": True} | how))

    return run


def assert_one_line(done, status, *words):
    assert "Traceback" not in done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, done.stderr
    assert done.stderr.endswith(errors[0] + "\n")  # the last thing said
    for word in words:
        assert word in errors[0]
    assert done.returncode == status
    assert done.stdout == ""


def test_settings_are_changed_on_the_command_line(run):
    changes = ["--config.phases[0].steps=7", "--config.optimizer.learning_rate=2e-4", "--config.scale=0.5"]
    done = run(TINY, *changes, "--config.train.check_nans", "--workdir=x")
    assert (done.returncode, done.stdout) == (0, "7 0.0002 True 0.5\n"), done.stderr


def test_too_little_memory_is_one_line(run):
    done = run(TINY, "--workdir=x", "--trouble=memory")
    assert_one_line(done, 1, "too little memory (RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes.); take smaller")


def test_what_is_printed_is_utf8_whatever_the_terminal(run):
    done = run(TINY, "--workdir=x", "--trouble=letters", text=False, env={**os.environ, "PYTHONIOENCODING": "latin-1"})
    assert done.stdout.decode().splitlines()[0] == "naïve \N{GRINNING FACE}", done.stderr


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ([TINY, "--workdir=x", "--config.model.nope=1"], ["--config.model.nope", "does not exist"]),
        ([TINY, "--workdir=x", "--config.model.hiden_size=8"], ["model.hiden_size", "did you mean hidden_size"]),
        ([TINY, "--workdir=x", "--config.optimiser.beta1=0.5"], ["optimiser", "did you mean optimizer"]),
        ([TINY, "--workdir=x", "--config.phases[0].step=8"], ["phases[0].step", "did you mean steps"]),
        ([TINY, "--workdir=x", "--config.phases[3].steps=8"], ["phases[", "counts the phases"]),
        ([TINY, "--workdir=x", "--config.phases[0].steps=x"], ["config.phases[0].steps", "'x' is not a whole number"]),
        (
            [TINY, "--workdir=x", "--config.optimizer.learning_rate=fast"],
            ["optimizer.learning_rate", "'fast' is not a number"],
        ),
        ([TINY, "--workdir=x", "--config.train.check_nans=perhaps"], ["train.check_nans", "perhaps"]),
        ([TINY, "--workdir=x", "--config.phases=x"], ["several settings", "--config.phases[0].steps=1000"]),
        ([TINY, "--workdir=x", "--config.phases=(1,)"], ["several settings", "--config.phases[0].steps=1000"]),
        ([TINY, "--workdir=x", "--config.phases=[dict(steps=20)]"], ["--config.phases[0].steps=1000"]),
        ([TINY, "--workdir=x", "--config.phases", "x"], ["several settings", "--config.phases[0].steps=1000"]),
        ([TINY, "--workdir=x", "--config.phases.steps=8"], ["counted from 0", "--config.phases[0].steps=1000"]),
        ([TINY, "--workdir=x", "--config.phases[0]=8"], ["several settings", "--config.phases[0].steps=1000"]),
        (
            [TINY, "--workdir=x", "--config.model=3"],
            ["--config.model is several settings", "--config.model.vocab_size=0"],
        ),
        ([TINY, "--workdir=x", "--noconfig.train.nope"], ["--config.train.nope does not exist"]),
        ([TINY, "--workdir=x", "--config.train[seed]=3"], ["--config.train[seed] does not exist"]),
        ([TINY, "--workdir=x", "--config.train..seed=3"], ["--config.train..seed does not exist"]),
        ([TINY, "--workdir=x", "--config.scale=nan"], ["--config.scale=nan is no finite number"]),
        ([TINY, "--workdir=x", "--config.train.seed=" + "9" * 5000], ["config.train.seed"]),
        (["--config", "configs/none.py", "--workdir=x"], ["configs/none.py", "does not exist", "configs/tiny.py"]),
        (["--config=", "--workdir=x"], ["--config= does not exist"]),
        (["--config=configs", "--workdir=x"], ["--config=configs does not exist"]),
        (["--config=configs/none.py", "--workdir=x"], ["configs/none.py", "does not exist", "configs/tiny.py"]),
        ([TINY], ["--workdir is missing"]),
        ([TINY, "--workdir="], ["--workdir is empty; give a value"]),
        ([TINY, "--workdir", ""], ["--workdir is empty; give a value"]),
        ([TINY, "--workdir=x", "--several="], ["--several is empty; give a value"]),
        ([TINY, "--workdir=x", "--several=a,,b"], ["--several=a,,b has an empty part; give a value"]),
        (["--workdir=x"], ["--config is missing"]),
        ([TINY, "--workdir=x", "--wokdir=y"], ["wokdir", "workdir"]),
        ([TINY, "--workdir=x", "--config.phases[07].steps=4"], ["--config.phases[07].steps does not exist"]),
        ([TINY, "--workdir=x", "stray"], ["'stray'", "--name=value"]),
    ],
)
def test_a_wrong_flag_is_one_line(run, flags, words):
    assert_one_line(run(*flags), 2, *words)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "from bert_jax.config import *\ndef get_config():\n    return Config(train=TrainConfig(lr=3))",
            ["line 3", "'lr'"],
        ),
        ("x = (", ["line 1", "SyntaxError"]),
        ("import nonsense", ["line 1", "ModuleNotFoundError", "nonsense"]),
        ("x = 1", ["has no attribute 'get_config'"]),
        ("def get_config():\n    return {}", ["gives no bert_jax.config.Config"]),
        ("def get_config():\n    pass", ["gives no bert_jax.config.Config"]),
        ("def get_config():\n    open('/not/there')", ["line 2", "/not/there"]),
        ("\udcff", ["line 1", "'utf-8' codec"]),
    ],
)
def test_a_config_file_that_fails_is_one_line_with_the_place(run, tmp_path, text, words):
    (tmp_path / "c.py").write_bytes(text.encode(errors="surrogateescape"))
    done = run(f"--config={tmp_path}/c.py", "--config.train.seed=3", "--workdir=x")
    assert_one_line(done, 2, f"--config={tmp_path}/c.py", *words)


def test_phases_may_be_counted_from_the_last_and_a_config_file_may_be_given_apart(run):
    done = run("--config", "configs/tiny.py", "--config.phases[-1].steps=7", "--workdir=x")
    assert done.stdout.startswith("7 "), done.stderr


def test_home_is_written_out_wherever_a_path_begins(run):
    done = run(TINY, "--workdir=~/x", "--several=~/a,b~/c,~", "--trouble=place", env={**os.environ, "HOME": "/me"})
    assert done.stdout == "/me/x /me/a b~/c ~\n", done.stderr


def test_a_path_that_is_not_utf8_is_one_line(run):
    assert_one_line(run(TINY, b"--workdir=caf\xe9"), 2, r"b'--workdir=caf\xe9' is not UTF-8")


def test_a_config_file_may_have_a_colon_in_its_path(run, tmp_path):
    (tmp_path / "a:b.py").write_text((ROOT / "configs" / "tiny.py").read_text())
    assert run(f"--config={tmp_path}/a:b.py", "--workdir=x").returncode == 0


def test_a_mistake_of_the_users_is_one_line(run):
    assert_one_line(run(TINY, "--workdir=x", "--trouble=user"), 1, "the thing is broken; fix it")


def test_a_flag_of_another_use_is_refused_even_with_its_default(run):
    assert_one_line(run(TINY, "--workdir=x", "--other=5"), 1, "--other is for another use; leave it out")


def test_a_line_that_quotes_a_file_stays_short_and_keeps_both_ends(run):
    done = run(TINY, "--workdir=x", "--trouble=long")
    assert_one_line(done, 1, "error: FILE cannot be read (token `nnn", "nnn`); give another")
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(line) < 1300


@pytest.mark.parametrize(
    ("file", "place"), [("/out/a/b", "--output=/out"), ("/tmp/x", "/tmp/x"), (None, "--output=/out")]
)
def test_the_full_disk_is_that_of_the_output_or_another(file, place):
    output = types.SimpleNamespace(name="output", value="/out")
    assert cli._full(OSError(errno.ENOSPC, "No space left on device", file), output) == f" of {place}"


def test_a_full_disk_is_one_line(run):
    assert_one_line(run(TINY, "--workdir=x", "--trouble=disk"), 1, "no space left", "/a/file", "run the same command")


def test_a_path_that_the_system_refuses_is_one_line(run):
    assert_one_line(run(TINY, "--workdir=x", "--trouble=path"), 1, "error: /a/file: permission denied; ", "chmod")
    assert_one_line(run(TINY, "--workdir=x", "--trouble=tensorstore"), 1, "error: /a/b: permission denied; ", "chmod")
    done = run(TINY, "--workdir=x", "--trouble=path", "--verbosity=1")
    assert "Traceback" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("error: /a/file: permission denied; ")


def test_ctrl_c_is_one_line(run):
    assert_one_line(run(TINY, "--workdir=x", "--trouble=interrupt"), 130, "interrupted")


def test_a_bug_keeps_its_traceback(run):
    done = run(TINY, "--workdir=x", "--trouble=bug")
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "Permission denied" in done.stderr


@pytest.mark.parametrize("trouble", ["many lines", "none"])
def test_whose_output_nobody_reads_any_more_ends_without_a_word(run, trouble):
    read, write = os.pipe()
    os.close(read)
    how = {"capture_output": False, "stdout": write, "stderr": subprocess.PIPE}
    done = run(TINY, "--workdir=w", f"--trouble={trouble}", **how)
    os.close(write)
    assert (done.returncode, done.stderr) == (128 + signal.SIGPIPE, "")


def test_a_connection_that_breaks_is_no_reader_that_went(run):
    done = run(TINY, "--workdir=w", "--trouble=connection")
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "BrokenPipeError" in done.stderr


def test_pretraining_starts_so(tmp_path):
    flags = [TINY, "--config.train.dtyp=bfloat16", f"--workdir={tmp_path / 'w'}"]
    command = [sys.executable, "-m", "bert_jax.pretrain", *flags]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert_one_line(done, 2, "train.dtyp", "did you mean dtype")
    assert not (tmp_path / "w").exists()
