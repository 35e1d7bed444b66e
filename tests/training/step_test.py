"""One step, however it is split: over devices, accumulation steps, layers recomputed, pieces that are clipped apart."""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from bert_jax.config import MeshConfig, OptimizerConfig, PhaseConfig
from bert_jax.model.pretraining import pretraining_model
from bert_jax.objectives.pretraining import PretrainingObjective
from bert_jax.parallel.axes import batch_sharding
from bert_jax.parallel.mesh import make_mesh
from bert_jax.training.optimizer import clip, make_optimizer
from bert_jax.training.state import state_shardings
from bert_jax.training.step import StepOptions, dropout_key, jit_train_step, train_step
from tests.layer_fields import FIELDS

ROWS, STEPS = 16, 3
PAPER = "paper"  # its optimizer, at a rate that moves the weights at once
DESCENT = optax.sgd(1.0)  # new weights are the old ones minus the gradient
STILL = optax.set_to_zero()  # weights stay


class Run:
    """Everything that a few steps need, and their compilation."""

    def __init__(self, config, sizes, optimizer=PAPER, *, bits="threefry", dtype="float32", remat="none", **split):
        objective = PretrainingObjective(config)
        model = objective.model(dtype, remat)
        config = OptimizerConfig(learning_rate=1e-3, warmup_steps=0, clip_pieces=split.get("clip_pieces", 1))
        self.mesh = make_mesh(MeshConfig(*sizes), jax.devices()[: math.prod(sizes)])
        self.optimizer = make_optimizer(config, [PhaseConfig(steps=100)]) if optimizer is PAPER else optimizer
        self.shardings = state_shardings(model, self.optimizer, self.mesh, shard_over_data=True)
        options = StepOptions(split.get("accumulation_steps", 1), config.clip_pieces, clip(config))
        key = dropout_key(0, bits, "cpu")
        step = train_step(objective, model, self.optimizer, self.shardings["params"], key, options)
        self.step = jit_train_step(step, self.mesh, self.shardings)

    def start(self, params):
        state = {"step": np.int32(0), "params": params, "opt_state": self.optimizer.init(params)}
        return jax.device_put(state, self.shardings)

    def steps(self, params, batches):
        """The last parameters and each step's sums, as NumPy arrays."""
        state, seen = self.start(params), []
        with jax.set_mesh(self.mesh):
            for batch in batches:
                state, sums = self.step(state, jax.device_put(batch, batch_sharding(self.mesh)))
                seen.append(jax.tree.map(np.asarray, sums))
        assert int(state["step"]) == len(batches)
        return jax.tree.map(np.asarray, state["params"]), seen


@pytest.fixture(scope="module")
def one_layer(model_config):
    return dataclasses.replace(model_config, num_hidden_layers=1)


@pytest.fixture(scope="module")
def without_dropout(one_layer):
    return dataclasses.replace(one_layer, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)


@pytest.fixture(scope="module")
def params(one_layer):
    """Fresh weights as NumPy arrays; state_test.py sees to it that a mesh makes the same ones."""
    return jax.tree.map(np.asarray, jax.jit(pretraining_model(one_layer).init)(jax.random.key(0)))


@pytest.fixture(scope="module")
def batches(make_batch):
    return [make_batch(ROWS, seed) for seed in range(STEPS)]


@pytest.fixture(scope="module")
def on_one_device(one_layer, params, batches):
    """With dropout; what every other way to compute the same is held against."""
    return Run(one_layer, (1, 1, 1)).steps(params, batches)


def assert_same_run(ours, expected):
    """To rounding: sums to a few float32 units, weights to 1/300 of what three steps of rate 1e-3 move them by.

    Not closer, because Adam divides by sqrt(v): where a gradient is nearly zero, its rounding is as large as itself.
    """
    for mine, theirs in zip(ours[1], expected[1], strict=True):
        assert mine.keys() == theirs.keys()
        for name in theirs:
            np.testing.assert_allclose(mine[name], theirs[name], rtol=2e-5, err_msg=name)
    for path, theirs in jax.tree_util.tree_leaves_with_path(expected[0]):
        mine = functools.reduce(lambda tree, entry: tree[entry.key], path, ours[0])
        np.testing.assert_allclose(mine, theirs, rtol=0, atol=1e-5, err_msg=jax.tree_util.keystr(path))


@pytest.mark.parametrize(
    "sizes",
    [
        *(pytest.param(sizes, marks=pytest.mark.slow) for sizes in ((8, 1, 1), (1, 1, 8), (1, 1, 1, 8), (1, 2, 2, 2))),
        (2, 2, 2),
        (2, 2, 1, 2),  # two groups of devices with all shards
    ],
    ids=str,
)
def test_eight_devices_are_one_with_dropout(one_layer, params, batches, on_one_device, sizes):
    assert_same_run(Run(one_layer, sizes).steps(params, batches), on_one_device)


@pytest.mark.parametrize("remat", [pytest.param("dots", marks=pytest.mark.slow), "full"])
def test_recomputed_layers_change_nothing(one_layer, params, batches, on_one_device, remat):
    assert_same_run(Run(one_layer, (1, 1, 1), remat=remat).steps(params, batches), on_one_device)


@pytest.fixture(scope="module")
def unlike_bert(one_layer, batches):
    """The config with all fields of layers that are not BERT's, fresh weights, and what one device makes of them."""
    config = dataclasses.replace(one_layer, **FIELDS)
    params = jax.tree.map(np.asarray, jax.jit(pretraining_model(config).init)(jax.random.key(0)))
    return config, params, Run(config, (1, 1, 1)).steps(params, batches)


@pytest.mark.parametrize(
    ("sizes", "remat"),
    [
        ((2, 2, 2), "full"),
        *(pytest.param((8, 1, 1), remat, marks=pytest.mark.slow) for remat in ("none", "dots")),
        pytest.param((1, 8, 1), "none", marks=pytest.mark.slow),
        pytest.param((1, 1, 8), "dots", marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_layers_that_are_not_berts_are_the_same_on_eight_devices(unlike_bert, batches, sizes, remat):
    config, params, expected = unlike_bert
    assert_same_run(Run(config, sizes, remat=remat).steps(params, batches), expected)


def test_bfloat16_computes_nearly_the_same_with_float32_weights(one_layer, params, batches, on_one_device):
    after, sums = Run(one_layer, (1, 1, 1), dtype="bfloat16").steps(params, batches)
    assert {leaf.dtype for leaf in jax.tree.leaves(after)} == {np.dtype(np.float32)}
    for mine, theirs in zip(sums, on_one_device[1], strict=True):
        for name in ("masked_lm_loss", "next_sentence_loss"):
            assert mine[name] == pytest.approx(theirs[name], rel=1e-2)  # 8 bits of mantissa, averaged over the batch
            assert mine[name] != theirs[name]


def losses(run, params, batches):
    return [float(sums["masked_lm_loss"]) for sums in run.steps(params, batches)[1]]


@pytest.fixture(scope="module")
def two_pieces(one_layer):
    return Run(one_layer, (1, 1, 1), STILL, accumulation_steps=2)


@pytest.fixture(scope="module")
def hardware_generator(one_layer):
    return Run(one_layer, (4, 2, 1), STILL, bits="rbg")


@pytest.mark.parametrize("name", ["two_pieces", pytest.param("hardware_generator", marks=pytest.mark.slow)])
def test_dropout_is_a_function_of_seed_and_step(params, batches, name, request):
    run = request.getfixturevalue(name)  # weights and batch stay: only dropout differs between steps
    first, again = losses(run, params, batches[:1] * 3), losses(run, params, batches[:1] * 3)
    assert first == again
    assert len(set(first)) == 3


def test_clip_pieces_have_dropout_of_their_own(two_pieces, params, batches):
    """Two pieces that hold the same rows, every other one of the batch, of which only one counts."""
    twins = jax.tree.map(lambda array: np.repeat(array[: ROWS // 2], 2, axis=0), batches[0])
    counts = (np.arange(ROWS) % 2 == 0)[:, None]
    first, second = (twins | {"masked_lm_weights": twins["masked_lm_weights"] * which} for which in (counts, ~counts))
    assert losses(two_pieces, params, [first]) != losses(two_pieces, params, [second])


@pytest.mark.parametrize(
    ("bits", "platform", "implementation"),
    [
        ("auto", "cpu", "fry"),
        ("auto", "tpu", "rbg"),
        ("auto", "gpu", "rbg"),
        ("threefry", "tpu", "fry"),
        ("rbg", "cpu", "rbg"),
    ],
)
def test_which_generator_makes_the_dropout(bits, platform, implementation):
    assert implementation in str(jax.random.key_impl(dropout_key(0, bits, platform)))


@pytest.fixture(scope="module")
def restated_gradient(without_dropout):
    """restated_gradient(params, batch): of the mean loss of these rows alone, as NumPy float64."""
    model = pretraining_model(without_dropout)

    def loss(params, batch):
        inputs = (batch[name] for name in ("input_ids", "input_mask", "segment_ids", "masked_lm_positions"))
        logits = model.apply(params, *inputs)
        words = jnp.take_along_axis(jax.nn.log_softmax(logits.masked_lm), batch["masked_lm_ids"][..., None], axis=-1)
        labels = jnp.take_along_axis(jax.nn.log_softmax(logits.pair_logits), batch["next_sentence_labels"], axis=-1)
        weights = batch["masked_lm_weights"]
        return -(words[..., 0] * weights).sum() / (weights.sum() + 1e-5) - labels.mean()

    gradient = jax.jit(jax.grad(loss))
    return lambda *inputs: jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), gradient(*inputs))


def assert_used_gradient(run, params, batch, expected):
    """A step of DESCENT takes the gradient from the weights."""
    after, (sums,) = run.steps(params, [batch])
    largest = max(np.abs(leaf).max() for leaf in jax.tree.leaves(expected))
    for old, new, gradient in zip(*map(jax.tree.leaves, (params, after, expected)), strict=True):
        np.testing.assert_allclose(old.astype(np.float64) - new, gradient, rtol=0, atol=1e-5 * largest)
    assert float(sums["gradient_norm"]) == pytest.approx(norm(expected), rel=1e-5)
    assert float(sums["next_sentence_weight"]) == ROWS


def norm(tree):
    return np.sqrt(sum((leaf**2).sum() for leaf in jax.tree.leaves(tree)))


@pytest.mark.parametrize(
    ("sizes", "accumulation_steps"), [((1, 1, 1), 1), ((2, 2, 2), 4)], ids=["whole", "four-chunks"]
)
def test_the_gradient_is_that_of_the_mean_loss(
    without_dropout, params, batches, restated_gradient, sizes, accumulation_steps
):
    run = Run(without_dropout, sizes, DESCENT, accumulation_steps=accumulation_steps)
    assert_used_gradient(run, params, batches[0], restated_gradient(params, batches[0]))


@pytest.mark.slow
def test_pieces_are_clipped_each_by_itself_and_summed(without_dropout, params, batches, restated_gradient):
    norms, clipped = [], []
    for rows in np.split(np.arange(ROWS), 8):
        own = restated_gradient(params, {name: array[rows] for name, array in batches[0].items()})
        norms.append(norm(own))
        clipped.append(jax.tree.map(lambda leaf, norm=norms[-1]: leaf / max(norm, 1.0), own))
    assert max(norms) > 1.0  # or nothing is clipped
    run = Run(without_dropout, (2, 2, 2), DESCENT, clip_pieces=8)
    assert_used_gradient(run, params, batches[0], jax.tree.map(lambda *pieces: sum(pieces), *clipped))


@pytest.mark.slow
def test_clipped_pieces_do_not_depend_on_the_mesh(one_layer, params, batches):
    runs = (Run(one_layer, sizes, DESCENT, clip_pieces=8) for sizes in ((1, 1, 1), (4, 2, 1)))
    one, eight = (run.steps(params, batches[:1]) for run in runs)
    assert_same_run(eight, one)


def test_the_old_state_gives_its_memory_to_the_new_one(without_dropout, params, batches):
    run = Run(without_dropout, (8, 1, 1), STILL)
    state = run.start(params)
    with jax.set_mesh(run.mesh):
        after, _ = run.step(state, jax.device_put(batches[0], batch_sharding(run.mesh)))
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(state))
    with pytest.raises(RuntimeError, match="deleted"):
        np.asarray(state["params"]["masked_lm"]["output_bias"])
    same = jax.tree.map(lambda leaf, lies: leaf.sharding.is_equivalent_to(lies, leaf.ndim), after, run.shardings)
    assert all(jax.tree.leaves(same))


@pytest.mark.parametrize("accumulation_steps", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_a_step_without_numbers_changes_nothing_but_the_count_of_steps(one_layer, params, batches, accumulation_steps):
    run = Run(one_layer, (2, 2, 2), accumulation_steps=accumulation_steps)
    poisoned = batches[1] | {"masked_lm_weights": np.full_like(batches[1]["masked_lm_weights"], np.nan)}
    state = run.start(params)
    with jax.set_mesh(run.mesh):
        state, good = run.step(state, jax.device_put(batches[0], batch_sharding(run.mesh)))
        before = jax.tree.map(np.asarray, state)
        state, bad = run.step(state, jax.device_put(poisoned, batch_sharding(run.mesh)))
        after = jax.tree.map(np.asarray, state)
        state, again = run.step(state, jax.device_put(batches[2], batch_sharding(run.mesh)))
    assert [float(sums["skipped"]) for sums in (good, bad, again)] == [0.0, 1.0, 0.0]
    assert not np.isfinite(float(bad["masked_lm_loss"]))
    jax.tree.map(np.testing.assert_array_equal, after["params"], before["params"])
    jax.tree.map(np.testing.assert_array_equal, after["opt_state"]["adam"], before["opt_state"]["adam"])
    assert (int(after["step"]), int(after["opt_state"]["rate"].count)) == (2, 2)  # or the schedule would fall behind
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state))
