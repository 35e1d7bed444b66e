"""Settings that lie beside somebody's weights: their schema, family by family, as ours and back.

What they call as we do is declared once; a family's file (bert_names.py) has what its own config.json says otherwise.
"""

import dataclasses
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

import msgspec

from bert_jax.config import ModelConfig
from bert_jax.errors import UserError

Size = Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]
Rate = Annotated[float, msgspec.Meta(ge=0, lt=1)]
Small = Annotated[float, msgspec.Meta(ge=0, le=1)]  # which leaves out infinity and what is no number

# Their spellings of each activation, the first of which we write. The tanh ones are the same formula, rounded apart.
ACTIVATIONS: dict[Literal["gelu", "gelu_tanh"], tuple[str, ...]] = {
    "gelu": ("gelu", "gelu_python"),
    "gelu_tanh": ("gelu_new", "gelu_pytorch_tanh", "gelu_fast"),
}


class Settings:
    """A dataclass of a file's keys, which may be called otherwise than ours."""

    CALLED: ClassVar[Mapping[str, str]] = {}  # ours -> theirs, where they differ
    ALWAYS: ClassVar[Mapping[str, Any]] = {}  # what every model of the family is, by our names

    @classmethod
    def named(cls) -> dict[str, str]:
        """Ours -> theirs, of all settings that both have."""
        theirs = {field.name for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
        ours = [field.name for field in dataclasses.fields(ModelConfig)]
        return {name: cls.CALLED.get(name, name) for name in ours if cls.CALLED.get(name, name) in theirs}

    def to_ours(self, hidden_act: str, source: str) -> ModelConfig:
        """Our settings, with our spelling of the activation; UserError, with `source`, if they do not divide."""
        named = self.named()
        given = {ours: getattr(self, theirs) for ours, theirs in named.items()}
        config = ModelConfig(**{**given, **self.ALWAYS, "hidden_act": hidden_act})
        _check_divides(config, "num_attention_heads", "hidden_size", named, source)
        if config.num_hidden_groups:
            _check_divides(config, "num_hidden_groups", "num_hidden_layers", named, source)
        return config


def _check_divides(config: ModelConfig, part: str, whole: str, named: Mapping[str, str], source: str) -> None:
    if getattr(config, whole) % getattr(config, part):
        raise UserError(
            f"{source} says {named[whole]}={getattr(config, whole)} and {named[part]}={getattr(config, part)}, "
            "which does not divide it; fetch it again"
        )


@dataclasses.dataclass(frozen=True)
class ForeignSettings(Settings):
    """What config.json and bert_config.json call alike; a key that is left out is as in BERT-base."""

    vocab_size: Size
    hidden_size: Size = ModelConfig.hidden_size
    num_hidden_layers: Size = ModelConfig.num_hidden_layers
    num_attention_heads: Size = ModelConfig.num_attention_heads
    intermediate_size: Size = ModelConfig.intermediate_size
    max_position_embeddings: Size = ModelConfig.max_position_embeddings
    type_vocab_size: Size = ModelConfig.type_vocab_size
    hidden_act: str = ModelConfig.hidden_act
    hidden_dropout_prob: Rate = ModelConfig.hidden_dropout_prob
    attention_probs_dropout_prob: Rate = ModelConfig.attention_probs_dropout_prob
    initializer_range: Small = ModelConfig.initializer_range
    layer_norm_eps: Small = ModelConfig.layer_norm_eps


def our_activation(theirs: str) -> str | None:
    """Our spelling of it, or None."""
    return next((ours for ours, spellings in ACTIVATIONS.items() if theirs in spellings), None)
