"""README's recipes, command for command, on real files: with a very small model, and for a few steps."""

import json
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


# A model as small as that of finished_run, and steps of which a hundredth is a few.
SMALL = [
    *(f"--config.model.{size}" for size in ("hidden_size=32", "num_hidden_layers=1", "num_attention_heads=2")),
    *(f"--config.model.{size}" for size in ("intermediate_size=64", "max_position_embeddings=64")),
    *("--config.phases[0].steps=300", "--config.phases[0].max_seq_length=32", "--config.phases[0].global_batch_size=8"),
    *("--config.phases[1].steps=200", "--config.phases[1].max_seq_length=64", "--config.phases[1].global_batch_size=8"),
]


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(RECIPES)))
def test_a_recipe(chain, finished_run, runs, number):
    verb, flags = RECIPES[number]
    flags = [flag.replace("=MODEL", f"={finished_run}").replace("=runs/", f"={runs}/") for flag in flags]
    if verb == "pretrain":
        flags = [flag.replace("=records/bio/", f"={chain.directory}/records-") for flag in flags]
        done = chain.run(verb, *flags, *SMALL)
        assert "trained to step 5;" in done.stderr
        begun_with = json.loads((runs / "bio" / "config.json").read_text())
        assert begun_with["init_from"] == str(finished_run)
        assert [phase["steps"] for phase in begun_with["phases"]] == [3, 2]
        return
    if not DATA.exists():
        pytest.skip("needs the labelled files beside the project")
    folders = "|".join(folder.name for folder in DATA.iterdir())
    flags = [re.sub(rf"(?<=[=,])(?=({folders})/)", f"{DATA}/", flag) for flag in flags]
    if verb == "finetune":
        flags += ["--config.fit.steps=2", "--config.text.max_shapes=1"]
    done = chain.run(verb, *flags)
    workdir = Path(next(flag for flag in flags if flag.startswith(("--workdir", "--output"))).partition("=")[2])
    if verb == "finetune":
        assert (workdir / "task.json").exists()
        assert "<!DOCTYPE html>" in (workdir / "report.html").read_text()
    else:
        assert "ndcg@10" in done.stdout.lower()
