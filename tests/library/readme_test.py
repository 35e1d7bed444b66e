"""README's section "As a library", line by line, on small models: what comes out is right."""

import json
import re
from pathlib import Path

import jax
import numpy as np
import pytest

import bert_jax
from bert_jax.inference.fill_mask import fill_masks
from bert_jax.inference.predictor import load_predictor
from bert_jax.objectives.pretraining import PretrainingObjective

README = (Path(__file__).parents[2] / "README.md").read_text()
SECTION = README[README.index("## As a library") : README.index("## Records at the size of Wikipedia")]
BLOCKS = re.findall(r"^```python\n(.*?)^```", SECTION, re.MULTILINE | re.DOTALL)
STEPS = 60
SMALLER = {
    "range(1000)": f"range({STEPS})",
    "decay_steps=1000": f"decay_steps={2 * STEPS}",
    "warmup_steps=100": "warmup_steps=10",
    "number % 100": "number % 1",
    # So that the loss of a batch is a number that another implementation can make too.
    "intermediate_size=512": "intermediate_size=512, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0",
}


@pytest.fixture(scope="module")
def places(chain, finished_run, workdirs, tmp_path_factory):
    directory = tmp_path_factory.mktemp("library")
    workdirs.write_workdir(directory / "follows", "classification")
    return {
        "runs/quickstart/train": finished_run,
        "runs/quickstart/records": chain.records(32),
        "runs/follows/model": directory / "follows",
        "runs/mine": directory / "mine",
    }


@pytest.fixture(scope="module")
def after(places):
    """All names that README's code has defined after each of its blocks."""
    names, found = {"printed": []}, []
    names["print"] = names["printed"].append
    for block in BLOCKS:
        for readmes, ours in (places | SMALLER).items():
            block = block.replace(readmes, str(ours))
        names = dict(names)
        exec(compile(block, "README.md", "exec"), names)
        found.append(names)
    assert len(found) == 4
    return found


def test_words_are_those_of_the_verb(after, places, tmp_path):
    answer = after[0]["answer"]
    (tmp_path / "texts.txt").write_text(answer["text"] + "\n")
    fill_masks(places["runs/quickstart/train"], f"{tmp_path}/texts.txt", f"{tmp_path}/out.jsonl", best=5)
    theirs = json.loads((tmp_path / "out.jsonl").read_text())
    assert (theirs["filled"], len(theirs["masks"])) == (answer["filled"], 1)
    for ours, their in zip(answer["masks"][0], theirs["masks"][0], strict=True):
        assert (ours["token"], pytest.approx(ours["probability"], abs=2e-6)) == tuple(their.values())


def test_vectors_are_means_of_the_states_of_apply(after):
    model, vectors = after[0]["model"], after[0]["vectors"]
    batch = model.encode(["Open a file.", "A file is opened."])
    states, mask = model.apply(model.params, batch).hidden_states[-1], batch["attention_mask"][:, :, None]
    means = (states * mask).sum(axis=1) / mask.sum(axis=1)
    np.testing.assert_allclose(vectors, means / np.linalg.norm(means, axis=1, keepdims=True), atol=1e-6)


def test_answers_are_those_of_the_verb(after, places):
    predictor = load_predictor(places["runs/follows/model"])
    pairs = [("Open the file.", "It is read then."), ("Open the file.", "A list is sorted.")]
    theirs = predictor.answers([predictor.task.example(pair, "") for pair in pairs])
    for ours, their in zip(after[1]["answers"], theirs, strict=True):
        assert ours["label"] == their["label"]
        assert ours["probabilities"] == pytest.approx(their["probabilities"], abs=1e-6)


def test_the_gradient_is_that_of_differences(after):
    loss, gradients, head = (after[2][name] for name in ("loss", "gradients", "head"))
    direction = np.random.default_rng(0).normal(size=head.shape).astype(np.float32)

    def at(change):
        params = {"bert": after[2]["model"].params, "head": head + change * direction}
        return float(loss(params, np.array([0, 1]), jax.random.key(0)))

    assert (at(1e-2) - at(-1e-2)) / 2e-2 == pytest.approx(float((gradients["head"] * direction).sum()), rel=2e-3)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients))
    assert any(np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(gradients["bert"]["encoder"]["layer_0"]))


def test_the_loss_is_that_of_pretraining(after, places):
    loss, model = after[3]["loss"], after[3]["model"]
    batch = next(bert_jax.read_records(places["runs/quickstart/records"], batch_size=32))
    objective = PretrainingObjective(model.config)
    logits = jax.jit(objective.model().apply)(model.params, **objective.inputs(batch))
    expected = objective.loss(objective.sums(logits, batch), objective.weights(batch))
    assert float(loss(model.params, batch, jax.random.key(0))) == pytest.approx(float(expected), rel=1e-5)
    assert after[3]["printed"][0] == f"step 0: {expected:.3f}"


def test_the_loss_falls_and_the_model_is_kept(after, places):
    losses = [float(line.partition(": ")[2]) for line in after[3]["printed"]]
    assert len(losses) == STEPS
    assert np.mean(losses[-5:]) < np.mean(losses[:5]) - 0.8
    again = bert_jax.load(places["runs/mine"])
    assert again.fill_mask(after[3]["answer"]["text"]) == after[3]["answer"]
    assert after[3]["answer"] != after[0]["answer"]
