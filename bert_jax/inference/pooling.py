"""Hidden states of chosen layers to one vector a text, or one a token; runs on the device, within the jitted model."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from bert_jax.errors import UserError
from bert_jax.model.tasks import POOLINGS

OF_TEXTS = tuple(POOLINGS)
OF_TOKENS = ("words", "tokens")
COMBINED = ("concat", "sum", "mean")


@dataclasses.dataclass(frozen=True)
class Pooling:
    """Which layers, how they are combined, and what is made of the tokens."""

    kind: str = "mean"  # of OF_TEXTS or OF_TOKENS; words are made of the tokens, on the host
    layers: tuple[int, ...] = (-1,)  # 0: the embeddings' output, 1: the first layer's, -1: the last one's
    combine: str = "concat"  # of COMBINED

    @property
    def of_texts(self) -> bool:
        """Whether there is one vector a text."""
        return self.kind in OF_TEXTS

    def width(self, hidden_size: int) -> int:
        """Numbers of a vector."""
        return hidden_size * (len(self.layers) if self.combine == "concat" else 1)

    def check(self, num_layers: int, argument: str = "--layers") -> None:
        """Raise UserError, which names the `argument`, if the model has no such layer."""
        for layer in self.layers:
            if not -num_layers - 1 <= layer <= num_layers:
                raise UserError(
                    f"{argument}: the model has no layer {layer}; give 0 (the embeddings' output) to {num_layers}, or "
                    f"-1 (the last) to {-num_layers - 1}"
                )

    def __call__(self, encoder: Any, input_ids: jax.Array, attention_mask: jax.Array, segments: jax.Array) -> jax.Array:
        """int32 [batch, length] each -> float32 [batch, width], or [batch, length, width] of tokens and words.

        Padding has no part in it; a row of padding alone is 0.
        """
        first = jnp.zeros((len(input_ids), 1), jnp.int32) if self.kind == "cls" else None
        states = encoder(input_ids, attention_mask, segments, query_positions=first)
        chosen = [states[layer].astype(jnp.float32) for layer in self.layers]
        if self.kind == "cls":
            chosen = [each[:, :1] for each in chosen]  # of the last layer there is no other
        hidden = self._combined(chosen)
        return POOLINGS[self.kind](hidden, attention_mask) if self.of_texts else hidden

    def _combined(self, states: list[jax.Array]) -> jax.Array:
        if self.combine == "concat":
            return jnp.concatenate(states, axis=-1)
        total = sum(states[1:], states[0])
        return total if self.combine == "sum" else total / len(states)


def layers_of(text: str) -> tuple[int, ...]:
    """The value of --layers; UserError if it is none."""
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise UserError(
            f"--layers={text} is no list of layers; give numbers with commas between, as in -1,-2"
        ) from None
