"""What is asked of a served model by flags, checked before anything is read."""

import dataclasses
import importlib
from collections.abc import Callable
from types import ModuleType
from typing import Any

from absl import flags

from bert_jax.errors import UserError
from bert_jax.interchange.families import ENCODER
from bert_jax.serving.onnx_model import OPSET
from bert_jax.tasks.columns import AS_IN_TRAINING, COLUMNS_HELP, HEADER_HELP

_OF_VECTORS = ("sentence-transformers", "onnx", "stablehlo")


@dataclasses.dataclass(frozen=True)
class Options:
    """The flags of export that only programs have."""

    opset: int | None = None  # of ONNX; None: the oldest that has all that is needed
    quantize: str | None = None  # "int8"
    test: str | None = None  # a labelled file, on which int8 is compared with float32
    columns: str = ""  # of that file; "": as in training
    header: str | None = None  # whether it has one: auto, yes or no; None: as in training
    dtype: str = "float32"  # of activations and products, of StableHLO
    normalize: bool = False  # sentence_embedding has length 1

    def check(self, kind: str) -> None:
        """Raise UserError where a flag is of another format, or two exclude each other, or a library is missing."""
        if self.quantize and self.dtype != "float32":
            raise UserError(
                f"--quantize={self.quantize} is made of float32 weights, not {self.dtype}; leave out --dtype"
            )
        for name, of_kind, default in (
            ("opset", "onnx", None),
            ("quantize", "onnx", None),
            ("dtype", "stablehlo", "float32"),
        ):
            value: Any = getattr(self, name)
            if value != default and kind != of_kind:
                raise UserError(f"--{name}={value} is for --format={of_kind}; leave it out with --format={kind}")
        if self.normalize and kind not in _OF_VECTORS:
            raise UserError(
                f"--normalize is for vectors (--format={', '.join(_OF_VECTORS)}); leave it out with --format={kind}"
            )
        if self.test and not self.quantize:
            raise UserError(f"--test={self.test} is for comparing int8 with float32; give --quantize=int8, or evaluate")
        for name in ("columns", "header"):
            if getattr(self, name) and not self.test:
                raise UserError(f"--{name}={getattr(self, name)} is for the file of --test; give that, too")
        if kind == "onnx":
            _check_opset(self.opset, library("onnx", "--format=onnx"))
        if self.quantize:
            library("onnxruntime", f"--quantize={self.quantize}")

    def check_head(self, head: str) -> None:
        """Raise UserError where vectors are asked for and a model with this head gives none."""
        if self.normalize and head != ENCODER:
            raise UserError(
                "--normalize is for vectors, and this model gives what its head does; leave it out, or give "
                "--drop_heads for the encoder"
            )


def define_options() -> Callable[[], Options]:
    """Define a flag for each option but normalize, which export has; gives what reads them."""
    flags.DEFINE_integer("opset", None, f"onnx: version of its operators, from {OPSET} on. Default: {OPSET}.", 1, 1000)
    flags.DEFINE_enum("quantize", None, ["int8"], "onnx: int8 weights; what that changes is measured and written.")
    flags.DEFINE_string("test", None, "With --quantize: labelled file to measure on. Default: a few sentences.")
    flags.DEFINE_string("columns", "", f"With --test. {COLUMNS_HELP}{AS_IN_TRAINING}")
    flags.DEFINE_enum("header", None, ["auto", "yes", "no"], f"With --test. {HEADER_HELP}{AS_IN_TRAINING}")
    flags.DEFINE_enum("dtype", "float32", ["float32", "bfloat16"], "stablehlo: dtype of activations and products.")
    names = [field.name for field in dataclasses.fields(Options)]

    def read() -> Options:
        given: dict[str, Any] = {name: flags.FLAGS[name].value for name in names}
        return Options(**given)

    return read


def _check_opset(opset: int | None, onnx: Any) -> None:
    newest = onnx.defs.onnx_opset_version()
    if opset is not None and opset < OPSET:
        raise UserError(f"--opset={opset} has no LayerNormalization, which came with {OPSET}; give {OPSET} to {newest}")
    if opset is not None and opset > newest:
        raise UserError(
            f"--opset={opset} is newer than the installed onnx, {onnx.__version__}; give {OPSET} to {newest}"
        )


def library(name: str, what: str) -> ModuleType:
    """Import an optional library; UserError if `what` needs it and it is not installed."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise UserError(f"{what} needs {name}, which is not installed; run launch/setup.sh onnx") from error
