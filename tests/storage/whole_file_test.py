"""Files that several write at once are whole all the same."""

import threading

import pytest

from bert_jax.storage.whole_file import replace_text, whole_file


def test_many_at_once_write_one_after_the_other(tmp_path):
    path, failed = tmp_path / "report.html", []

    def write(letter):
        try:
            for size in range(1, 200):
                with whole_file(path) as file:
                    for _ in range(size):
                        file.write(letter.encode())
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=write, args=(letter,)) for letter in "abcd"]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        if path.exists():
            assert len(set(path.read_text())) == 1
    assert not failed
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]
    assert path.read_text() in {letter * 199 for letter in "abcd"}


def test_what_a_killed_one_left_is_written_over(tmp_path):
    (tmp_path / ".tmp-log-jsonl").write_text("half of something long")
    replace_text(tmp_path / "log.jsonl", "new")
    assert (tmp_path / "log.jsonl").read_text() == "new"
    assert [file.name for file in tmp_path.iterdir()] == ["log.jsonl"]


def test_a_failure_leaves_what_was_there(tmp_path):
    replace_text(tmp_path / "log", "old")
    with pytest.raises(ZeroDivisionError), whole_file(tmp_path / "log") as file:
        file.write(b"new" * int(1 / 0))
    assert (tmp_path / "log").read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["log"]
