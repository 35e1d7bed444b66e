"""What the system says of a path is one line; where no directory can be made is said before the work for it."""

import errno

import pytest
from etils import epath

from bert_jax.errors import UserError
from bert_jax.storage.paths import check_arguments, check_file, check_place, refusal
from bert_jax.storage.whole_file import replace_text


def raised(act):
    with pytest.raises(OSError) as error:
        act()
    return error.value


def test_each_reason_names_path_and_remedy(tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "dir" / "full").mkdir(parents=True)
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for act, path, reason, remedy in (
        (lambda: (tmp_path / "none").read_text(), "none", "no such file or directory", "correct the path"),
        (lambda: (tmp_path / "file" / "a").read_text(), "file/a", "not a directory", "directories only"),
        (lambda: (tmp_path / "loop").read_text(), "loop", "too many levels of symbolic links", "fix them"),
        (lambda: tmp_path.read_text(), "", "is a directory", "give a file"),
        (lambda: (tmp_path / "file").mkdir(), "file", "file exists", "move it away"),
        (lambda: (tmp_path / ("a" * 300)).read_text(), "a" * 300, "file name too long", "give a shorter one"),
        (lambda: epath.Path(tmp_path / "none").read_text(), "none", "no such file", "correct the path"),
        (lambda: replace_text(tmp_path / "dir", "x"), "dir", "is a directory", "give a file"),
    ):
        said = refusal(raised(act))
        assert said.startswith(f"{tmp_path / path}: {reason}"), said
        assert remedy in said
        assert "\n" not in said


def test_what_has_no_path_or_is_no_refusal_is_not_explained():
    assert refusal(OSError(errno.EIO, "Input/output error")) is None
    assert refusal(KeyError("x")) is None


def test_a_place_where_a_directory_may_be_made_or_is(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "there")
    for path in ("there", "link", "link/new", "new", "new/newer/newest"):
        check_place(tmp_path / path, "output")
    check_place("gs://bucket/a", "output")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "there"]


def test_a_place_where_none_can_be(tmp_path):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "to_file").symlink_to(tmp_path / "file")
    (tmp_path / "dangling").symlink_to(tmp_path / "gone")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for path, reason in (
        ("file", "is a file; give a directory"),
        ("to_file", "is a file; give a directory"),
        ("file/a", "not a directory"),
        ("dangling", f"is a link to {tmp_path}/gone, which is not there"),
        ("dangling/a/b", f"is a link to {tmp_path}/gone, which is not there"),
        ("loop", "too many levels of symbolic links"),
        ("loop/a", "too many levels of symbolic links"),
        ("a" * 300, "file name too long"),
    ):
        with pytest.raises(UserError) as error:
            check_place(tmp_path / path, "workdir")
        assert str(error.value).startswith(f"--workdir={tmp_path / path}")
        assert reason in str(error.value)
    assert (tmp_path / "file").read_text() == "mine"
    assert not (tmp_path / "gone").exists()


def test_arguments_that_are_no_paths_or_good_ones_pass(tmp_path):
    (tmp_path / "a,b").mkdir()
    arguments = [
        "--kind=wordpiece",
        "--input=gs://b/*.txt,python-docs",
        f"--input={tmp_path}/*.txt",
        "--x",
        "\0",
        "a" * 5000,
    ]
    check_arguments(
        [*arguments, f"--config.data.records={tmp_path}/none/{{max_seq_length}}", f"--vocab={tmp_path}/none"]
    )
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(UserError, match=f"^{tmp_path}/loop: too many levels of symbolic links"):
        check_arguments([f"--input=a.txt,{tmp_path}/loop"])


def test_only_files_of_ours_are_written_anew(tmp_path):
    (tmp_path / "page.html").write_text("<!DOCTYPE html>\n<html>")
    (tmp_path / "empty").write_text("")
    (tmp_path / "accounts").write_text("root:x:0:0\n")
    for path in (None, "", tmp_path / "new", tmp_path / "page.html", tmp_path / "empty"):
        check_file(path, "output", b"<!DOCTYPE html>")
    with pytest.raises(
        UserError, match=r"--output=.*/accounts is there already and of another origin; give a new file"
    ):
        check_file(tmp_path / "accounts", "output", b"<!DOCTYPE html>")
    (tmp_path / "dangling").symlink_to(tmp_path / "gone")
    with pytest.raises(UserError, match=r"is a link to .*/gone, which is not there"):
        check_file(tmp_path / "dangling", "output", b"<!DOCTYPE html>")
    with pytest.raises(UserError, match=r"--output=.*/accounts is a file; give a directory"):
        check_file(tmp_path / "accounts" / "page.html", "output", b"<!DOCTYPE html>")
    with pytest.raises(UserError, match="is a directory; give a file"):
        check_file(tmp_path, "output", b"<!DOCTYPE html>")
