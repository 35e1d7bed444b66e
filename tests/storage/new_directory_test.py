"""Output directories: whole or absent, and nothing of anybody else's removed."""

import json
import os

import pytest

from bert_jax.errors import UserError
from bert_jax.storage import new_directory as new_directory_module
from bert_jax.storage.new_directory import first_directory, new_directory


def write(output, **files):
    with new_directory(output) as aside:
        for name, text in files.items():
            (aside / name).write_text(text)


def contents(directory):
    return {path.name: path.read_text() for path in directory.iterdir() if path.name != "export.json"}


def test_a_new_directory_is_made_with_its_parents(tmp_path):
    write(tmp_path / "a" / "b", weights="1")
    assert contents(tmp_path / "a" / "b") == {"weights": "1"}
    assert os.listdir(tmp_path / "a") == ["b"]  # noqa: PTH208


def test_an_empty_directory_is_used(tmp_path):
    (tmp_path / "out").mkdir()
    write(tmp_path / "out", weights="1")
    assert contents(tmp_path / "out") == {"weights": "1"}


def test_an_earlier_export_is_replaced_whole(tmp_path):
    write(tmp_path / "out", weights="1", vocab="a")
    write(tmp_path / "out", weights="2")
    assert contents(tmp_path / "out") == {"weights": "2"}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_failure_leaves_what_was_there(tmp_path):
    write(tmp_path / "out", weights="1")
    with pytest.raises(OSError, match="File name too long"):
        write(tmp_path / "out", **{"weights": "half", "x" * 300: "too long a name"})
    assert contents(tmp_path / "out") == {"weights": "1"}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def killed(output, **there):
    """What a killed export leaves beside `output`: directories by name, with one file of this text."""
    here = output.with_name(f".{output.name}.bert_jax")
    for name, text in there.items():
        (here / name).mkdir(parents=True)
        (here / name / "weights").write_text(text)
        (here / name / "export.json").write_text('{"files": ["weights"]}')
    (here / "bert_jax.txt").write_text("prepared here")
    return here


def test_what_a_killed_export_left_is_cleared(tmp_path):
    write(tmp_path / "out", weights="1")
    killed(tmp_path / "out", new="half", old="0")
    write(tmp_path / "out", vocab="a")
    assert contents(tmp_path / "out") == {"vocab": "a"}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_one_that_was_killed_right_at_its_begin_is_cleared(tmp_path):
    (tmp_path / ".out.bert_jax").mkdir()
    write(tmp_path / "out", vocab="a")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def write_first(output):
    with first_directory(output) as directory:
        (directory / "a").write_text("new")


@pytest.mark.parametrize("make", [write, write_first])
def test_what_lies_beside_and_is_not_ours_is_not_touched(tmp_path, make):
    others = [tmp_path / f"out.{end}" for end in ("export-tmp", "export-old", "partial")]
    for other in others:
        other.mkdir()
        (other / "notes").write_text("mine")
    make(tmp_path / "out")
    assert [(other / "notes").read_text() for other in others] == ["mine"] * 3
    (tmp_path / ".another.bert_jax").mkdir()
    (tmp_path / ".another.bert_jax" / "notes").write_text("mine")
    with pytest.raises(UserError, match=r"\.another\.bert_jax is in the way, and nothing of bert_jax; move it away$"):
        make(tmp_path / "another")
    assert (tmp_path / ".another.bert_jax" / "notes").read_text() == "mine"
    assert not (tmp_path / "another").exists()


def test_files_of_others_that_come_meanwhile_are_not_touched(tmp_path, monkeypatch):
    write(tmp_path / "out", weights="1")

    def somebody_writes(directory):
        (tmp_path / "out" / "thesis.tex").write_text("mine")

    monkeypatch.setattr(new_directory_module, "_write_list", somebody_writes)
    with pytest.raises(UserError, match=r"holds thesis\.tex, which no export wrote"):
        write(tmp_path / "out", weights="2")
    assert contents(tmp_path / "out") == {"weights": "1", "thesis.tex": "mine"}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("earlier_export", [True, False])
def test_files_of_others_are_not_touched(tmp_path, earlier_export):
    if earlier_export:
        write(tmp_path / "out", weights="1")
    (tmp_path / "out").mkdir(exist_ok=True)
    (tmp_path / "out" / "thesis.tex").write_text("mine")
    before = sorted(path.name for path in (tmp_path / "out").iterdir())
    with pytest.raises(UserError, match=r"holds thesis\.tex, which no export wrote"):
        write(tmp_path / "out", weights="2")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == before


def write_pooling(output, text, **more):
    with new_directory(output) as aside:
        (aside / "1_Pooling").mkdir()
        for name, content in {"config.json": text, **more}.items():
            (aside / "1_Pooling" / name).write_text(content)


def test_files_of_others_in_a_directory_within_are_not_touched(tmp_path):
    out, pooling = tmp_path / "out", tmp_path / "out" / "1_Pooling"
    write_pooling(out, "1", **{"more.json": "1"})
    assert json.loads((out / "export.json").read_text()) == {"files": ["1_Pooling/config.json", "1_Pooling/more.json"]}
    write_pooling(out, "2")
    assert contents(pooling) == {"config.json": "2"}
    (pooling / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match=r"out holds 1_Pooling/notes\.txt, which no export wrote; give a new directory"):
        write_pooling(out, "3")
    assert contents(pooling) == {"config.json": "2", "notes.txt": "mine"}
    (pooling / "notes.txt").unlink()
    (pooling / "config.json").unlink()
    write(out, weights="3")
    assert [path.name for path in out.iterdir() if path.name != "export.json"] == ["weights"]


def test_the_list_of_an_earlier_export_names_directories_within(tmp_path):
    write_pooling(tmp_path / "out", "1")
    (tmp_path / "out" / "export.json").write_text('{"files": ["1_Pooling"]}')
    write_pooling(tmp_path / "out", "2")
    assert contents(tmp_path / "out" / "1_Pooling") == {"config.json": "2"}


@pytest.mark.parametrize("content", ['["thesis.tex"]', '{"files": {"thesis.tex": 1}}', "{}", "[" * 100_000, "\xff"])
def test_a_foreign_list_is_no_licence(tmp_path, content):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "export.json").write_text(content, encoding="latin-1")
    with pytest.raises(UserError, match=r"out/export.json is .*; it was not written by an export; give a new dir"):
        write(tmp_path / "out", weights="2")


def test_an_earlier_export_stays_until_the_next_is_whole(tmp_path):
    """Also when a kill came between the two renamings that put a new one in its place."""
    killed(tmp_path / "out", old="1", new="2")
    with pytest.raises(ZeroDivisionError), new_directory(tmp_path / "out") as aside:
        (aside / "weights").write_text(str(1 / 0))
    assert contents(tmp_path / "out") == {"weights": "1"}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_an_error_between_the_two_renamings_leaves_what_was_there(tmp_path, monkeypatch):
    write(tmp_path / "out", weights="1")
    with pytest.raises(OSError, match="No such file"), new_directory(tmp_path / "out"):
        monkeypatch.setattr(new_directory_module, "_write_list", lambda directory: directory.rmtree())
    assert contents(tmp_path / "out") == {"weights": "1"}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_file_is_no_directory(tmp_path):
    (tmp_path / "out").write_text("mine")
    with pytest.raises(UserError, match="is a file"):
        write(tmp_path / "out", weights="2")


def test_the_directory_may_be_named_from_within(tmp_path, monkeypatch):
    (tmp_path / "out").mkdir()
    monkeypatch.chdir(tmp_path)
    write("out/", weights="1")
    write("./out/../out", weights="2")
    assert contents(tmp_path / "out") == {"weights": "2"}


def test_a_link_stays_and_what_it_leads_to_is_replaced(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "disk")
    write(tmp_path / "out", weights="1")
    write(tmp_path / "out", weights="2")
    assert (tmp_path / "out").readlink() == tmp_path / "disk"
    assert contents(tmp_path / "disk") == {"weights": "2"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["disk", "out"]


def test_the_first_one_may_be_where_a_link_leads(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "disk")
    with first_directory(tmp_path / "link") as directory:
        (directory / "a").write_text("new")
    assert (tmp_path / "link").is_symlink()
    assert contents(tmp_path / "disk") == {"a": "new"}
