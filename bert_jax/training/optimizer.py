"""The paper's optimizer and schedule, as google-research/bert optimization.py has them; LAMB is a switch on it."""

import itertools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax

from bert_jax.config import Cycle, OptimizerConfig, PhaseConfig, cycles
from bert_jax.training.layer_rates import scale_by_rates
from bert_jax.training.muon import LayerMatrices, scale_by_muon


def learning_rate_schedule(config: OptimizerConfig, phases: Sequence[PhaseConfig]) -> optax.Schedule:
    """Rate at a step of the run: one cycle over all phases, or a new one from each phase with a rate of its own."""
    rates = cycles(config, phases)
    ends = list(itertools.accumulate(cycle.steps for cycle in rates))
    return optax.join_schedules([_rate_in(cycle, config) for cycle in rates], ends[:-1])


def _rate_in(cycle: Cycle, config: OptimizerConfig) -> optax.Schedule:
    """Linear from 0 during warm-up, then on the straight line from the full rate at step 0 to 0 at the end.

    The two lines do not meet: at `warmup_steps` the rate falls to `1 - warmup_steps / steps` of the full rate
    (optimization.py:28-54). Step 0 has rate 0. `decay_from_peak`: the second line begins with the full rate at
    `warmup_steps` (fairseq/optim/lr_scheduler/polynomial_decay_schedule.py). `decay_steps`: so many steps before the
    end, until which the rate stays at its peak (arXiv 2404.06395, section 4).
    """
    begins = cycle.warmup_steps if config.decay_from_peak else 0
    falls_in = config.decay_steps or cycle.steps - begins

    def rate(step: jax.Array) -> jax.Array:
        step = jnp.asarray(step, jnp.float32)
        warming = cycle.peak * step / max(cycle.warmup_steps, 1)
        left = jnp.maximum(cycle.steps - step, 0.0) / max(falls_in, 1)
        decaying = cycle.peak * (jnp.minimum(left, 1.0) if config.decay_steps else left)
        return jnp.where(step < cycle.warmup_steps, warming, decaying)

    return rate


def is_decayed(path: tuple[str, ...]) -> bool:
    """Whether weight decay applies: to all but LayerNorm's parameters and biases (optimization.py:59-65)."""
    return not any("norm" in part or "bias" in part for part in path)


def decay_mask(params: Any) -> Any:
    """A tree like `params` of booleans: which parameters are decayed."""
    return jax.tree_util.tree_map_with_path(lambda path, _: is_decayed(tuple(entry.key for entry in path)), params)


def _all(params: Any) -> Any:
    return jax.tree.map(lambda _: True, params)


def scale_by_bert_adam(beta1: float, beta2: float, epsilon: float) -> optax.GradientTransformation:
    """Adam's direction m / (sqrt(v) + epsilon) without bias correction (optimization.py:125-151).

    optax.scale_by_adam always corrects, so the original's update cannot be had from it.
    """

    def init(params: optax.Params) -> optax.ScaleByAdamState:
        zeros = jax.tree.map(jnp.zeros_like, params)
        return optax.ScaleByAdamState(jnp.zeros([], jnp.int32), zeros, jax.tree.map(jnp.zeros_like, params))

    def update(
        gradients: optax.Updates, state: optax.ScaleByAdamState, params: optax.Params | None = None
    ) -> tuple[optax.Updates, optax.ScaleByAdamState]:
        del params
        mu = jax.tree.map(lambda m, g: beta1 * m + (1.0 - beta1) * g, state.mu, gradients)
        nu = jax.tree.map(lambda v, g: beta2 * v + (1.0 - beta2) * g * g, state.nu, gradients)
        updates = jax.tree.map(lambda m, v: m / (jnp.sqrt(v) + epsilon), mu, nu)
        return updates, optax.ScaleByAdamState(state.count + 1, mu, nu)

    return optax.GradientTransformation(init, update)


def clip(config: OptimizerConfig) -> optax.GradientTransformation:
    """Clipping by global norm, or nothing."""
    return _clip_by_global_norm(config.clip_norm) if config.clip_norm else optax.identity()


def _clip_by_global_norm(limit: float) -> optax.GradientTransformation:
    """The gradient times one number, as in tf.clip_by_global_norm (optimization.py:74): limit / its norm, or 1.

    optax chooses for each number between itself and a quotient. That is too much to be computed again for each of
    Adam's moments, so XLA's CPU compiler writes the clipped gradient out: a twentieth of a step of a small model.
    """

    def update(
        gradients: optax.Updates, state: optax.EmptyState, params: optax.Params | None = None
    ) -> tuple[optax.Updates, optax.EmptyState]:
        del params
        norm = optax.tree.norm(gradients)
        scale = jnp.where(jnp.isfinite(norm), limit * jnp.minimum(1.0 / norm, 1.0 / limit), jnp.nan)
        return jax.tree.map(lambda gradient: gradient * scale, gradients), state

    return optax.GradientTransformation(lambda params: optax.EmptyState(), update)


def make_optimizer(
    config: OptimizerConfig,
    phases: Sequence[PhaseConfig],
    rates: optax.Params | None = None,
    matrices: LayerMatrices | None = None,
) -> optax.GradientTransformation:
    """Clip by global norm, Adam, decoupled decay, schedule; its state is a dict under these names.

    With decay_all, as in RoBERTa, LayerNorm's parameters and biases are treated as all others.

    With trust_ratio, LAMB (arXiv 1904.00962, algorithm 2, phi the identity): decay is part of the direction whose
    length is replaced by the parameter's. As in its authors' code (tensorflow/addons lamb.py), what is not decayed
    keeps Adam's length.

    With muon, `matrices` have Muon's direction in the place of Adam's (muon.py), and no second moments.

    `rates`, a tree like the parameters, multiplies the learning rate of each (layer_rates.py).
    """
    by_layer = [] if rates is None else [("layers", scale_by_rates(rates))]
    decayed = _all if config.decay_all else decay_mask
    lamb = [("trust", optax.masked(optax.scale_by_trust_ratio(), decayed))] if config.trust_ratio else []
    return optax.named_chain(
        ("clip", clip(config) if config.clip_pieces == 1 else optax.identity()),  # else the step clips the pieces
        *_directions(config, matrices),
        ("decay", optax.add_decayed_weights(config.weight_decay, mask=decayed)),
        *lamb,
        ("rate", optax.scale_by_learning_rate(learning_rate_schedule(config, phases))),
        *by_layer,
    )


def _directions(
    config: OptimizerConfig, matrices: LayerMatrices | None
) -> list[tuple[str, optax.GradientTransformation]]:
    """Adam's of all parameters, or of those that are not `matrices`, and Muon's of these."""
    scale_by_adam = optax.scale_by_adam if config.bias_correction else scale_by_bert_adam
    adam = scale_by_adam(config.beta1, config.beta2, config.epsilon)
    if not config.muon:
        return [("adam", adam)]
    if matrices is None:
        raise ValueError("muon needs to know the matrices")
    muon = scale_by_muon(matrices)
    return [("adam", optax.masked(adam, matrices.mask_of_others)), ("muon", optax.masked(muon, matrices.mask))]
