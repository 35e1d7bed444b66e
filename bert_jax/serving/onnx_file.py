"""`export --format=onnx`: the graph in a file, with what int8 costs where it is asked for."""

import math
from pathlib import Path
from typing import Any

from absl import logging
from etils import epath

from bert_jax.interchange.programs import Servable, write_settings
from bert_jax.serving.comparison import compare, read_labelled
from bert_jax.serving.int8 import quantize
from bert_jax.serving.onnx_model import OPSET, onnx_model
from bert_jax.serving.options import Options
from bert_jax.serving.program_card import int8_card, onnx_card
from bert_jax.serving.signature import Signature, signature

FILE, DATA, INT8_FILE = "model.onnx", "model.onnx_data", "model_quantized.onnx"  # as optimum calls them
LARGEST = 2**31 - 2**24  # bytes of weights in one file: protobuf reads no message of 2 GiB


def write_onnx(directory: epath.Path, model: Servable, options: Options) -> str:
    """Write the model, its settings and its tokenizer into the local `directory`; gives what its card says of it.

    Raises:
      UserError: other runtimes have no names for its head, it gives no vectors and --normalize is there, or the file of
        --test cannot be read or scored.
    """
    options.check_head(model.head)
    how = options.columns, options.header or ""
    labelled = read_labelled(model, options.test, *how) if options.test else None
    described = signature(model.head, model.config.hidden_size, model.outputs, model.has_types)
    write_settings(directory, model)
    plain = Path(directory) / FILE
    _save(model, described, options, plain, tied=not options.quantize)
    if not options.quantize:
        return onnx_card(model, described, options.opset or OPSET, FILE)
    int8 = plain.with_name(INT8_FILE)
    quantize(plain, int8)
    table = compare(plain, int8, model, labelled)
    for line in table:
        logging.info("%s: float32 %s, int8 %s", line.what, line.float32 or "-", line.int8)
    logging.warning("int8 answers depend on what else is in a batch; who wants them the same runs one text at a time")
    for file in plain.parent.glob(f"{FILE}*"):
        file.unlink()
    return onnx_card(model, described, options.opset or OPSET, INT8_FILE) + int8_card(table, options.test)


def _save(model: Servable, described: Signature, options: Options, path: Path, tied: bool) -> None:
    import onnx

    arrays, config = model.weights()
    opset = options.opset or OPSET
    normalize = options.normalize or model.normalized
    whole: Any = onnx_model(arrays, config, model.head, described, opset, normalize, tied, model.pooling)
    is_large = sum(map(_bytes, whole.graph.initializer)) > LARGEST
    onnx.save_model(whole, path, save_as_external_data=is_large, location=DATA if is_large else None)


def _bytes(weight: Any) -> int:
    """How many a weight of the graph has."""
    from onnx import helper

    return math.prod(weight.dims) * helper.tensor_dtype_to_np_dtype(weight.data_type).itemsize
