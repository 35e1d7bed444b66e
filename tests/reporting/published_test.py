"""The paper's numbers are told of the paper's configs only."""

import dataclasses
import runpy
from pathlib import Path

import pytest

from bert_jax.reporting.published import anchor_of

CONFIGS = Path(__file__).parents[2] / "configs"


def config_of(name):
    config = runpy.run_path(str(CONFIGS / f"{name}.py"))["get_config"]().resolved()
    return dataclasses.replace(config, model=dataclasses.replace(config.model, vocab_size=30522))  # as in a workdir


@pytest.mark.parametrize(("name", "loss"), [("bert_base", "1.38"), ("bert_large", "1.17")])
def test_a_config_of_the_paper(name, loss):
    config = config_of(name)
    assert f"held-out masked-LM loss of {loss}" in anchor_of(config)
    assert "arXiv 1810.04805" in anchor_of(config)
    for changed in (
        dataclasses.replace(config, scale=0.001).resolved(),
        dataclasses.replace(config, teacher="elsewhere"),
        dataclasses.replace(config, model=dataclasses.replace(config.model, pre_norm=True)),
        dataclasses.replace(config, data=dataclasses.replace(config.data, masking="bert")),
    ):
        assert anchor_of(changed) == ""


@pytest.mark.parametrize("name", ["tiny", "roberta_base", "albert_base", "bert_large_lamb"])
def test_another_config(name):
    assert anchor_of(config_of(name)) == ""
