"""Our model as an ONNX graph, written straight from its parameters; shapes are those of what it is given."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from bert_jax.config import ModelConfig
from bert_jax.interchange.families import ENCODER
from bert_jax.model.pretraining import MASKED_LM
from bert_jax.serving.onnx_encoder import EMBEDDINGS, EncoderGraph
from bert_jax.serving.onnx_graph import FLOAT, INT64
from bert_jax.serving.signature import CHOICES, Axes, Signature

OPSET = 17  # the first with LayerNormalization


def onnx_model(
    arrays: Mapping[str, np.ndarray],
    config: ModelConfig,
    head: str,
    described: Signature,
    opset: int = OPSET,
    normalize: bool = False,
    tied: bool = True,
    pooling: str = "mean",
) -> Any:
    """The ModelProto of the float32 `arrays`, by our paths, with this head.

    normalize: sentence_embedding has length 1. tied: the masked-LM head multiplies with the word table as it lies
    there; else with a copy, for those who want each product with a weight of its own (int8.py). pooling: how the
    sentence_embedding is made of the tokens' states.
    """
    from onnx import helper

    graph = _Model(arrays, config, tied)
    names = {name: graph.flat(name) if CHOICES in axes else name for name, axes in described.inputs.items()}
    mask = names["attention_mask"]
    hidden = graph.encoder(names["input_ids"], mask, names.get("token_type_ids"), head == ENCODER)
    of_texts = {"sequence": graph.sequence, "choice": graph.choice}
    if head == ENCODER:
        graph.vector(hidden, mask, pooling, normalize)
    elif head in of_texts:
        of_texts[head](graph.pooled(hidden, mask))
    else:
        {MASKED_LM: graph.masked_lm, "token": graph.token, "span": graph.span}[head](hidden)
    inputs = [_value(name, INT64, axes) for name, axes in described.inputs.items()]
    outputs = [_value(name, FLOAT, axes) for name, axes in described.outputs.items()]
    whole = helper.make_graph(graph.nodes, "bert_jax", inputs, outputs, graph.weights)
    opsets = [helper.make_opsetid("", opset)]
    # The oldest version of the file's format that has the opset: older runtimes refuse newer ones.
    return helper.make_model(
        whole, opset_imports=opsets, ir_version=helper.find_min_ir_version_for(opsets), producer_name="bert_jax"
    )


def _value(name: str, kind: int, axes: Axes) -> Any:
    from onnx import helper

    return helper.make_tensor_value_info(name, kind, list(axes))


class _Model(EncoderGraph):
    """The encoder and its heads."""

    def __init__(self, arrays: Mapping[str, np.ndarray], config: ModelConfig, tied: bool) -> None:
        super().__init__(arrays, config)
        self._tied = tied

    def flat(self, name: str) -> str:
        """[batch, choices, length] -> [batch * choices, length]."""
        length = self("Shape", name, start=2, end=3)
        return self("Reshape", name, self("Concat", self.integers(-1), length, axis=0))

    def vector(self, hidden: str, mask: str, pooling: str, normalize: bool) -> str:
        """What is made of the tokens' states (model/tasks.py's POOLINGS)."""
        name = "" if normalize else "sentence_embedding"
        pooled = {"mean": self.mean, "cls": self.first_token, "max": self.largest}[pooling](hidden, mask, name)
        if not normalize:
            return pooled
        length = self("Sqrt", self("ReduceSum", self("Mul", pooled, pooled), self.integers(1), keepdims=1))
        return self("Div", pooled, self("Max", length, self.number(1e-12)), name="sentence_embedding")

    def mean(self, hidden: str, mask: str, name: str) -> str:
        """The mean of the tokens' states."""
        weights = self("Unsqueeze", self("Cast", mask, to=FLOAT), self.integers(2))
        sums = self("ReduceSum", self("Mul", hidden, weights), self.integers(1), keepdims=0)
        count = self("Max", self("ReduceSum", weights, self.integers(1), keepdims=0), self.number(1e-9))
        return self("Div", sums, count, name=name)

    def first_token(self, hidden: str, mask: str, name: str) -> str:
        """[CLS]' state."""
        del mask
        return self("Gather", hidden, self.integer(0), name=name, axis=1)

    def largest(self, hidden: str, mask: str, name: str) -> str:
        """The largest of the tokens' states, number by number."""
        is_token = self("Unsqueeze", self("Cast", mask, to=FLOAT), self.integers(2))
        shown = self("Sub", hidden, self("Mul", self("Sub", self.number(1), is_token), self.number(1e30)))
        # A pooling, since a largest along an axis is asked for in one way before opset 18 and in another since.
        largest = self("Squeeze", self("GlobalMaxPool", self("Transpose", shown, perm=[0, 2, 1])), self.integers(2))
        is_text = self("Min", self("ReduceSum", is_token, self.integers(1), keepdims=0), self.number(1))
        return self("Mul", largest, is_text, name=name)  # 0 of a row of padding alone

    def masked_lm(self, hidden: str) -> str:
        """A logit for each token of the vocabulary."""
        features = self.norm(self.activation(self.dense(hidden, "masked_lm/transform")), "masked_lm/norm")
        word = f"{EMBEDDINGS}/word/embedding"
        table = (
            self("Transpose", word, perm=[1, 0]) if self._tied else self.weight(f"{word}/turned", self._arrays[word].T)
        )
        product = self("MatMul", features, table)
        return self("Add", product, self.parameter("masked_lm/output_bias"), name="logits")

    def pooled(self, hidden: str, mask: str) -> str:
        """The pooler's output of the first tokens [batch, width], or left to right of the last ones."""
        if self._config.left_to_right:
            place = self("Sub", self("ReduceSum", mask, self.integers(1), keepdims=1), self.integer(1))
            token = self("GatherND", hidden, self("Max", place, self.integer(0)), batch_dims=1)
        else:
            token = self("Gather", hidden, self.integer(0), axis=1)
        return self("Tanh", self.dense(token, "encoder/pooler"))

    def sequence(self, pooled: str) -> str:
        """Numbers of the whole text."""
        return self.dense(pooled, "classifier", "logits")

    def token(self, hidden: str) -> str:
        """Numbers of each token."""
        return self.dense(hidden, "classifier", "logits")

    def span(self, hidden: str) -> str:
        """Two numbers of each token."""
        both = self.dense(hidden, "classifier")
        self("Gather", both, self.integer(0), name="start_logits", axis=-1)
        return self("Gather", both, self.integer(1), name="end_logits", axis=-1)

    def choice(self, pooled: str) -> str:
        """A number of each choice, [batch, choices]."""
        number = self.dense(pooled, "classifier")
        return self("Reshape", number, self("Shape", "input_ids", start=0, end=2), name="logits")
