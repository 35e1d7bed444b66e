"""An ONNX graph in the making: nodes in their order, and each weight once."""

from typing import Any

import numpy as np

FLOAT, INT64 = 1, 7  # TensorProto.DataType


class Graph:
    """Nodes and weights; a value is known by its name."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self._weights: dict[str, Any] = {}

    @property
    def weights(self) -> list[Any]:
        """TensorProtos."""
        return list(self._weights.values())

    def __call__(self, kind: str, *inputs: str, name: str = "", **attributes: Any) -> str:
        """Append a node of this kind; gives the name of its output, `name` if that is to be one of the graph's."""
        from onnx import helper

        output = name or f"{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [output], name=output, **attributes))
        return output

    def weight(self, name: str, array: np.ndarray) -> str:
        """Keep `array`, which may be given again, under its name; gives the name."""
        from onnx import numpy_helper

        if name not in self._weights:
            self._weights[name] = numpy_helper.from_array(np.asarray(array, order="C"), name)
        return name

    def number(self, value: float) -> str:
        """A float32 scalar."""
        return self.weight(f"number_{value!r}", np.array(value, np.float32))

    def integers(self, *values: int) -> str:
        """An int64 vector, of a shape or of axes."""
        return self.weight("integers_" + "_".join(map(str, values)), np.array(values, np.int64))

    def integer(self, value: int) -> str:
        """An int64 scalar."""
        return self.weight(f"integer_{value}", np.array(value, np.int64))
