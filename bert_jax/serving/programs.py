"""The formats in which a model is a program."""

import functools
from collections.abc import Callable

from etils import epath

from bert_jax.interchange.programs import Servable
from bert_jax.serving.onnx_file import write_onnx
from bert_jax.serving.options import Options
from bert_jax.serving.stablehlo import write_stablehlo

_WRITERS = {"onnx": write_onnx, "stablehlo": write_stablehlo}


def program_writer(kind: str, options: Options) -> Callable[[epath.Path, Servable], str] | None:
    """What writes a model in the format `kind` and gives what its card says of that; None: it is no program's.

    Raises:
      UserError: the `options` are not for this format, or a library is missing.
    """
    options.check(kind)
    return functools.partial(_WRITERS[kind], options=options) if kind in _WRITERS else None
