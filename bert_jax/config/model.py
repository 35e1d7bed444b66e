"""The architecture, and the papers': BERT, RoBERTa, ALBERT, DistilBERT."""

import dataclasses
from typing import Annotated, Any, Literal

from msgspec import Meta

from bert_jax.config.check import Share, check_fields, require

MOST_PARAMETERS = 10**11
# The layers of BERT and its family, which files of other frameworks are of.
LAYERS_OF_BERT: dict[str, Any] = {
    "pre_norm": False,
    "gated_feed_forward": False,
    "use_bias": True,
    "position_embedding": "learned",
}


@dataclasses.dataclass
class ModelConfig:
    """The architecture (google-research/bert modeling.py, BertConfig); the defaults are BERT-base, uncased.

    Attributes:
        vocab_size: tokens of the vocabulary; 0: as many as the records' vocabulary has.
        hidden_size: width of the hidden states.
        num_hidden_layers: layers of the encoder.
        num_attention_heads: heads of each layer; they divide hidden_size.
        intermediate_size: width of the feed-forward's middle.
        max_position_embeddings: tokens of a sequence, at most.
        type_vocab_size: token types (segments); 0: there are none.
        embedding_size: factorised embeddings (ALBERT): width of the embeddings and of the masked-LM head's output, with
            a dense layer between them and the layers; 0: hidden_size, without one.
        num_hidden_groups: shared layers (ALBERT): so many groups, one after the other, and the layers of a group share
            their weights; 0: none do.
        next_sentence: pretraining has a pooler and a two-class head for sentence pairs (next sentence, sentence order
            or alignment).
        left_to_right: causal attention: a token attends only to itself and to those before it.
        hidden_act: "gelu" is exact (erf), as when the paper appeared; "gelu_tanh" as released since 2019.
        hidden_dropout_prob: dropout rate of the embeddings, of what attention and feed-forward add, and before a task
            head.
        attention_probs_dropout_prob: dropout rate of the attention weights.
        initializer_range: standard deviation of the normal distribution of initial weights.
        initializer: that distribution; truncated at two standard deviations, or not.
        layer_norm_eps: epsilon of LayerNorm.
        pre_norm: LayerNorm before attention and before the feed-forward, and once more after the last layer (arXiv
            2002.04745).
        gated_feed_forward: activation(x W_gate) * (x W) in the feed-forward's middle (arXiv 2002.05202);
            intermediate_size is the width of either, so one of two thirds has as many parameters as without a gate.
        use_bias: of dense layers and LayerNorms, but for those of pooler and heads, which have one always.
        position_embedding: "rotary": queries and keys are rotated by their positions (arXiv 2104.09864), and there are
            no position embeddings.

    With pre_norm, gated_feed_forward, use_bias=False or rotary positions the layers are not BERT's, and files of other
    frameworks have no place for them (unlike_bert).
    """

    vocab_size: Annotated[int, Meta(ge=0, le=10_000_000)] = 0
    hidden_size: Annotated[int, Meta(ge=1, le=100_000)] = 768
    num_hidden_layers: Annotated[int, Meta(ge=1, le=1000)] = 12
    num_attention_heads: Annotated[int, Meta(ge=1, le=100_000)] = 12
    intermediate_size: Annotated[int, Meta(ge=1, le=1_000_000)] = 3072
    max_position_embeddings: Annotated[int, Meta(ge=1, le=1_000_000)] = 512
    type_vocab_size: Annotated[int, Meta(ge=0, le=1000)] = 2
    embedding_size: Annotated[int, Meta(ge=0, le=100_000)] = 0
    num_hidden_groups: Annotated[int, Meta(ge=0, le=1000)] = 0
    next_sentence: bool = True
    left_to_right: bool = False
    hidden_act: Literal["gelu", "gelu_tanh"] = "gelu"
    hidden_dropout_prob: Share = 0.1
    attention_probs_dropout_prob: Share = 0.1
    initializer_range: Annotated[float, Meta(gt=0, le=10)] = 0.02
    initializer: Literal["truncated_normal", "normal"] = "truncated_normal"
    layer_norm_eps: Annotated[float, Meta(ge=1e-30, le=1)] = 1e-12
    pre_norm: bool = False
    gated_feed_forward: bool = False
    use_bias: bool = True
    position_embedding: Literal["learned", "rotary"] = "learned"

    @property
    def table_width(self) -> int:
        """Numbers of a row of the word, position and token-type tables."""
        return self.embedding_size or self.hidden_size

    @property
    def distinct_layers(self) -> int:
        """How many layers have weights of their own."""
        return self.num_hidden_groups or self.num_hidden_layers

    @property
    def unlike_bert(self) -> dict[str, Any]:
        """The settings by which its layers are not BERT's nor its family's, with their values."""
        return {name: getattr(self, name) for name, value in LAYERS_OF_BERT.items() if getattr(self, name) != value}

    @property
    def how_unlike_bert(self) -> str:
        """The same for people: "pre_norm=True, use_bias=False"; "" where its layers are BERT's."""
        return ", ".join(f"{name}={value}" for name, value in self.unlike_bert.items())

    def distinct_layer(self, number: int) -> int:
        """Which of these the layer `number`, from 0, has its weights from (google-research/albert modeling.py)."""
        return number * self.distinct_layers // self.num_hidden_layers

    @property
    def parameters(self) -> int:
        """How many numbers the parameters are; without the tables of the vocabulary while vocab_size is 0."""
        width, wide, narrow = self.hidden_size, self.intermediate_size, self.table_width
        bias, wideners = int(self.use_bias), 2 if self.gated_feed_forward else 1
        positions = self.max_position_embeddings if self.position_embedding == "learned" else 0
        tables = (self.vocab_size + positions + self.type_vocab_size) * narrow + (1 + bias) * narrow
        projection = (narrow + bias) * width if self.embedding_size else 0
        norm = (1 + bias) * width
        attention = 4 * (width + bias) * width + norm
        feed_forward = wideners * (width + bias) * wide + (wide + bias) * width + norm
        layers = self.distinct_layers * (attention + feed_forward) + (norm if self.pre_norm else 0)
        masked_lm = (width + 1) * narrow + 2 * narrow + self.vocab_size
        pairs = (width + 1) * width + 2 * (width + 1) if self.next_sentence else 0  # the pooler, too
        return tables + projection + layers + masked_lm + pairs

    def check(self, source: str = "--config.model.") -> None:
        """Raise UserError on a value that no model can be built from; `source` stands before its name."""
        check_fields(self, source)
        remedy = f"give a multiple of num_attention_heads={self.num_attention_heads}"
        require(self.hidden_size % self.num_attention_heads == 0, f"{source}hidden_size", self.hidden_size, remedy)
        width = self.hidden_size // self.num_attention_heads
        remedy = f"numbers are rotated in pairs and a head has {width}; give a hidden_size or heads that make it even"
        is_rotary = self.position_embedding == "rotary"
        require(not (is_rotary and width % 2), f"{source}position_embedding", self.position_embedding, remedy)
        remedy = f"give a divisor of num_hidden_layers={self.num_hidden_layers}, or 0 for layers that share nothing"
        shares = self.num_hidden_groups
        require(not shares or self.num_hidden_layers % shares == 0, f"{source}num_hidden_groups", shares, remedy)
        remedy = "the first token, which tells about the pair, would see no other: give next_sentence=False too"
        require(not (self.left_to_right and self.next_sentence), f"{source}left_to_right", True, remedy)
        remedy = f"the model would have {self.parameters:.2g} parameters, more than {MOST_PARAMETERS:.0g}; give less"
        require(self.parameters <= MOST_PARAMETERS, f"{source}hidden_size", self.hidden_size, remedy)


def bert_base() -> ModelConfig:
    """12 layers of 768: 110,106,428 parameters with a vocabulary of 30,522 (arXiv 1810.04805, section 3)."""
    return ModelConfig()


def bert_large() -> ModelConfig:
    """24 layers of 1024: 336,226,108 parameters with a vocabulary of 30,522 (arXiv 1810.04805, section 3)."""
    return ModelConfig(hidden_size=1024, num_hidden_layers=24, num_attention_heads=16, intermediate_size=4096)


def roberta_base() -> ModelConfig:
    """12 layers of 768: 124,695,129 parameters with a vocabulary of 50,265 (arXiv 1907.11692, table 9).

    Files of it have 124,697,433: two rows of positions and one of token types, which say nothing, are added there.
    """
    return _roberta(bert_base())


def roberta_large() -> ModelConfig:
    """24 layers of 1024: 355,408,985 parameters with a vocabulary of 50,265, and 355,412,057 in files of it."""
    return _roberta(bert_large())


def _roberta(size: ModelConfig) -> ModelConfig:
    return dataclasses.replace(size, type_vocab_size=0, next_sentence=False, layer_norm_eps=1e-5, initializer="normal")


def albert_base() -> ModelConfig:
    """12 times one layer of 768: 11,813,810 parameters with a vocabulary of 30,000 (arXiv 1909.11942, table 1)."""
    return _albert(768, layers=12, heads=12)


def albert_large() -> ModelConfig:
    """24 times one layer of 1024: 17,847,474 parameters with a vocabulary of 30,000 (arXiv 1909.11942, table 1)."""
    return _albert(1024, layers=24, heads=16)


def albert_xlarge() -> ModelConfig:
    """24 times one layer of 2048: 59,021,490 parameters with a vocabulary of 30,000 (arXiv 1909.11942, table 1)."""
    return _albert(2048, layers=24, heads=16)


def albert_xxlarge() -> ModelConfig:
    """12 times one layer of 4096: 223,158,450 parameters with a vocabulary of 30,000 (arXiv 1909.11942, table 1).

    The only one that the paper trains without dropout from the start (section 4.1).
    """
    config = _albert(4096, layers=12, heads=64)
    return dataclasses.replace(config, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)


def _albert(width: int, layers: int, heads: int) -> ModelConfig:
    return ModelConfig(
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=4 * width,
        embedding_size=128,
        num_hidden_groups=1,
        hidden_act="gelu_tanh",
    )


def distilbert_base() -> ModelConfig:
    """6 layers of 768: 66,985,530 parameters with a vocabulary of 30,522 (arXiv 1910.01108, section 3)."""
    return ModelConfig(num_hidden_layers=6, type_vocab_size=0, next_sentence=False, initializer="normal")
