"""The recipes that benchmarks/recipes.py compares: settings of pretrain, and flags of build_records."""

from typing import Any, NamedTuple

LENGTH, PREDICTIONS, ROWS, STEPS, VOCABULARY = 128, 20, 32, 3000, 8000
SIZES = {
    "2x128": {
        "num_hidden_layers": 2,
        "hidden_size": 128,
        "num_attention_heads": 2,
        "intermediate_size": 512,
        "initializer_range": 0.06,
    },
    "4x256": {
        "num_hidden_layers": 4,
        "hidden_size": 256,
        "num_attention_heads": 4,
        "intermediate_size": 1024,
        "initializer_range": 0.04,
    },
}
PAIRS = ["--dupe_factor=1"]
BLOCKS = ["--pairs=none", "--blocks=full", "--cut_long_sentences", "--dupe_factor=1"]


class Recipe(NamedTuple):
    """Settings of pretrain on top of the paper's."""

    settings: dict[str, Any]
    records: list[str] = BLOCKS
    share: float = 1.0  # of the steps


# The paper's, with a rate and initial weights for such narrow layers.
PAPER = {"optimizer.learning_rate": 1e-3}
NO_DROPOUT = {"model.hidden_dropout_prob": 0.0, "model.attention_probs_dropout_prob": 0.0}
NO_PAIRS = NO_DROPOUT | {"model.next_sentence": False, "model.type_vocab_size": 0}
ADAM = NO_PAIRS | {"optimizer.bias_correction": True, "optimizer.beta2": 0.98, "optimizer.learning_rate": 2e-3}
ROTARY = ADAM | {"model.position_embedding": "rotary"}
FAST = ROTARY | {"optimizer.muon": True, "optimizer.learning_rate": 4e-3}


def masked(share: float) -> dict[str, Any]:
    """Masks drawn anew in each epoch."""
    return {"data.masking": "bert", "data.masked_lm_prob": share}


RECIPES = {
    "paper": Recipe(PAPER, PAIRS),
    "paper, rate 5e-4": Recipe(PAPER | {"optimizer.learning_rate": 5e-4}, PAIRS),
    "paper, rate 2e-3": Recipe(PAPER | {"optimizer.learning_rate": 2e-3}, PAIRS),
    "paper, weights .02": Recipe(PAPER | {"model.initializer_range": 0.02}, PAIRS),
    "no dropout": Recipe(PAPER | NO_DROPOUT, PAIRS),
    "no pairs": Recipe(PAPER | NO_PAIRS),
    "bias-corrected": Recipe(ADAM),
    "masks .2": Recipe(ADAM | masked(0.2)),
    "masks .3": Recipe(ADAM | masked(0.3)),
    "pre-norm": Recipe(ADAM | {"model.pre_norm": True}),
    "gated": Recipe(ADAM | {"model.gated_feed_forward": True}),
    "no biases": Recipe(ADAM | {"model.use_bias": False}),
    "muon": Recipe(ADAM | {"optimizer.muon": True}),
    "rotary": Recipe(ROTARY),
    "fast": Recipe(FAST),
    "fast, rate 2e-3": Recipe(FAST | {"optimizer.learning_rate": 2e-3}),
    "fast, rate 8e-3": Recipe(FAST | {"optimizer.learning_rate": 8e-3}),
    "fast, masks .2": Recipe(FAST | masked(0.2)),
    "fast, masks .3": Recipe(FAST | masked(0.3)),
    "fast, packed": Recipe(FAST | {"data.packing": True}),
    "fast, pre-norm": Recipe(FAST | {"model.pre_norm": True}),
    "fast, gated": Recipe(FAST | {"model.gated_feed_forward": True}),
    "fast, no biases": Recipe(FAST | {"model.use_bias": False}),
    "fast, stable": Recipe(FAST | {"optimizer.decay_steps": STEPS * 4 // 10}),
    "fast, half": Recipe(FAST, share=1 / 2),
    "fast, third": Recipe(FAST, share=1 / 3),
    "fast, fifth": Recipe(FAST, share=1 / 5),
    "fast, pairs, third": Recipe(FAST | {"model.next_sentence": True, "model.type_vocab_size": 2}, PAIRS, 1 / 3),
}
SHARED = {
    "phases[0].global_batch_size": ROWS,
    "phases[0].max_seq_length": LENGTH,
    "model.max_position_embeddings": LENGTH,
    "model.hidden_dropout_prob": 0.1,
    "model.attention_probs_dropout_prob": 0.1,
    "evaluation.max_batches": 32,
    "train.log_every_steps": 50,
    "train.checkpoint_every_steps": 500,
}
