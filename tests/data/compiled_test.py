"""What is compiled is kept, for the code as it is; and where nothing can be kept, everything works all the same."""

import functools
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import bert_jax

SCRIPT = """
import random, sys
from bert_jax.data.mersenne_twister import random_float, random_below, state_of
rng = random.Random(1)
state = state_of(rng)
assert [random_float(state) for _ in range(9)] == [rng.random() for _ in range(9)]
print(sum(random_float.stats.cache_hits.values()), sum(random_float.stats.cache_misses.values()))
"""
FILES = ["__init__.py", "data/__init__.py", "data/compiled.py", "data/mersenne_twister.py"]


@pytest.fixture
def package(tmp_path):
    """A copy of what is needed of the package, with a cache of its own."""
    source = Path(bert_jax.__file__).parent
    for file in FILES:
        target = tmp_path / "bert_jax" / file
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source / file, target)
    return tmp_path


def hits_and_misses(package, **environment):
    environment = {**os.environ, "PYTHONPATH": str(package), "PYTHONDONTWRITEBYTECODE": "1", **environment}
    command = [sys.executable, "-c", SCRIPT]
    done = subprocess.run(command, env=environment, cwd=package, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_the_second_process_compiles_nothing(package):
    assert hits_and_misses(package) == ["0", "1"]
    assert hits_and_misses(package) == ["1", "0"]


def test_a_change_in_another_file_is_seen(package):
    hits_and_misses(package)
    with (package / "bert_jax" / "data" / "masking.py").open("w") as file:
        file.write("# @compiled")
    assert hits_and_misses(package) == ["0", "1"]


@pytest.mark.slow
def test_no_place_to_keep_it(package, tmp_path):
    nowhere = tmp_path / "a_file"
    nowhere.write_text("")
    (package / "bert_jax" / "data" / "__pycache__").write_text("in the way")
    environment = {"HOME": str(nowhere), "XDG_CACHE_HOME": str(nowhere)}
    assert hits_and_misses(package, **environment)[0] == "0"
    assert hits_and_misses(package, **environment)[0] == "0"


@pytest.mark.slow
def test_workers_have_nothing_left_to_compile(text, vocab, tmp_path):
    """compile_all compiles for the same types as a real shard."""
    package = tmp_path / "package"
    shutil.copytree(Path(bert_jax.__file__).parent, package / "bert_jax", ignore=shutil.ignore_patterns("__pycache__"))
    environment = {**os.environ, "PYTHONPATH": str(package)}
    run = functools.partial(subprocess.run, env=environment, cwd=package, check=True)
    run([sys.executable, "-c", "from bert_jax.data.shards import compile_all; compile_all()"])
    kept = sorted(package.glob("bert_jax/data/__pycache__/numba-*/*/*.nbc"))
    assert len(kept) > 10
    flags = [f"--input={text}", f"--vocab={vocab}", f"--output={tmp_path / 'records'}", "--dupe_factor=2"]
    run([sys.executable, "-m", "bert_jax.build_records", *flags])
    assert sorted(package.glob("bert_jax/data/__pycache__/numba-*/*/*.nbc")) == kept
