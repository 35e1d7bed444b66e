"""The names under which the step's parts stand in JAX's program and in the compiled one (`jax.named_scope`).

The model and the step open them; `plan` and profilers read them back. Knows no JAX.
"""

EMBEDDINGS = "embeddings"
ATTENTION = "attention"
FEED_FORWARD = "feed_forward"
POOLER = "pooler"
MASKED_LM = "masked_lm"
NEXT_SENTENCE = "next_sentence"
LOSS = "loss"
TEACHER = "teacher"  # a frozen model's forward pass, whatever parts it has
OPTIMIZER = "optimizer"
WEIGHTS = "weights"  # gathered before the step
GRADIENTS = "gradients"  # summed after it
# Of what only the last step of an interval computes: `plan` leaves it out.
ONCE_AN_INTERVAL = "once_an_interval"

# Scope -> the part of the model under which `plan` lists it; the innermost scope of an operation decides, but all that
# is in a teacher is the teacher's.
PARTS = {
    EMBEDDINGS: "embeddings",
    ATTENTION: "attention",
    FEED_FORWARD: "feed-forward",
    POOLER: "heads",
    MASKED_LM: "heads",
    NEXT_SENTENCE: "heads",
    LOSS: "heads",
    TEACHER: "teacher",
    OPTIMIZER: "optimizer",
    WEIGHTS: "weights",
    GRADIENTS: "weights",
}
