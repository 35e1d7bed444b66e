"""The whole of it against the originals' own code: they read our records and our weights, train, and we do the same.

BERT with Adam, ALBERT with LAMB and shared layers. Same batches, no dropout: every step's losses, the weights and the
optimizer's moments at the end must be ours. The originals' functions run under TensorFlow 2 in a process of their own,
see pretrain.py and pretrain_albert.py beside this file.
"""

import dataclasses
import importlib.util
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from etils import epath

from bert_jax.config import MeshConfig, ModelConfig, OptimizerConfig, PhaseConfig
from bert_jax.data.source import RecordSource
from bert_jax.interchange.tensorflow import find_checkpoint, read_state, read_tensorflow, write_tensorflow
from bert_jax.model.functional import Params, flatten
from bert_jax.model.pretraining import pretraining_model
from bert_jax.objectives.pretraining import PretrainingObjective
from bert_jax.parallel.mesh import make_mesh
from bert_jax.text.load_tokenizer import load_tokenizer
from bert_jax.training.optimizer import make_optimizer
from bert_jax.training.state import state_shardings
from bert_jax.training.step import StepOptions, dropout_key, train_step
from bert_jax.workdir.trained import Trained
from tests.interchange.albert_checkpoint_test import random_params, write_checkpoint

pytestmark = pytest.mark.skipif(
    not all(importlib.util.find_spec(name) for name in ("bert", "albert", "tensorflow")),
    reason="needs tensorflow-cpu, bert-tensorflow and albert-tensorflow",
)
ROWS, STEPS, WARMUP = 8, 12, 4
MODEL = ModelConfig(
    hidden_size=32,
    num_hidden_layers=2,
    num_attention_heads=4,
    intermediate_size=64,
    max_position_embeddings=32,
    hidden_act="gelu_tanh",
    hidden_dropout_prob=0.0,
    attention_probs_dropout_prob=0.0,
)
# Two layers, each used twice, and a table narrower than they are.
ALBERT = dataclasses.replace(MODEL, num_hidden_layers=4, num_hidden_groups=2, embedding_size=16)
NO_GRADIENT = "key/bias"  # adds the same to all of a query's scores; what it gets is rounding


@dataclasses.dataclass
class Start:
    """What both begin with."""

    family: str
    config: ModelConfig
    optimizer: OptimizerConfig
    directory: Path  # the weights, as the original stores them
    params: Params
    batches: list[dict[str, np.ndarray]]


@pytest.fixture(scope="module", params=["bert", pytest.param("albert", marks=pytest.mark.slow)])
def start(request, chain, tmp_path_factory):
    tokenizer, directory = load_tokenizer(chain.vocab), epath.Path(tmp_path_factory.mktemp("export"))
    if request.param == "bert":
        config = dataclasses.replace(MODEL, vocab_size=tokenizer.vocab_size)
        params = random_params(config)
        write_tensorflow(directory, Trained(1000, params, {}, {}), config, tokenizer)
        optimizer = OptimizerConfig(learning_rate=1e-3, warmup_steps=WARMUP)
    else:
        config = dataclasses.replace(ALBERT, vocab_size=tokenizer.vocab_size)
        params = write_checkpoint(directory, config)
        optimizer = OptimizerConfig(learning_rate=1e-2, warmup_steps=WARMUP, trust_ratio=True)
    source = RecordSource(chain.records(32), "train")
    rows = [[source[step * ROWS + row] for row in range(ROWS)] for step in range(STEPS)]
    batches = [{name: np.stack([record[name] for record in batch]) for name in batch[0]} for batch in rows]
    return Start(request.param, config, optimizer, directory, params, batches)


@pytest.fixture(scope="module")
def theirs(chain, start, tmp_path_factory):
    """The directory in which the original has left its losses and its checkpoint."""
    output = tmp_path_factory.mktemp("original")
    done = subprocess.run(
        [
            sys.executable,
            Path(__file__).with_name("pretrain.py" if start.family == "bert" else "pretrain_albert.py"),
            f"--{start.family}_config_file={start.directory}/{start.family}_config.json",
            f"--init_checkpoint={find_checkpoint(start.directory)}",
            f"--input_file={chain.records(32)}/bert-train.tfrecord-*",
            f"--output_dir={output}",
            "--max_seq_length=32",
            "--max_predictions_per_seq=6",
            f"--train_batch_size={ROWS}",
            f"--num_train_steps={STEPS}",
            f"--num_warmup_steps={WARMUP}",
            f"--learning_rate={start.optimizer.learning_rate}",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    settings = f"{start.family}_config.json"
    (output / settings).write_text((start.directory / settings).read_text())
    return output


@pytest.fixture(scope="module")
def ours(start):
    """Our state after the same steps, and every step's means."""
    model = pretraining_model(start.config)
    optimizer = make_optimizer(start.optimizer, [PhaseConfig(steps=STEPS)])
    mesh = make_mesh(MeshConfig(1, 1, 1), jax.devices()[:1])
    shardings = state_shardings(model, optimizer, mesh, shard_over_data=True)
    key, objective = dropout_key(0, "threefry", "cpu"), PretrainingObjective(start.config)
    step = jax.jit(train_step(objective, model, optimizer, shardings["params"], key, StepOptions()))
    state = {"step": 0, "params": start.params, "opt_state": optimizer.init(start.params)}
    means_of_steps = []
    for batch in start.batches:
        state, sums = step(state, batch)
        means_of_steps.append(objective.means(sums))
    return jax.device_get(state), means_of_steps


def test_the_same_log_probabilities(start, theirs):
    objective = PretrainingObjective(start.config)
    logits = jax.jit(objective.model().apply)(start.params, **objective.inputs(start.batches[0]))
    with np.load(theirs / "losses.npz") as found:
        for name, ours in (("masked_lm", logits.masked_lm), ("next_sentence", logits.pair_logits)):
            expected = np.asarray(jax.nn.log_softmax(ours))
            np.testing.assert_allclose(found[name], expected.reshape(found[name].shape), rtol=0, atol=2e-5)


def test_the_same_losses_at_every_step(theirs, ours):
    with np.load(theirs / "losses.npz") as found:
        for name in ("masked_lm_loss", "next_sentence_loss"):
            np.testing.assert_allclose([means[name] for means in ours[1]], found[name], rtol=0, atol=2e-5)
        assert np.ptp(found["masked_lm_loss"]) > 0.1


def test_the_same_weights_after_training(start, theirs, ours):
    found = read_tensorflow(theirs / "model.ckpt", start.config)
    assert found.config == start.config
    before = flatten(start.params)
    for path, array in flatten(ours[0]["params"]).items():
        moved = np.abs(array - before[path]).max()
        tolerance = 2e-5 if path.endswith(NO_GRADIENT) else min(2e-5, moved / 5)
        np.testing.assert_allclose(found.arrays[path], array, rtol=0, atol=tolerance, err_msg=path)


def test_the_same_moments_after_training(start, theirs, ours):
    found, adam = read_state(theirs / "model.ckpt", start.config), ours[0]["opt_state"]["adam"]
    assert found.step == STEPS
    for expected, moments in ((adam.mu, found.mu), (adam.nu, found.nu)):
        rounding = 1e-6 * max(np.abs(array).max() for array in flatten(moments).values())
        for path, array in flatten(moments).items():
            tolerance = 1 if path.endswith(NO_GRADIENT) else 2e-4 * np.abs(array).max() + rounding
            np.testing.assert_allclose(flatten(expected)[path], array, rtol=0, atol=tolerance, err_msg=path)
