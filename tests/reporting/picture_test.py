"""Picture files: refused before work where they cannot be written, and whole or absent."""

import re

import pytest
from matplotlib.figure import Figure

from bert_jax.errors import UserError
from bert_jax.reporting.picture import check_picture, write_figure
from bert_jax.storage import whole_file


@pytest.mark.parametrize("kind", ["svg", "png", "pdf"])
def test_a_picture_may_be_written_anew(tmp_path, kind):
    path = tmp_path / "new" / f"a.{kind}"
    for _ in range(2):
        check_picture(path)
        write_figure(Figure(), path)
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("name", ["a.pgf", "a.eps", "a", "a.html"])
def test_other_kinds_are_one_line(tmp_path, name):
    with pytest.raises(UserError, match=r"--picture=.* give a name that ends in \.svg, \.png or \.pdf"):
        check_picture(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_places_where_none_can_be_written_are_one_line(tmp_path):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "a.svg").mkdir()
    (tmp_path / "mine.png").write_text("mine")
    (tmp_path / "gone").symlink_to("nowhere")
    for path, line in (
        (tmp_path / "file" / "a.svg", f"{tmp_path}/file is a file; give a directory"),
        (tmp_path / "gone" / "a.svg", "is a link to nowhere, which is not there"),
        (tmp_path / "a.svg", "is a directory; give a file"),
        (tmp_path / "mine.png", "is there already and of another origin; give a new file"),
    ):
        with pytest.raises(UserError, match=f"^--picture=.*{re.escape(line)}"):
            check_picture(path)


def test_a_picture_that_is_there_stays_until_the_new_one_is_whole(tmp_path, monkeypatch):
    write_figure(Figure(), tmp_path / "a.svg")
    before = (tmp_path / "a.svg").read_bytes()

    def disk_is_full(number):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(whole_file.os, "fsync", disk_is_full)
    with pytest.raises(OSError, match="No space left"):
        write_figure(Figure(figsize=(2, 1)), tmp_path / "a.svg")
    assert (tmp_path / "a.svg").read_bytes() == before
    assert list(tmp_path.iterdir()) == [tmp_path / "a.svg"]


def test_the_verb_refuses_a_picture_before_it_writes_the_page(tmp_path, finished_run, chain):
    (tmp_path / "file").write_text("mine")
    output = tmp_path / "page.html"
    picture = f"{tmp_path}/file/a.svg"
    flags = f"--workdir={finished_run}", f"--output={output}", f"--picture={picture}"
    done = chain.run("report", *flags, check=False)
    assert done.returncode != 0
    assert f"--picture={tmp_path}/file is a file; give a directory" in done.stderr
    assert not output.exists()
