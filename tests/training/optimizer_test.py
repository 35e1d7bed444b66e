"""The update against the original's arithmetic restated in float64, against torch, and its schedule at the corners."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import transformers

from bert_jax.config import OptimizerConfig, PhaseConfig
from bert_jax.model.pretraining import pretraining_model
from bert_jax.training.optimizer import decay_mask, is_decayed, learning_rate_schedule, make_optimizer

STEPS = 1000
SHAPES = {"dense": {"kernel": (6, 5), "bias": (5,)}, "norm": {"scale": (5,)}, "word": {"embedding": (11, 6)}}
DECAYED = {"dense/kernel", "word/embedding"}


def named(tree, prefix=""):
    """A nested dict as {"a/b": leaf}."""
    if not isinstance(tree, dict):
        return {prefix.rstrip("/"): tree}
    return {name: leaf for key, sub in tree.items() for name, leaf in named(sub, f"{prefix}{key}/").items()}


def random_tree(random, scale):
    return {
        group: {name: random.normal(0, scale, shape).astype(np.float32) for name, shape in parts.items()}
        for group, parts in SHAPES.items()
    }


def gradients(step):
    """Norms from far under the clipping norm to far over it, and now and then a gradient of zeros."""
    random = np.random.default_rng([7, step])
    return random_tree(random, 0.0 if step % 100 == 50 else 10.0 ** random.uniform(-4, 1))


def trajectory(config, phases, steps):
    """Parameters after each step of our optimizer, float32 under jit: {name: [steps, ...]}."""
    optimizer = make_optimizer(config, phases)
    start = random_tree(np.random.default_rng(0), 0.1)

    def step(carry, gradient):
        params, state = carry
        updates, state = optimizer.update(gradient, state, params)
        params = jax.tree.map(jnp.add, params, updates)
        return (params, state), params

    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *map(gradients, range(steps)))
    _, path = jax.jit(lambda: jax.lax.scan(step, (start, optimizer.init(start)), stacked))()
    return named(jax.tree.map(np.asarray, path))


class Restatement:
    """The published update, one parameter after the other, in float64 NumPy; rates are given from outside."""

    def __init__(self, config):
        self.config, self.count = config, 0
        self.params = {
            name: leaf.astype(np.float64) for name, leaf in named(random_tree(np.random.default_rng(0), 0.1)).items()
        }
        self.m = {name: np.zeros_like(leaf) for name, leaf in self.params.items()}
        self.v = {name: np.zeros_like(leaf) for name, leaf in self.params.items()}

    def step(self, gradient, rate):
        config, self.count = self.config, self.count + 1
        gradient = {name: leaf.astype(np.float64) for name, leaf in named(gradient).items()}
        norm = math.sqrt(sum((leaf**2).sum() for leaf in gradient.values()))
        for name, g in gradient.items():
            if config.clip_norm and norm > config.clip_norm:
                g = g * config.clip_norm / norm
            self.m[name] = config.beta1 * self.m[name] + (1 - config.beta1) * g
            self.v[name] = config.beta2 * self.v[name] + (1 - config.beta2) * g**2
            m, v = self.m[name], self.v[name]
            if config.bias_correction:
                m, v = m / (1 - config.beta1**self.count), v / (1 - config.beta2**self.count)
            update = m / (np.sqrt(v) + config.epsilon)
            if name in DECAYED or config.decay_all:
                update = update + config.weight_decay * self.params[name]
                if config.trust_ratio:
                    update = update * np.linalg.norm(self.params[name]) / np.linalg.norm(update)
            self.params[name] = self.params[name] - rate * update


def original_rate(step, peak, warmup, total):
    """google-research/bert optimization.py: decay from step 0, replaced by the ramp while step < warmup."""
    decayed = peak * (1 - min(step, total) / total)
    return peak * step / warmup if step < warmup else decayed


@pytest.mark.parametrize(
    "config",
    [
        OptimizerConfig(learning_rate=1e-2, warmup_steps=100),
        OptimizerConfig(learning_rate=1e-2, warmup_steps=100, bias_correction=True),
        OptimizerConfig(learning_rate=1e-2, warmup_steps=100, trust_ratio=True, bias_correction=True),
        OptimizerConfig(learning_rate=1e-2, warmup_steps=100, trust_ratio=True),
        OptimizerConfig(learning_rate=1e-2, warmup_steps=100, clip_norm=0.0, weight_decay=0.1, epsilon=1e-3),
        OptimizerConfig(learning_rate=1e-2, warmup_steps=100, decay_all=True, weight_decay=0.1),
    ],
    ids=["bert", "bias-corrected", "lamb", "lamb-uncorrected", "unclipped", "decay of all"],
)
def test_a_thousand_steps_are_the_published_update_in_float64(config):
    restated = Restatement(config)
    start = {name: leaf.copy() for name, leaf in restated.params.items()}
    ours = trajectory(config, [PhaseConfig(steps=STEPS)], STEPS)
    for step in range(STEPS):
        restated.step(gradients(step), original_rate(step, 1e-2, 100, STEPS))
        for name, expected in restated.params.items():
            # A float32 step rounds the parameter (about 1, half a unit: 6e-8) and the update (1e-2 of a few 1e-7, more
            # where LAMB divides by a norm); a thousand such errors, of random sign, make some 2e-6. A wrong term (a
            # decayed bias, epsilon under the root, one step's shift of the schedule) shows at 1e-3 and more.
            np.testing.assert_allclose(ours[name][step], expected, rtol=0, atol=1e-5, err_msg=f"{name}, step {step}")
    assert all(np.abs(expected - start[name]).max() > 0.1 for name, expected in restated.params.items())


def test_every_setting_shows_at_ten_times_the_tolerance():
    config = OptimizerConfig(learning_rate=1e-2, warmup_steps=100)
    right = trajectory(config, [PhaseConfig(steps=STEPS)], 200)
    for wrong in (
        {"bias_correction": True},
        {"trust_ratio": True},
        {"weight_decay": 0.02},
        {"clip_norm": 0.0},
        {"epsilon": 1e-3},
        {"beta2": 0.99},
        {"warmup_steps": 99},
        {"decay_all": True},
        {"decay_from_peak": True},
    ):
        other = trajectory(dataclasses.replace(config, **wrong), [PhaseConfig(steps=STEPS)], 200)
        assert max(np.abs(right[name][-1] - other[name][-1]).max() for name in right) > 1e-4, wrong


def test_step_0_moves_nothing_with_warmup_and_moments_all_the_same():
    config = OptimizerConfig(learning_rate=1e-2, warmup_steps=10)
    ours = trajectory(config, [PhaseConfig(steps=100)], 2)
    start = named(random_tree(np.random.default_rng(0), 0.1))
    assert all((ours[name][0] == start[name]).all() for name in start)
    # m and v took in step 0's gradient: the update after two steps without correction, at rate 1e-3.
    g0, g1 = (clipped(gradients(step)) for step in (0, 1))
    m = {name: 0.9 * 0.1 * g0[name] + 0.1 * g1[name] for name in g0}
    v = {name: 0.999 * 0.001 * g0[name] ** 2 + 0.001 * g1[name] ** 2 for name in g0}
    expected = start["norm/scale"] - 1e-3 * m["norm/scale"] / (np.sqrt(v["norm/scale"]) + 1e-6)
    np.testing.assert_allclose(ours["norm/scale"][1], expected, rtol=1e-5)


def clipped(gradient):
    gradient = {name: leaf.astype(np.float64) for name, leaf in named(gradient).items()}
    norm = math.sqrt(sum((leaf**2).sum() for leaf in gradient.values()))
    return {name: leaf / max(norm, 1.0) for name, leaf in gradient.items()}


def test_with_bias_correction_it_is_torch_adamw():
    """torch.optim.AdamW: epsilon outside the corrected root, decay decoupled and applied first: p(1-lr*wd), then Adam.

    Both read the parameter before the step, so that the order makes no difference.
    """
    steps, peak, warmup = 300, 1e-2, 30
    config = OptimizerConfig(learning_rate=peak, warmup_steps=warmup, bias_correction=True)
    params = {
        name: torch.nn.Parameter(torch.from_numpy(leaf))
        for name, leaf in named(random_tree(np.random.default_rng(0), 0.1)).items()
    }
    decayed = [param for name, param in params.items() if name in DECAYED]
    others = [param for name, param in params.items() if name not in DECAYED]
    groups = [{"params": decayed, "weight_decay": 0.01}, {"params": others, "weight_decay": 0.0}]
    theirs = torch.optim.AdamW(groups, lr=peak, betas=(0.9, 0.999), eps=1e-6)
    rate = torch.optim.lr_scheduler.LambdaLR(theirs, lambda step: original_rate(step, 1.0, warmup, steps))
    ours = trajectory(config, [PhaseConfig(steps=steps)], steps)
    for step in range(steps):
        for name, leaf in clipped(gradients(step)).items():
            params[name].grad = torch.from_numpy(leaf.astype(np.float32))
        theirs.step()
        rate.step()
        for name, param in params.items():
            np.testing.assert_allclose(ours[name][step], param.detach().numpy(), rtol=0, atol=1e-5, err_msg=name)


def test_robertas_is_torch_adamw_with_transformers_linear_schedule():
    """fairseq's Adam is torch's AdamW, with decay on all parameters; Adam .98, no clipping, linear from the peak."""
    steps, peak, warmup = 300, 1e-2, 30
    config = OptimizerConfig(
        learning_rate=peak,
        warmup_steps=warmup,
        decay_from_peak=True,
        beta2=0.98,
        weight_decay=0.1,
        decay_all=True,
        clip_norm=0.0,
        bias_correction=True,
    )
    params = {
        name: torch.nn.Parameter(torch.from_numpy(leaf))
        for name, leaf in named(random_tree(np.random.default_rng(0), 0.1)).items()
    }
    theirs = torch.optim.AdamW(params.values(), lr=peak, betas=(0.9, 0.98), eps=1e-6, weight_decay=0.1)
    rate = transformers.get_linear_schedule_with_warmup(theirs, warmup, steps)
    ours = trajectory(config, [PhaseConfig(steps=steps)], steps)
    for step in range(steps):
        for name, leaf in named(gradients(step)).items():
            params[name].grad = torch.from_numpy(leaf)
        theirs.step()
        rate.step()
        for name, param in params.items():
            np.testing.assert_allclose(ours[name][step], param.detach().numpy(), rtol=0, atol=1e-5, err_msg=name)


@pytest.mark.parametrize(
    ("step", "rate"),
    [(0, 0.0), (1, 6e-4 / 24_000), (24_000, 6e-4), (262_000, 3e-4), (499_999, 6e-4 / 476_000), (500_000, 0.0)],
)
def test_the_rate_of_roberta(step, rate):
    config = OptimizerConfig(learning_rate=6e-4, warmup_steps=24_000, decay_from_peak=True)
    schedule = learning_rate_schedule(config, [PhaseConfig(steps=500_000)])
    assert float(schedule(step)) == pytest.approx(rate, rel=1e-6, abs=0)


@pytest.mark.parametrize(
    ("step", "rate"),
    [
        (0, 0.0),
        (1, 1e-4 / 10_000),
        (9_999, 1e-4 * 0.9999),
        (10_000, 1e-4 * 0.99),  # down from the ramp's end: the lines do not meet
        (500_000, 1e-4 * 0.5),
        (900_000, 1e-4 * 0.1),  # the 512-token phase goes on where the first one stopped
        (999_999, 1e-4 * 1e-6),
        (1_000_000, 0.0),
        (1_000_001, 0.0),
    ],
)
def test_the_rate_of_the_paper(step, rate):
    phases = [PhaseConfig(steps=900_000), PhaseConfig(steps=100_000)]
    schedule = learning_rate_schedule(OptimizerConfig(learning_rate=1e-4, warmup_steps=10_000), phases)
    assert float(schedule(step)) == pytest.approx(rate, rel=1e-6, abs=0)


@pytest.mark.parametrize(
    ("step", "rate"),
    [
        (0, 0.0),
        (19, 6e-3 * 19 / 20),
        (20, 6e-3 * 0.8),
        (99, 6e-3 * 0.01),
        (100, 0.0),  # the second phase warms up again ...
        (103, 4e-3 * 3 / 5),
        (105, 4e-3 * 0.9),  # ... and decays over its own steps and those of the third
        (149, 4e-3 * 1 / 50),
        (150, 0.0),
    ],
)
def test_a_phase_with_a_rate_of_its_own_starts_the_schedule_anew(step, rate):
    phases = [PhaseConfig(steps=100), PhaseConfig(steps=30, learning_rate=4e-3, warmup_steps=5), PhaseConfig(steps=20)]
    schedule = learning_rate_schedule(OptimizerConfig(learning_rate=6e-3, warmup_steps=20), phases)
    assert float(schedule(step)) == pytest.approx(rate, rel=1e-6, abs=1e-12)


@pytest.mark.parametrize(
    ("step", "rate"),
    [
        (0, 0.0),
        (19, 6e-3 * 19 / 20),
        (20, 6e-3),
        (90, 6e-3),
        (95, 3e-3),
        (99, 6e-4),
        (100, 0.0),  # the second phase warms up again ...
        (105, 4e-3),
        (140, 4e-3),  # ... and stays at its peak into the third
        (145, 2e-3),
        (149, 4e-4),
        (150, 0.0),
        (151, 0.0),
    ],
)
@pytest.mark.parametrize("decay_from_peak", [False, True])
def test_a_rate_stays_at_its_peak_until_its_last_steps(step, rate, decay_from_peak):
    phases = [PhaseConfig(steps=100), PhaseConfig(steps=30, learning_rate=4e-3, warmup_steps=5), PhaseConfig(steps=20)]
    config = OptimizerConfig(learning_rate=6e-3, warmup_steps=20, decay_steps=10, decay_from_peak=decay_from_peak)
    schedule = learning_rate_schedule(config, phases)
    assert float(schedule(step)) == pytest.approx(rate, rel=1e-6, abs=1e-12)


def test_two_runs_have_the_same_rates_until_the_shorter_one_decays():
    config = OptimizerConfig(learning_rate=3e-3, warmup_steps=7, decay_steps=30)
    short, long = (
        learning_rate_schedule(config, [PhaseConfig(steps=steps)])(np.arange(100)) for steps in (100, 100_000)
    )
    np.testing.assert_array_equal(short[:71], long[:71])  # to the bit
    assert (short[71:] < long[71:]).all()


def test_no_warmup_starts_at_the_full_rate():
    schedule = learning_rate_schedule(OptimizerConfig(learning_rate=3.0, warmup_steps=0), [PhaseConfig(steps=10)])
    assert [float(schedule(step)) for step in (0, 5, 10)] == [3.0, 1.5, 0.0]


def test_decayed_is_everything_but_layer_norms_and_biases(model_config):
    """Stated here from what a parameter is, not from its name: LayerNorm's come in pairs, biases have a kernel."""
    params = named(pretraining_model(model_config).abstract_params)
    excluded = {name for name in params if not is_decayed(tuple(name.split("/")))}
    norms = {name for name in params if f"{name.rpartition('/')[0]}/scale" in params}
    biases = {name for name in params if name.endswith("bias") and f"{name.rpartition('/')[0]}/kernel" in params}
    assert excluded == norms | biases | {"masked_lm/output_bias"}
    # per layer 2 norms and 6 biases, one norm and bias each of embeddings/pooler, masked_lm, next_sentence's bias
    assert (len(norms), len(biases)) == (2 * (2 * 2 + 2), 2 * 6 + 3)
    mask = named(decay_mask(pretraining_model(model_config).abstract_params))
    assert {name for name, decays in mask.items() if not decays} == excluded
    assert {
        "encoder/embeddings/word/embedding",
        "encoder/embeddings/position/embedding",
        "encoder/embeddings/token_type/embedding",
        "encoder/pooler/kernel",
        "next_sentence/kernel",
        "masked_lm/transform/kernel",
        "encoder/layer_1/attention/query/kernel",
    } <= params.keys() - excluded


def test_lamb_steps_are_as_long_as_the_parameter_times_the_rate():
    config = OptimizerConfig(learning_rate=1e-3, warmup_steps=0, trust_ratio=True, bias_correction=True)
    start = named(random_tree(np.random.default_rng(0), 0.1))
    first = {name: path[0] for name, path in trajectory(config, [PhaseConfig(steps=10)], 1).items()}
    for name in DECAYED:
        length = np.linalg.norm(first[name] - start[name]) / np.linalg.norm(start[name])
        assert length == pytest.approx(1e-3, rel=1e-4), name
    bias = np.abs(first["dense/bias"] - start["dense/bias"])
    np.testing.assert_allclose(bias, 1e-3, rtol=1e-2)  # Adam's first step: the rate itself, whatever the length
