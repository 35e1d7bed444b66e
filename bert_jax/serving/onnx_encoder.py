"""The encoder as a part of an ONNX graph, with what heads are made of, too.

The order of nodes is that of transformers' BERT as torch exports it: by it onnxruntime knows attention, LayerNorm and
GELU again (`python -m onnxruntime.transformers.optimizer` makes one node of each). Positions are ours: 0, 1, ... in
every family, padding included. Layers that are not BERT's are as in bert_jax/model/.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from bert_jax.config import ModelConfig
from bert_jax.model.layers import MASKED_SCORE
from bert_jax.model.rotary import speeds
from bert_jax.serving.onnx_graph import FLOAT, INT64, Graph

EMBEDDINGS = "encoder/embeddings"
Rotation = tuple[str, str]  # cosines and sines, [length, head_dim / 2]


class EncoderGraph(Graph):
    """Nodes of a model's layers, of its arrays by our paths."""

    def __init__(self, arrays: Mapping[str, np.ndarray], config: ModelConfig) -> None:
        super().__init__()
        self._arrays, self._config = arrays, config
        self._head_dim = config.hidden_size // config.num_attention_heads

    def has(self, path: str) -> bool:
        """Whether the model has this parameter."""
        return path in self._arrays

    def parameter(self, path: str) -> str:
        """One of the arrays."""
        return self.weight(path, self._arrays[path])

    def dense(self, values: str, path: str, name: str = "") -> str:
        """Times a kernel [in, out], plus a bias, if there is one."""
        product = self("MatMul", values, self.parameter(f"{path}/kernel"))
        return self("Add", product, self.parameter(f"{path}/bias"), name=name) if self.has(f"{path}/bias") else product

    def norm(self, values: str, path: str, name: str = "") -> str:
        """LayerNorm over the last axis, without a bias where there is none."""
        parts = [self.parameter(f"{path}/{part}") for part in ("scale", "bias") if self.has(f"{path}/{part}")]
        return self("LayerNormalization", values, *parts, name=name, axis=-1, epsilon=self._config.layer_norm_eps)

    def activation(self, values: str) -> str:
        """GELU, exact or by tanh."""
        if self._config.hidden_act == "gelu":
            part = self("Add", self("Erf", self("Div", values, self.number(math.sqrt(2)))), self.number(1))
            return self("Mul", self("Mul", values, part), self.number(0.5))
        cube = self("Mul", self("Pow", values, self.number(3)), self.number(0.044715))
        inner = self("Mul", self("Add", values, cube), self.number(math.sqrt(2 / math.pi)))
        part = self("Add", self("Tanh", inner), self.number(1))
        return self("Mul", self("Mul", values, self.number(0.5)), part)

    def encoder(self, ids: str, mask: str, types: str | None, is_output: bool) -> str:
        """The last hidden states; `is_output`: of the graph, too."""
        positions, pre_norm = self.positions(ids), self._config.pre_norm
        hidden, bias = self.embeddings(ids, types, positions), self.score_bias(mask, positions)
        rotation = self.rotation(positions) if self._config.position_embedding == "rotary" else None
        layers, last = self._config.num_hidden_layers, "last_hidden_state" if is_output else ""
        for number in range(layers):
            name = last if number == layers - 1 and not pre_norm else ""
            path = f"encoder/layer_{self._config.distinct_layer(number)}"
            hidden = self.layer(hidden, bias, rotation, path, name)
        return self.norm(hidden, "encoder/final_norm", last) if pre_norm else hidden

    def positions(self, ids: str) -> str:
        """0, 1, ..., as many as a text has tokens, [1, length]: the places of the ones among so many ones."""
        return self("NonZero", self("ConstantOfShape", self("Shape", ids, start=1, end=2), value=_one()))

    def embeddings(self, ids: str, types: str | None, positions: str) -> str:
        """Words, and token types and positions if there are such, summed and normalised."""
        hidden = self("Gather", self.parameter(f"{EMBEDDINGS}/word/embedding"), ids)
        if types:
            hidden = self("Add", hidden, self("Gather", self.parameter(f"{EMBEDDINGS}/token_type/embedding"), types))
        elif self.has(f"{EMBEDDINGS}/token_type/embedding"):  # all tokens are of the first
            first = self._arrays[f"{EMBEDDINGS}/token_type/embedding"][:1]
            hidden = self("Add", hidden, self.weight(f"{EMBEDDINGS}/token_type/first", first))
        if self.has(f"{EMBEDDINGS}/position/embedding"):  # too long a text is an index out of range
            table = self.parameter(f"{EMBEDDINGS}/position/embedding")
            hidden = self("Add", hidden, self("Gather", table, positions))
        hidden = self.norm(hidden, f"{EMBEDDINGS}/norm")
        return self.dense(hidden, f"{EMBEDDINGS}/projection") if self._config.embedding_size else hidden

    def rotation(self, positions: str) -> Rotation:
        """What queries and keys are rotated by (model/rotary.py)."""
        # Through a table, so that too long a text is an error here, too; int8.py leaves whole numbers as they are.
        table = self.weight("positions", np.arange(self._config.max_position_embeddings))
        places = self("Cast", self("Gather", table, self("Transpose", positions, perm=[1, 0])), to=FLOAT)
        by_pair = speeds(self._head_dim).astype(np.float32)
        angles = self("Mul", places, self.weight("speeds", by_pair))
        return self("Cos", angles), self("Sin", angles)

    def rotated(self, heads: str, by: Rotation) -> str:
        """[batch, heads, length, head_dim], each number of the first half with one of the second."""
        half = self._head_dim // 2
        first, second = (
            self("Slice", heads, self.integers(begin), self.integers(begin + half), self.integers(3))
            for begin in (0, half)
        )
        cosine, sine = by
        turned = (
            self("Sub", self("Mul", first, cosine), self("Mul", second, sine)),
            self("Add", self("Mul", second, cosine), self("Mul", first, sine)),
        )
        return self("Concat", *turned, axis=3)

    def score_bias(self, mask: str, positions: str) -> str:
        """What is added to scores: [batch, 1, 1, length], or left to right, for each query, [.., length, length]."""
        attended = self("Unsqueeze", self("Unsqueeze", mask, self.integers(1)), self.integers(2))
        if self._config.left_to_right:
            earlier = self("LessOrEqual", positions, self("Transpose", positions, perm=[1, 0]))
            attended = self("Mul", attended, self("Cast", earlier, to=INT64))
        absent = self("Sub", self.number(1), self("Cast", attended, to=FLOAT))
        return self("Mul", absent, self.number(MASKED_SCORE))

    def layer(self, hidden: str, bias: str, rotation: Rotation | None, path: str, name: str) -> str:
        """Attention and feed-forward."""
        inputs = self.before(hidden, f"{path}/attention_norm")
        attended = self.dense(self.attention(inputs, bias, rotation, f"{path}/attention"), f"{path}/attention/output")
        hidden = self.after(self("Add", attended, hidden), f"{path}/attention_norm")
        inputs = self.before(hidden, f"{path}/output_norm")
        wide = self.dense(inputs, f"{path}/intermediate")
        if self._config.gated_feed_forward:
            wide = self("Mul", self.activation(self.dense(inputs, f"{path}/gate")), wide)
        else:
            wide = self.activation(wide)
        return self.after(self("Add", self.dense(wide, f"{path}/output"), hidden), f"{path}/output_norm", name)

    def before(self, hidden: str, norm: str) -> str:
        """What attention or the feed-forward reads of its input."""
        return self.norm(hidden, norm) if self._config.pre_norm else hidden

    def after(self, total: str, norm: str, name: str = "") -> str:
        """What becomes of its output and input, added."""
        return total if self._config.pre_norm else self.norm(total, norm, name)

    def attention(self, hidden: str, bias: str, rotation: Rotation | None, path: str) -> str:
        """The context of each token: [batch, length, width]."""
        width, heads = self._config.hidden_size, self._config.num_attention_heads

        def of_heads(part: str, axes: tuple[int, ...] = (0, 2, 1, 3)) -> str:
            projected = self.dense(hidden, f"{path}/{part}")
            shape = self.integers(0, 0, heads, width // heads)
            return self("Transpose", self("Reshape", projected, shape), perm=axes)

        if rotation:
            queries, keys = (self.rotated(of_heads(part), rotation) for part in ("query", "key"))
            keys = self("Transpose", keys, perm=[0, 1, 3, 2])
        else:
            queries, keys = of_heads("query"), of_heads("key", (0, 2, 3, 1))
        values = of_heads("value")
        scores = self("Div", self("MatMul", queries, keys), self.number(math.sqrt(width // heads)))
        weights = self("Softmax", self("Add", scores, bias), axis=3)
        context = self("Transpose", self("MatMul", weights, values), perm=[0, 2, 1, 3])
        return self("Reshape", context, self.integers(0, 0, width))


def _one() -> Any:
    from onnx import numpy_helper

    return numpy_helper.from_array(np.ones(1, np.int64))
