"""How far a student is from its teacher, for people."""

from bert_jax.objectives.metrics import Metric

KL = Metric("teacher_kl", "Divergence from the teacher (nats)", "kl", unit="nats", better="lower", in_progress="log")
COSINE = Metric(
    "teacher_cosine", "Cosine distance from the teacher", "cos", unit="number", better="lower", in_progress="log"
)
