"""Vectors of texts: a pretrained encoder and how its states are pooled, on all devices."""

from collections.abc import Sequence

import jax
import numpy as np
from jax.sharding import Mesh

from bert_jax.config import TextConfig
from bert_jax.inference.forward import TOKENS, DeviceModel
from bert_jax.inference.pooling import Pooling
from bert_jax.inference.progress import Watch
from bert_jax.interchange.pretrained import Pretrained
from bert_jax.model.functional import Params
from bert_jax.model.tasks import task_model
from bert_jax.parallel.mesh import by_sequence
from bert_jax.tasks import whole_texts
from bert_jax.tasks.encoding import TextEncoder
from bert_jax.tasks.examples import TextExample
from bert_jax.tasks.rows import Rows, make_rows
from bert_jax.tasks.text_tokens import TextTokens, TextWords, tokens_of


class Embedder(DeviceModel):
    """Makes vectors of texts."""

    def __init__(
        self,
        pretrained: Pretrained,
        pooling: Pooling,
        text: TextConfig,
        mesh: Mesh,
        normalize: bool = False,
        tokens: int = TOKENS,
        dtype: str = "float32",
        few_rows: bool = False,
    ) -> None:
        """`normalize`: vectors of texts have length 1; `dtype` is that of activations and products.

        tokens, few_rows: of a batch, as for Forward.

        Raises:
          UserError: the model has no such layer, or lacks some of its weights.
        """
        config = pretrained.config
        pooling.check(config.num_hidden_layers)
        model = task_model("embedding", 0, config, dtype, by_sequence=by_sequence(mesh))

        def compute(params: Params, batch: dict[str, jax.Array]) -> jax.Array:
            encoder = model.module(params).encoder  # type: ignore[attr-defined]  # of any task model
            return pooling(encoder, batch["input_ids"], batch["attention_mask"], batch["segment_ids"])

        how = {"per_token": not pooling.of_texts, "tokens": tokens, "few_rows": few_rows}
        super().__init__(model, config.max_position_embeddings, pretrained.arrays, mesh, compute, **how)
        self.pooling, self._normalize = pooling, normalize
        self.encoder = TextEncoder(pretrained.tokenizer, text, windows=False)
        self.dim = pooling.width(config.hidden_size)

    def vectors(self, examples: Sequence[TextExample], watch: Watch = iter) -> np.ndarray:
        """Of each text or pair, in their order: float32 [examples, dim]."""
        if not examples:
            return np.zeros((0, self.dim), np.float32)
        rows = whole_texts.encode(examples, self.encoder)
        found = np.stack(self._forward.outputs(self._params, rows, watch))
        if len(rows) > len(examples):
            found = self._over_windows(found, rows, len(examples))
        return unit(found) if self._normalize else found

    def of_texts(self, texts: Sequence[str], watch: Watch = iter) -> np.ndarray:
        """Of single texts: float32 [texts, dim]."""
        return self.vectors([TextExample("", None, text, None, None) for text in texts], watch)

    def _over_windows(self, found: np.ndarray, rows: Rows, examples: int) -> np.ndarray:
        """Vectors of rows -> of examples: of max the maximum, else the mean, weighted by the windows' tokens."""
        starts = np.searchsorted(rows.example, np.arange(examples))
        if self.pooling.kind == "max":
            return np.maximum.reduceat(found, starts)
        weights = rows.lengths.astype(np.float64)[:, None]
        return (np.add.reduceat(found * weights, starts) / np.add.reduceat(weights, starts)).astype(np.float32)

    def tokens(self, example: TextExample) -> TextTokens:
        """A text or pair in tokens, for `states`."""
        return tokens_of(self.encoder, example.text, example.text2)

    def states(self, texts: Sequence[TextTokens], watch: Watch = iter) -> list[np.ndarray]:
        """Of each token of each text: float32 [tokens, dim]; of one in several windows, where it has most context."""
        number = [place for place, text in enumerate(texts) for _ in text.rows]
        rows = make_rows([row for text in texts for row in text.rows], number)
        outputs = self._forward.outputs(self._params, rows, watch)
        starts = np.searchsorted(rows.example, np.arange(len(texts) + 1))
        return [
            _of_best_windows(outputs[start:stop], text)
            for text, start, stop in zip(texts, starts[:-1], starts[1:], strict=True)
        ]


def _of_best_windows(windows: Sequence[np.ndarray], text: TextTokens) -> np.ndarray:
    if len(windows) == 1:
        return windows[0]
    return np.stack([windows[window][place] for window, place in zip(text.windows, text.places, strict=True)])


def mean_of_pieces(states: np.ndarray, words: TextWords) -> np.ndarray:
    """States of tokens [tokens, dim] -> of words, the mean of each one's pieces; 0 of a word without."""
    there = words.word_of >= 0
    sums = np.zeros((len(words.pieces), states.shape[1]))
    np.add.at(sums, words.word_of[there], states[there])
    return (sums / np.maximum(words.pieces, 1)[:, None]).astype(np.float32)


def unit(vectors: np.ndarray) -> np.ndarray:
    """At length 1; one of length 0 stays."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)
