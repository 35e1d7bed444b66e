"""README's recipes, command for command, on real files: with a very small model, and for a few steps."""

import re
import shlex
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DATA = ROOT.parent / "shared" / "tasks"
COMMAND = re.compile(r"^    \.venv/bin/python -m bert_jax\.(\w+) ((?:.*\\\n)*.*)$", re.MULTILINE)


def recipes():
    text = (ROOT / "README.md").read_text()
    section = text[text.index("### Recipes") :]
    section = section[: section.index("\n## ")]
    return [(verb, shlex.split(flags.replace("\\\n", " "))) for verb, flags in COMMAND.findall(section)]


RECIPES = recipes()


def test_there_are_recipes():
    assert len(RECIPES) == 11
    assert all(flag.startswith("--") for _, flags in RECIPES for flag in flags)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return tmp_path_factory.mktemp("recipes")


@pytest.mark.slow
@pytest.mark.skipif(not DATA.exists(), reason="needs the labelled files beside the project")
@pytest.mark.parametrize("number", range(len(RECIPES)))
def test_a_recipe(chain, finished_run, runs, number):
    verb, flags = RECIPES[number]
    if verb == "pretrain":
        chain.pretrain(runs / "bio", f"--config.init_from={finished_run}")
        return
    folders = "|".join(folder.name for folder in DATA.iterdir())
    flags = [re.sub(rf"(?<=[=,])(?=({folders})/)", f"{DATA}/", flag) for flag in flags]
    flags = [flag.replace("=MODEL", f"={finished_run}").replace("=runs/", f"={runs}/") for flag in flags]
    if verb == "finetune":
        flags += ["--config.fit.steps=2", "--config.text.max_shapes=1"]
    done = chain.run(verb, *flags)
    workdir = Path(next(flag for flag in flags if flag.startswith(("--workdir", "--output"))).partition("=")[2])
    if verb == "finetune":
        assert (workdir / "task.json").exists()
        assert "<!DOCTYPE html>" in (workdir / "report.html").read_text()
    else:
        assert "ndcg@10" in done.stdout.lower()
