import re
import subprocess
import sys

import pytest

from bert_jax.data.manifest import read_manifest

TEXT = "\n".join(
    f"{line}\n" if number % 4 == 3 else line
    for number, line in enumerate(f"this is the sentence number {n} of a small text ." for n in range(40))
)
VOCAB = "[PAD] [UNK] [CLS] [SEP] [MASK] this is the sentence number of a small text . 1 2 3 4 5"


@pytest.fixture
def files(tmp_path):
    (tmp_path / "text.txt").write_text(TEXT)
    (tmp_path / "vocab.txt").write_text(VOCAB.replace(" ", "\n") + "\n")
    return tmp_path


def run(directory, *more, **flags):
    given = {"input": directory / "text.txt", "vocab": directory / "vocab.txt", "output": directory / "records"}
    command = [sys.executable, "-m", "bert_jax.build_records"]
    command += [f"--{name}={value}" for name, value in {**given, **flags}.items()]
    return subprocess.run([*command, *more], capture_output=True, text=True, check=False)


def test_records_and_what_is_said(files):
    result = run(files, "--whole_word_mask", max_seq_length=32, dupe_factor=3, holdout=0.3)
    assert result.returncode == 0, result.stderr
    manifest = read_manifest(files / "records")
    assert manifest.max_seq_length == 32
    assert manifest.options["whole_word_mask"] is True
    assert set(manifest.splits) == {"train", "validation"}
    assert result.stderr.count("Example") == 5
    assert re.search(r"tokens: \[CLS\] .*this.*\n  segment_ids: 0 0 .* 1\n  masked_lm_positions: \d", result.stderr)
    assert re.search(r"next sentence: (random|the true one)", result.stderr)
    assert re.search(r"train: \d+ documents, .*unknown\); \d+ instances, .* filled", result.stderr)


def test_the_same_again(files):
    assert run(files).returncode == 0
    again = run(files)
    assert again.returncode == 0
    assert "complete; nothing to do" in again.stderr


def test_original_name_of_the_mask_flag(files):
    assert run(files, "--do_whole_word_mask").returncode == 0
    assert read_manifest(files / "records").options["whole_word_mask"] is True


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"input": "nowhere.txt"}, "--input nowhere.txt matches no file"),
        ({"vocab": "nowhere"}, "vocabulary nowhere does not exist"),
        ({"max_seq_length": 3}, "--max_seq_length=3 must be between 5 and"),
        ({"num_workers": 0}, "--num_workers=0 must be 1 or more"),
        ({"num_parts": 99}, "use --num_parts=5 or fewer"),
    ],
)
def test_mistakes_are_one_line(files, flags, message):
    result = run(files, **flags)
    assert result.returncode == 1
    (error,) = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert message in error
    assert "Traceback" not in result.stderr
    assert not (files / "records").exists()


def test_one_document(files):
    (files / "text.txt").write_text("a sentence\nanother one\n")
    result = run(files)
    assert result.returncode == 1
    assert "holds one document only" in result.stderr
    assert "blank lines" in result.stderr


def test_worker_ends_in_one_line_too(files):
    (files / "text.txt").write_text("a sentence\n\n\x01\n")
    result = run(files)
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1].startswith("error: train part 0 has 1 documents")
    assert "Traceback" not in result.stderr
