"""The architecture, and the paper's two."""

import dataclasses
from typing import Annotated, Literal

from msgspec import Meta

from bert_jax.config.check import Share, check_fields, require

MOST_PARAMETERS = 10**11


@dataclasses.dataclass
class ModelConfig:
    """The architecture (google-research/bert modeling.py, BertConfig); the defaults are BERT-base, uncased."""

    vocab_size: Annotated[int, Meta(ge=0, le=10_000_000)] = 0  # 0: as many as the records' vocabulary has
    hidden_size: Annotated[int, Meta(ge=1, le=100_000)] = 768
    num_hidden_layers: Annotated[int, Meta(ge=1, le=1000)] = 12
    num_attention_heads: Annotated[int, Meta(ge=1, le=100_000)] = 12
    intermediate_size: Annotated[int, Meta(ge=1, le=1_000_000)] = 3072
    max_position_embeddings: Annotated[int, Meta(ge=1, le=1_000_000)] = 512
    type_vocab_size: Annotated[int, Meta(ge=1, le=1000)] = 2
    # "gelu" is exact (erf), as when the paper appeared; "gelu_tanh" as released since 2019
    hidden_act: Literal["gelu", "gelu_tanh"] = "gelu"
    hidden_dropout_prob: Share = 0.1
    attention_probs_dropout_prob: Share = 0.1
    initializer_range: Annotated[float, Meta(gt=0, le=10)] = 0.02  # standard deviation of the truncated normal
    layer_norm_eps: Annotated[float, Meta(ge=1e-30, le=1)] = 1e-12

    @property
    def parameters(self) -> int:
        """How many numbers the parameters are; without the tables of the vocabulary while vocab_size is 0."""
        width, wide = self.hidden_size, self.intermediate_size
        tables = (self.vocab_size + self.max_position_embeddings + self.type_vocab_size) * width + 2 * width
        attention = 4 * (width + 1) * width + 2 * width  # the LayerNorm after it, too
        feed_forward = (width + 1) * wide + (wide + 1) * width + 2 * width
        heads = 2 * (width + 1) * width + 2 * width + self.vocab_size + 2 * (width + 1)  # pooler, MLM, NSP
        return tables + self.num_hidden_layers * (attention + feed_forward) + heads

    def check(self, source: str = "--config.model.") -> None:
        """Raise UserError on a value that no model can be built from; `source` stands before its name."""
        check_fields(self, source)
        remedy = f"give a multiple of num_attention_heads={self.num_attention_heads}"
        require(self.hidden_size % self.num_attention_heads == 0, f"{source}hidden_size", self.hidden_size, remedy)
        remedy = f"the model would have {self.parameters:.2g} parameters, more than {MOST_PARAMETERS:.0g}; give less"
        require(self.parameters <= MOST_PARAMETERS, f"{source}hidden_size", self.hidden_size, remedy)


def bert_base() -> ModelConfig:
    """12 layers of 768: 110,106,428 parameters with a vocabulary of 30,522 (arXiv 1810.04805, section 3)."""
    return ModelConfig()


def bert_large() -> ModelConfig:
    """24 layers of 1024: 336,226,108 parameters with a vocabulary of 30,522 (arXiv 1810.04805, section 3)."""
    return ModelConfig(hidden_size=1024, num_hidden_layers=24, num_attention_heads=16, intermediate_size=4096)
