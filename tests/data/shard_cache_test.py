"""Copies of shards: whole or absent, whoever else writes into the same cache; cloud_test.py has them read."""

import logging
import os
import threading
import time
from pathlib import Path

import pytest
from etils import epath

from bert_jax.data.shard_cache import ShardCache

SHARD = epath.Path("gs://bucket/bert-train.tfrecord")
CONTENT = bytes(range(256)) * 40


def wait_until(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.fixture
def downloads(monkeypatch):
    """The files that shards were copied to, in this order."""
    made = []

    def download(shard, file):
        made.append(Path(file))
        Path(file).write_bytes(CONTENT)

    monkeypatch.setattr("bert_jax.data.shard_cache.download", download)
    return made


def wanted(directory, more=0):
    return ShardCache(directory, 1e6).want(SHARD, len(CONTENT) + more, 1)


def test_a_copy_gets_its_name_when_it_is_on_the_disk(tmp_path, downloads, monkeypatch):
    done = []
    flush, replace = os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda file: (done.append("flushed"), flush(file)))
    monkeypatch.setattr(Path, "replace", lambda file, name: (done.append("named"), replace(file, name))[1])
    copy = wanted(tmp_path)
    wait_until(copy.exists)
    assert done == ["flushed", "named"]
    assert copy.read_bytes() == CONTENT
    assert list(tmp_path.iterdir()) == [copy]


def test_a_copy_of_another_size_gets_no_name(tmp_path, downloads, caplog):
    caplog.set_level(logging.WARNING, logger="absl")
    copy = wanted(tmp_path, more=1)
    wait_until(lambda: "10,240 bytes came of 10,241" in caplog.text)
    wait_until(lambda: not list(tmp_path.iterdir()))
    assert not copy.exists()


@pytest.mark.parametrize("there", [b"", CONTENT[:-1], CONTENT + b"x"])
def test_a_copy_of_another_size_is_made_again(tmp_path, downloads, there):
    copy = wanted(tmp_path)
    wait_until(copy.exists)
    copy.write_bytes(there)
    assert wanted(tmp_path) == copy
    wait_until(lambda: copy.exists() and copy.read_bytes() == CONTENT)
    assert len(downloads) == 2


def test_a_whole_copy_is_used(tmp_path, downloads):
    wait_until(wanted(tmp_path).exists)
    wanted(tmp_path)
    time.sleep(0.1)
    assert len(downloads) == 1


def test_two_hosts_with_one_process_number_write_two_files(tmp_path, monkeypatch):
    both, files = threading.Barrier(2, timeout=30), []

    def download(shard, file):
        files.append(Path(file).name)
        both.wait()
        Path(file).write_bytes(CONTENT)

    monkeypatch.setattr("bert_jax.data.shard_cache.download", download)
    copies = {wanted(tmp_path), wanted(tmp_path)}  # in one process here: its number is the same
    wait_until(lambda: all(copy.exists() for copy in copies))
    assert len(set(files)) == 2
    assert len(copies) == 1


def test_what_a_killed_process_left_makes_room(tmp_path, downloads):
    """Also what one of an earlier release left, which named it by its process's number."""
    left = [tmp_path / f"{'0f' * 16}.{part}.tmp" for part in ("4711", "00ff00ff00ff00ff")]
    for file in left:
        file.write_bytes(CONTENT)
        os.utime(file, (1, 1))
    copy = ShardCache(tmp_path, len(CONTENT)).want(SHARD, len(CONTENT), 1)
    wait_until(copy.exists)
    assert list(tmp_path.iterdir()) == [copy]
