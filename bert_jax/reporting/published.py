"""What the paper's own runs came to, for a run of the same config: anchors, since text and vocabulary are others."""

import dataclasses

from bert_jax.config import Config, ModelConfig, OptimizerConfig, PhaseConfig, bert_base, bert_large
from bert_jax.config.file import deciding_settings

# Numbers of the devices, not of the recipe; what the pieces are for is in configs/bert_base.py.
_FREE = (
    "model.vocab_size",
    "optimizer.clip_pieces",
    "train.seed",
    "train.dtype",
    "train.accumulation_steps",
    "train.dropout_bits",
)


@dataclasses.dataclass(frozen=True)
class _Anchor:
    name: str
    model: ModelConfig
    loss: str


_ANCHORS = (
    _Anchor("BERT-base", bert_base(), "1.38 (perplexity 3.99; about 1.4 in google-research/bert#90)"),
    _Anchor("BERT-large", bert_large(), "1.17 (perplexity 3.23)"),
)


def anchor_of(config: Config) -> str:
    """A sentence with what was published of a config of the paper; "" for any other."""
    for anchor in _ANCHORS:
        if not config.teacher and _recipe(_of_paper(anchor.model)) == _recipe(config):
            return (
                f"The paper's {anchor.name}, of this config, ended after 1,000,000 steps at a held-out masked-LM loss "
                f"of {anchor.loss} and predicted 97 to 98 % of next sentences correctly (arXiv 1810.04805, table 6 and "
                "section 3.1), on Wikipedia and BooksCorpus with 30,522 words: other text and another vocabulary have "
                "other losses."
            )
    return ""


def _recipe(config: Config) -> dict[str, object]:
    return {name: value for name, value in deciding_settings(config).items() if name not in _FREE}


def _of_paper(model: ModelConfig) -> Config:
    """As configs/bert_base.py and bert_large.py have it (tests/reporting/published_test.py)."""
    phases = (PhaseConfig(900_000, 256, 128), PhaseConfig(100_000, 256, 512))
    return Config(model, phases, optimizer=OptimizerConfig(learning_rate=1e-4, warmup_steps=10_000))
