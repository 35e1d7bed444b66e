"""The verb as users run it: python -m bert_jax.build_vocab."""

import json
import subprocess
import sys
from pydoc_data.topics import topics

import pytest


def build_vocab(*flags):
    return subprocess.run(
        [sys.executable, "-m", "bert_jax.build_vocab", *flags],
        env={"PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
    )


@pytest.fixture
def text(tmp_path):
    (tmp_path / "topics.txt").write_text("\n\n".join(map(topics.get, sorted(topics))), encoding="utf-8")
    return f"{tmp_path}/*.txt"


def test_a_vocabulary_is_built_once(text, tmp_path):
    flags = (f"--input={text}", f"--output={tmp_path}/vocab", "--kind=wordpiece", "--vocab_size=1000")
    first = build_vocab(*flags)
    assert first.returncode == 0, first.stderr
    assert f"{tmp_path}/vocab: 1000 tokens such as" in first.stderr
    assert "tokens per white-space separated word" in first.stderr
    description = json.loads((tmp_path / "vocab" / "vocabulary.json").read_text())
    assert description["made_by"]["lowercase"] is True
    tokens = (tmp_path / "vocab" / "vocab.txt").read_text().split("\n")
    assert tokens[:5] == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    again = build_vocab(*flags)
    assert again.returncode == 0
    assert "already holds this vocabulary" in again.stderr
    other = build_vocab(*flags, "--nolowercase")
    assert other.returncode == 1
    assert other.stderr.splitlines() == [
        f"error: --output {tmp_path}/vocab holds a vocabulary made with other lowercase; "
        "choose another --output or delete it"
    ]


@pytest.mark.parametrize(
    ("flags", "status", "message"),
    [
        (["--output=v"], 2, "--input"),
        (["--input=no/such*.txt", "--output=v"], 1, "--input no/such*.txt matches no file"),
        (["--input=python-docs", "--output=v", "--kind=words"], 2, "--kind"),
        (["--input=python-docs", "--output=v", "--vocab_size=0"], 1, "--vocab_size=0 must be positive"),
    ],
)
def test_wrong_flags_are_one_line(flags, status, message):
    result = build_vocab(*flags)
    assert result.returncode == status
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1
