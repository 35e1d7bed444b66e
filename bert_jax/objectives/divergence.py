"""How far one distribution is from another, by their logits."""

import jax
import jax.numpy as jnp


def bernoulli_divergence(student: jax.Array, teacher: jax.Array, temperature: float) -> jax.Array:
    """kl_divergence of the two-way choices that single logits are, for each of them; float32."""
    student, teacher = student / temperature, teacher / temperature
    there = jax.nn.sigmoid(teacher) * (jax.nn.log_sigmoid(teacher) - jax.nn.log_sigmoid(student))
    return there + jax.nn.sigmoid(-teacher) * (jax.nn.log_sigmoid(-teacher) - jax.nn.log_sigmoid(-student))


def kl_divergence(student: jax.Array, teacher: jax.Array, temperature: float) -> jax.Array:
    """KL(softmax(teacher / temperature) || softmax(student / temperature)) in nats, over the last axis; float32.

    Of tables that were filled up with rows for no word (model/embeddings.py), what one has more than the other does not
    count.
    """
    columns = min(student.shape[-1], teacher.shape[-1])
    log_student = jax.nn.log_softmax(student[..., :columns].astype(jnp.float32) / temperature)
    log_teacher = jax.nn.log_softmax(teacher[..., :columns].astype(jnp.float32) / temperature)
    return (jnp.exp(log_teacher) * (log_teacher - log_student)).sum(-1)
