"""Files as lines, against Python's own reading of them; and what is no file."""

import gzip
import os
import random
import subprocess
import sys

import pytest
from etils import epath

from bert_jax.errors import UserError
from bert_jax.text import files
from bert_jax.text.corpus import Corpus


def lines_of_python(content):
    """Each line as the original reads it, with its number; None for what is not UTF-8."""
    for number, line in enumerate(content.split(b"\n"), start=1):
        try:
            yield number, line.decode("utf-8-sig" if number == 1 else "utf-8").strip()
        except UnicodeDecodeError:
            yield number, None


@pytest.mark.parametrize("piece", [1, 2, 7, 64, 1 << 16])
def test_lines_are_those_of_python(tmp_path, monkeypatch, piece):
    monkeypatch.setattr(files, "_CHUNK_BYTES", piece)
    rng = random.Random(piece)
    parts = [
        b"\n",
        b"\n",
        b"\n\n\n",
        b" ",
        b"\r",
        b"a",
        "é\u2028日".encode(),
        b"\xff",
        b"\xef\xbb\xbf",
        b"\x85 \x0c",
        b"word",
    ]
    for _ in range(200):
        content = b"".join(rng.choices(parts, k=rng.randrange(30)))
        (tmp_path / "a.txt").write_bytes(content)
        found = list(files.InputFile(epath.Path(tmp_path / "a.txt")).lines())
        expected = list(lines_of_python(content))
        assert [line for line in found if line[1] != ""] == [line for line in expected if line[1] != ""]
        assert set(found) <= set(expected), content  # blank lines may be fewer
        texts = "".join("." if line else "n" if line is None else " " for _, line in found)
        whole = "".join("." if line else "n" if line is None else " " for _, line in expected)
        assert " ".join(texts.split()) == " ".join(whole.split())  # never none between two that had some between them


def test_a_small_file_of_very_many_newlines(tmp_path, monkeypatch):
    """They are not looked at one by one; the number of the line after them is right."""
    monkeypatch.setattr(files, "_CHUNK_BYTES", 1 << 10)
    blank = 3_000_000
    with gzip.open(tmp_path / "a.gz", "wb", compresslevel=1) as file:
        file.write(b"First.\n")
        for _ in range(300):
            file.write(b"\n" * (blank // 300))
        file.write(b"Second.\n")
    looked_at = list(files.InputFile(epath.Path(tmp_path / "a.gz")).lines())
    assert looked_at[0] == (1, "First.")
    assert looked_at[-1] == (blank + 2, "Second.")
    assert len(looked_at) < 10_000


@pytest.mark.parametrize("given", ["pipe", "*", "link"])
def test_a_pipe_without_a_writer_is_one_line(tmp_path, given):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    for verb, flags in (("build_records", ["--vocab=ids:99"]), ("build_vocab", [])):
        command = [sys.executable, "-m", f"bert_jax.{verb}", f"--input={tmp_path}/{given}", *flags]
        done = subprocess.run(
            [*command, f"--output={tmp_path}/out"], capture_output=True, text=True, check=False, timeout=200
        )
        assert done.returncode == 1
        name = "link" if given == "*" else given  # the first of the two
        said = done.stderr.splitlines()[-1]
        assert said.startswith(f"error: --input {tmp_path}/{name} is a pipe or device, and text is read more than once")
        assert "Traceback" not in done.stderr


def test_a_pipe_of_the_shell_is_one_line(tmp_path):
    command = f"{sys.executable} -m bert_jax.build_records --input=<(echo Text.) --vocab=ids:99 --output={tmp_path}/out"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: --input /dev/fd/")
    assert "write it into a file" in done.stderr.splitlines()[-1]


def test_a_device_and_a_link_to_nothing(tmp_path):
    with pytest.raises(UserError, match="/dev/zero is a pipe or device"):
        Corpus(["/dev/zero"])
    (tmp_path / "a.txt").symlink_to("nowhere")
    with pytest.raises(UserError, match=r"a\.txt is a link to nothing"):
        Corpus([f"{tmp_path}/*.txt"])


def test_a_name_that_is_not_utf8_is_one_line_before_the_text_is_read(tmp_path):
    (tmp_path / os.fsdecode(b"caf\xe9.txt")).write_text("a\n")
    with pytest.raises(UserError, match=r"caf\\xe9.txt': this name is not UTF-8; rename the file"):
        files.matching_files(f"{tmp_path}/*.txt")
