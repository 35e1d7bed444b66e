"""The paper's optimizer and schedule, as google-research/bert optimization.py has them."""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from bert_jax.config import OptimizerConfig


def learning_rate_schedule(config: OptimizerConfig, total_steps: int) -> optax.Schedule:
    """Rate at a step: linear from 0 during warm-up, then on the straight line from the full rate at 0 to 0 at the end.

    The two lines do not meet: at `warmup_steps` the rate falls to `1 - warmup_steps / total_steps` of the full rate
    (optimization.py:28-54). Step 0 has rate 0.
    """

    def rate(step: jax.Array) -> jax.Array:
        step = jnp.asarray(step, jnp.float32)
        warming = config.learning_rate * step / max(config.warmup_steps, 1)
        decaying = config.learning_rate * (1.0 - jnp.minimum(step, total_steps) / total_steps)
        return jnp.where(step < config.warmup_steps, warming, decaying)

    return rate


def is_decayed(path: tuple[str, ...]) -> bool:
    """Whether weight decay applies: to all but LayerNorm's parameters and biases (optimization.py:59-65)."""
    return not any("norm" in part or "bias" in part for part in path)


def decay_mask(params: Any) -> Any:
    """A tree like `params` of booleans: which parameters are decayed."""
    return jax.tree_util.tree_map_with_path(lambda path, _: is_decayed(tuple(entry.key for entry in path)), params)


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


def make_optimizer(config: OptimizerConfig, total_steps: int) -> optax.GradientTransformation:
    """Clip by global norm, Adam, decoupled decay, schedule; its state is a dict under these names."""
    clip = optax.clip_by_global_norm(config.clip_norm) if config.clip_norm else optax.identity()
    adam = optax.scale_by_adam if config.bias_correction else scale_by_bert_adam
    return optax.named_chain(
        ("clip", clip),
        ("adam", adam(config.beta1, config.beta2, config.epsilon)),
        ("decay", optax.add_decayed_weights(config.weight_decay, mask=decay_mask)),
        ("rate", optax.scale_by_learning_rate(learning_rate_schedule(config, total_steps))),
    )
