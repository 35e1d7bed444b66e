"""int8 by onnxruntime's dynamic quantisation: weights when the model is exported, activations while it runs."""

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path


def quantize(source: Path, target: Path) -> None:
    """Write the ONNX file `source` with int8 products and tables, a scale for each of a kernel's outputs.

    Weights have 7 bits: with 8, products overflow on x86 processors without VNNI (onnxruntime's quantization.md), and
    what is lost otherwise by it does not show (WORKSPACE_NOTES.md).
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with _quietly():
        quantize_dynamic(
            source,
            target,
            weight_type=QuantType.QInt8,
            per_channel=True,
            reduce_range=True,
            op_types_to_quantize=["MatMul", "Gather"],
        )


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Without its advice, on the root logger, to prepare the file: what that would do is of no use to a Transformer."""
    root = logging.getLogger()
    before = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(before)
