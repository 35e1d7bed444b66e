"""How far one distribution is from another, by their logits."""

import jax
import jax.numpy as jnp


def kl_divergence(student: jax.Array, teacher: jax.Array, temperature: float) -> jax.Array:
    """KL(softmax(teacher / temperature) || softmax(student / temperature)) in nats, over the last axis; float32.

    Of tables that were filled up with rows for no word (model/embeddings.py), what one has more than the other does not
    count.
    """
    columns = min(student.shape[-1], teacher.shape[-1])
    log_student = jax.nn.log_softmax(student[..., :columns].astype(jnp.float32) / temperature)
    log_teacher = jax.nn.log_softmax(teacher[..., :columns].astype(jnp.float32) / temperature)
    return (jnp.exp(log_teacher) * (log_teacher - log_student)).sum(-1)
