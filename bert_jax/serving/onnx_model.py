"""Our model as an ONNX graph, written straight from its parameters; shapes are those of what it is given.

The order of nodes is that of transformers' BERT as torch exports it: by it onnxruntime knows attention, LayerNorm and
GELU again (`python -m onnxruntime.transformers.optimizer` makes one node of each). Positions are ours: 0, 1, ... in
every family, padding included.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from bert_jax.config import ModelConfig
from bert_jax.interchange.families import ENCODER
from bert_jax.model.layers import MASKED_SCORE
from bert_jax.model.pretraining import MASKED_LM
from bert_jax.serving.onnx_graph import Graph
from bert_jax.serving.signature import CHOICES, Axes, Signature

OPSET = 17  # the first with LayerNormalization
EMBEDDINGS = "encoder/embeddings"
_FLOAT, _INT64 = 1, 7  # TensorProto.DataType


def onnx_model(
    arrays: Mapping[str, np.ndarray],
    config: ModelConfig,
    head: str,
    described: Signature,
    opset: int = OPSET,
    normalize: bool = False,
    tied: bool = True,
) -> Any:
    """The ModelProto of the float32 `arrays`, by our paths, with this head.

    normalize: sentence_embedding has length 1. tied: the masked-LM head multiplies with the word table as it lies
    there; else with a copy, for those who want each product with a weight of its own (int8.py).
    """
    from onnx import helper

    graph = _Model(arrays, config, tied)
    names = {name: graph.flat(name) if CHOICES in axes else name for name, axes in described.inputs.items()}
    hidden = graph.encoder(names["input_ids"], names["attention_mask"], names.get("token_type_ids"), head == ENCODER)
    if head == ENCODER:
        graph.mean(hidden, names["attention_mask"], normalize)
    else:
        {
            MASKED_LM: graph.masked_lm,
            "sequence": graph.sequence,
            "token": graph.token,
            "span": graph.span,
            "choice": graph.choice,
        }[head](hidden)
    inputs = [_value(name, _INT64, axes) for name, axes in described.inputs.items()]
    outputs = [_value(name, _FLOAT, axes) for name, axes in described.outputs.items()]
    whole = helper.make_graph(graph.nodes, "bert_jax", inputs, outputs, graph.weights)
    opsets = [helper.make_opsetid("", opset)]
    # The oldest version of the file's format that has the opset: older runtimes refuse newer ones.
    return helper.make_model(
        whole, opset_imports=opsets, ir_version=helper.find_min_ir_version_for(opsets), producer_name="bert_jax"
    )


def _value(name: str, kind: int, axes: Axes) -> Any:
    from onnx import helper

    return helper.make_tensor_value_info(name, kind, list(axes))


class _Model(Graph):
    """The parts of a model."""

    def __init__(self, arrays: Mapping[str, np.ndarray], config: ModelConfig, tied: bool) -> None:
        super().__init__()
        self._arrays, self._config, self._tied = arrays, config, tied

    def parameter(self, path: str) -> str:
        """One of the arrays."""
        return self.weight(path, self._arrays[path])

    def dense(self, values: str, path: str, name: str = "") -> str:
        """Times a kernel [in, out], plus a bias."""
        product = self("MatMul", values, self.parameter(f"{path}/kernel"))
        return self("Add", product, self.parameter(f"{path}/bias"), name=name)

    def norm(self, values: str, path: str, name: str = "") -> str:
        """LayerNorm over the last axis."""
        scale, bias = self.parameter(f"{path}/scale"), self.parameter(f"{path}/bias")
        epsilon = self._config.layer_norm_eps
        return self("LayerNormalization", values, scale, bias, name=name, axis=-1, epsilon=epsilon)

    def activation(self, values: str) -> str:
        """GELU, exact or by tanh."""
        if self._config.hidden_act == "gelu":
            part = self("Add", self("Erf", self("Div", values, self.number(math.sqrt(2)))), self.number(1))
            return self("Mul", self("Mul", values, part), self.number(0.5))
        cube = self("Mul", self("Pow", values, self.number(3)), self.number(0.044715))
        inner = self("Mul", self("Add", values, cube), self.number(math.sqrt(2 / math.pi)))
        part = self("Add", self("Tanh", inner), self.number(1))
        return self("Mul", self("Mul", values, self.number(0.5)), part)

    def flat(self, name: str) -> str:
        """[batch, choices, length] -> [batch * choices, length]."""
        length = self("Shape", name, start=2, end=3)
        return self("Reshape", name, self("Concat", self.integers(-1), length, axis=0))

    def encoder(self, ids: str, mask: str, types: str | None, is_output: bool) -> str:
        """The last hidden states; `is_output`: of the graph, too."""
        hidden, bias = self.embeddings(ids, types), self.score_bias(mask)
        layers = self._config.num_hidden_layers
        for number in range(layers):
            name = "last_hidden_state" if is_output and number == layers - 1 else ""
            hidden = self.layer(hidden, bias, f"encoder/layer_{self._config.distinct_layer(number)}", name)
        return hidden

    def embeddings(self, ids: str, types: str | None) -> str:
        """Words, token types and positions, summed and normalised."""
        hidden = self("Gather", self.parameter(f"{EMBEDDINGS}/word/embedding"), ids)
        if types:
            hidden = self("Add", hidden, self("Gather", self.parameter(f"{EMBEDDINGS}/token_type/embedding"), types))
        # 0, 1, ...: the places of the ones among so many ones. Too long a text is then an index out of range.
        ones = self("ConstantOfShape", self("Shape", ids, start=1, end=2), value=_one())
        positions = self("Gather", self.parameter(f"{EMBEDDINGS}/position/embedding"), self("NonZero", ones))
        hidden = self.norm(self("Add", hidden, positions), f"{EMBEDDINGS}/norm")
        return self.dense(hidden, f"{EMBEDDINGS}/projection") if self._config.embedding_size else hidden

    def score_bias(self, mask: str) -> str:
        """What is added to the scores of padding: [batch, 1, 1, length]."""
        whole = self("Unsqueeze", self("Unsqueeze", mask, self.integers(1)), self.integers(2))
        absent = self("Sub", self.number(1), self("Cast", whole, to=_FLOAT))
        return self("Mul", absent, self.number(MASKED_SCORE))

    def layer(self, hidden: str, bias: str, path: str, name: str) -> str:
        """Attention and feed-forward."""
        attended = self.dense(self.attention(hidden, bias, f"{path}/attention"), f"{path}/attention/output")
        hidden = self.norm(self("Add", attended, hidden), f"{path}/attention_norm")
        fed = self.dense(self.activation(self.dense(hidden, f"{path}/intermediate")), f"{path}/output")
        return self.norm(self("Add", fed, hidden), f"{path}/output_norm", name)

    def attention(self, hidden: str, bias: str, path: str) -> str:
        """The context of each token: [batch, length, width]."""
        width, heads = self._config.hidden_size, self._config.num_attention_heads

        def of_heads(part: str, axes: list[int]) -> str:
            projected = self.dense(hidden, f"{path}/{part}")
            shape = self.integers(0, 0, heads, width // heads)
            return self("Transpose", self("Reshape", projected, shape), perm=axes)

        queries, keys, values = (
            of_heads(part, axes)
            for part, axes in (("query", [0, 2, 1, 3]), ("key", [0, 2, 3, 1]), ("value", [0, 2, 1, 3]))
        )
        scores = self("Div", self("MatMul", queries, keys), self.number(math.sqrt(width // heads)))
        weights = self("Softmax", self("Add", scores, bias), axis=3)
        context = self("Transpose", self("MatMul", weights, values), perm=[0, 2, 1, 3])
        return self("Reshape", context, self.integers(0, 0, width))

    def mean(self, hidden: str, mask: str, normalize: bool) -> str:
        """The mean of the tokens' states."""
        weights = self("Unsqueeze", self("Cast", mask, to=_FLOAT), self.integers(2))
        sums = self("ReduceSum", self("Mul", hidden, weights), self.integers(1), keepdims=0)
        count = self("Max", self("ReduceSum", weights, self.integers(1), keepdims=0), self.number(1e-9))
        if not normalize:
            return self("Div", sums, count, name="sentence_embedding")
        mean = self("Div", sums, count)
        length = self("Sqrt", self("ReduceSum", self("Mul", mean, mean), self.integers(1), keepdims=1))
        return self("Div", mean, self("Max", length, self.number(1e-12)), name="sentence_embedding")

    def masked_lm(self, hidden: str) -> str:
        """A logit for each token of the vocabulary."""
        features = self.norm(self.activation(self.dense(hidden, "masked_lm/transform")), "masked_lm/norm")
        word = f"{EMBEDDINGS}/word/embedding"
        table = (
            self("Transpose", word, perm=[1, 0]) if self._tied else self.weight(f"{word}/turned", self._arrays[word].T)
        )
        product = self("MatMul", features, table)
        return self("Add", product, self.parameter("masked_lm/output_bias"), name="logits")

    def pooled(self, hidden: str) -> str:
        """The pooler's output of the first tokens [batch, width]."""
        first = self("Gather", hidden, self.integer(0), axis=1)
        return self("Tanh", self.dense(first, "encoder/pooler"))

    def sequence(self, hidden: str) -> str:
        """Numbers of the whole text."""
        return self.dense(self.pooled(hidden), "classifier", "logits")

    def token(self, hidden: str) -> str:
        """Numbers of each token."""
        return self.dense(hidden, "classifier", "logits")

    def span(self, hidden: str) -> str:
        """Two numbers of each token."""
        both = self.dense(hidden, "classifier")
        self("Gather", both, self.integer(0), name="start_logits", axis=-1)
        return self("Gather", both, self.integer(1), name="end_logits", axis=-1)

    def choice(self, hidden: str) -> str:
        """A number of each choice, [batch, choices]."""
        number = self.dense(self.pooled(hidden), "classifier")
        return self("Reshape", number, self("Shape", "input_ids", start=0, end=2), name="logits")


def _one() -> Any:
    from onnx import numpy_helper

    return numpy_helper.from_array(np.ones(1, np.int64))
