"""Every number that a flag of a verb takes has a range, is finite, and is checked before any work."""

import dataclasses
import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

from bert_jax.data.options import RecordOptions
from bert_jax.errors import UserError

ROOT = Path(__file__).parent.parent
VERBS = (
    *("build_vocab", "build_records", "plan", "pretrain", "evaluate", "export", "report"),
    *("finetune", "predict", "embed"),
)
OPTIONS = {field.name: field.type for field in dataclasses.fields(RecordOptions)}
BILLION = 10**9
TRIED = ("nan", "inf", "-inf", "-1", "0", str(BILLION), "1" + "0" * 30, "text", "")

LIST = """
import importlib, json, sys
from absl import flags
importlib.import_module(f"bert_jax.{sys.argv[1]}")
errors = {}
for module, defined in flags.FLAGS.flags_by_module_dict().items():
    for flag in defined:
        if "bert_jax" in module and isinstance(flag.parser, flags.IntegerParser | flags.FloatParser):
            errors[flag.name] = {}
            for value in sys.argv[2:]:
                try:
                    flag.parse(value)
                    errors[flag.name][value] = ""
                except flags.IllegalFlagValueError as error:
                    errors[flag.name][value] = str(error)
print(json.dumps(errors))
"""


# Checked by the verb itself, with exit code 1; in the last test.
BY_THE_VERB = {("build_records", "num_workers"), ("build_vocab", "vocab_size")}
# The numbers that each flag of a verb takes where flags are read, of 0 and a billion.
JOB = {"num_processes": [], "process_id": ["0"], "peer_timeout_seconds": []}
TAKES = {
    "build_vocab": {"num_workers": [], "skip_bad_records": ["0", str(BILLION)]},
    "build_records": {"skip_bad_records": ["0", str(BILLION)]},
    "plan": {
        "vocab_size": ["0"],
        "price_per_chip_hour": ["0", str(BILLION)],
        "compile_minutes": [],
        **JOB,
    },
    "pretrain": JOB,
    "evaluate": {"batch_size": [], **JOB},
    "export": {"step": ["0", str(BILLION)], "opset": []},
    "report": {},
    "finetune": {"seeds": [], **JOB},
    "predict": {"best": []},
    "embed": {
        "skip": ["0"],
        "margin": ["0"],
        "negatives": [],
        "max_length": ["0"],
        "shard_rows": [str(BILLION)],
        "batch_tokens": [],
        **JOB,
    },
}


@pytest.mark.parametrize("verb", VERBS)
def test_a_number_out_of_range_is_refused_where_flags_are_read(verb):
    command = [sys.executable, "-c", LIST, verb, *TRIED]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    found = {name: found[name] for name in found if name not in OPTIONS and (verb, name) not in BY_THE_VERB}
    takes = {name: [value for value in ("0", str(BILLION)) if not answers[value]] for name, answers in found.items()}
    assert takes == TAKES[verb]
    for name, answers in found.items():
        assert all(answers[value] for value in ("-inf", "-1", "text", "")), (name, answers)
        assert all("\n" not in answer for answer in answers.values())


MAY_BE = {
    "0": {"masked_lm_prob", "short_seq_prob", "random_seed", "holdout", "ngram"},
    "-1": {"random_seed"},
    str(BILLION): {"random_seed"},
}


@pytest.mark.parametrize("name", [name for name, kind in OPTIONS.items() if kind in (int, float)])
def test_an_option_of_the_records_is_in_its_range_or_refused(name):
    for value in TRIED[:-2]:
        number = float(value) if OPTIONS[name] is float or not math.isfinite(float(value)) else int(value)
        options = dataclasses.replace(RecordOptions(), **{name: number})
        if name in MAY_BE.get(value, ()):
            options.check()
            continue
        with pytest.raises(UserError) as error:
            options.check()
        assert f"--{name}={number} must be between " in str(error.value)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("verb", "flags", "status", "message"),
    [
        ("build_vocab", ["--input=a", "--output=@/v", "--vocab_size=1000000000"], 2, "--vocab_size=1000000000"),
        ("build_vocab", ["--input=a", "--output=@/v", "--vocab_size=-1"], 1, "--vocab_size=-1 must be positive"),
        ("build_vocab", ["--input=a", "--output=@/v", "--num_workers=1000000000"], 2, "--num_workers=1000000000"),
        (
            "build_records",
            ["--input=a", "--vocab=ids:9", "--output=@/r", "--masked_lm_prob=nan"],
            2,
            "--masked_lm_prob=nan",
        ),
        ("build_records", ["--input=a", "--vocab=ids:9", "--output=@/r", "--holdout=inf"], 2, "--holdout=inf"),
        ("build_records", ["--input=a", "--vocab=ids:9", "--output=@/r", "--num_parts=0"], 1, "--num_parts=0"),
        (
            "build_records",
            ["--input=a", "--vocab=ids:9", "--output=@/r", "--num_workers=1000000000"],
            1,
            "1000 at most",
        ),
        (
            "plan",
            ["--config=configs/tiny.py", "--topology=cpu:1", "--price_per_chip_hour=nan"],
            2,
            "price_per_chip_hour=nan",
        ),
        ("plan", ["--config=configs/tiny.py", "--topology=cpu:1", "--compile_minutes=inf"], 2, "--compile_minutes=inf"),
        ("plan", ["--config=configs/tiny.py", "--topology=cpu:1", "--vocab_size=-1"], 2, "--vocab_size=-1"),
        (
            "plan",
            ["--config=configs/tiny.py", "--topology=cpu:1", "--config.model.num_hidden_layers=1000000000"],
            1,
            "1000",
        ),
        ("pretrain", ["--config=configs/tiny.py", "--workdir=@/w", "--config.scale=inf"], 2, "--config.scale=inf"),
        (
            "pretrain",
            ["--config=configs/tiny.py", "--workdir=@/w", "--config.train.seed=-1"],
            1,
            "--config.train.seed=-1",
        ),
        (
            "pretrain",
            ["--config=configs/tiny.py", "--workdir=@/w", "--config.model.hidden_size=1000000000"],
            1,
            "1 to 100000",
        ),
        ("pretrain", ["--config=configs/tiny.py", "--workdir=@/w", "--num_processes=-1"], 2, "--num_processes=-1"),
        ("pretrain", ["--config=configs/tiny.py", "--workdir=@/w[1]"], 1, "at a path with [, * or ?; give another"),
        (
            "finetune",
            ["--task=qa", "--init_from=@/m", "--train=a", "--workdir=@/w?"],
            1,
            "at a path with [, * or ?; give another",
        ),
        (
            "pretrain",
            [
                "--config=configs/tiny.py",
                "--workdir=@/w",
                "--coordinator_address=x:1",
                "--num_processes=2",
                "--process_id=2",
            ],
            1,
            "--process_id=2 is none of --num_processes=2",
        ),
        ("evaluate", ["--workdir=@/w", "--batch_size=1000000000"], 2, "--batch_size=1000000000"),
        (
            "finetune",
            ["--task=qa", "--init_from=@/m", "--train=a", "--workdir=@/w", "--seeds=1000000000"],
            2,
            "--seeds=1000000000",
        ),
        ("predict", ["--workdir=@/w", "--input=a", "--best=0"], 2, "--best=0"),
        ("embed", ["--model=@/m", "--mine=a", "--output=@/m.jsonl", "--margin=nan"], 2, "--margin=nan"),
        (
            "pretrain",
            ["--config=configs/tiny.py", "--workdir=@/w", "--coordinator_address=x:1", "--num_processes=2"],
            1,
            "--coordinator_address, --num_processes and --process_id go together; give all three or none",
        ),
        (
            "pretrain",
            ["--config=configs/tiny.py", "--workdir=@/w", "--process_id=0"],
            1,
            "--process_id go together; give all three or none",
        ),
        ("export", ["--workdir=@/w", "--format=numpy", "--output=@/e", "--step=-1"], 2, "--step=-1"),
    ],
)
def test_a_real_process_refuses_in_one_line(verbs, tmp_path, verb, flags, status, message):
    done = verbs.run(verb, *(flag.replace("@", str(tmp_path)) for flag in flags))
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, done.stderr
    assert message in errors[0]
    assert "Traceback" not in done.stderr
    assert done.returncode == status
    assert list(tmp_path.iterdir()) == []
