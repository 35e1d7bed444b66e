"""One phase's training step, compiled for a topology by a worker process with a time limit (compile_worker.py)."""

import contextlib
import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from bert_jax.config import Config, ModelConfig
from bert_jax.ctrl_c import kept_from_children
from bert_jax.data.packing import Packing
from bert_jax.errors import UserError
from bert_jax.planning.progress import wait
from bert_jax.planning.topologies import Topology
from bert_jax.storage.json_file import read_json

# JAX itself must not look for a TPU; the TPU library must not ask the cloud where it is, nor lock others out.
ENVIRONMENT = {
    "JAX_PLATFORMS": "cpu",
    "JAX_ENABLE_COMPILATION_CACHE": "false",
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_ACCELERATOR_TYPE": "v5litepod-4",
    "TPU_LOG_DIR": "disabled",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
}


@dataclasses.dataclass(frozen=True)
class Request:
    """What to compile: a phase of a resolved config whose vocab_size is known."""

    config: Config
    phase: int
    max_predictions_per_seq: int
    topology: Topology
    packing: Packing | None = None  # of rows that hold several sequences
    teacher: ModelConfig | None = None  # of a run that has one

    @property
    def predictions_per_row(self) -> int:
        """Masked tokens of a row of the batch, at most."""
        return self.packing.predictions_per_row if self.packing else self.max_predictions_per_seq

    @property
    def title(self) -> str:
        """For people, as in "v3:8x8: compiling phase 0"."""
        return f"{self.topology.name}: compiling phase {self.phase}"


@dataclasses.dataclass(frozen=True)
class Compiled:
    """The step as the compiler made it. Bytes are of one device."""

    text: str  # scheduled HLO of one device
    flops: dict[str, int]  # of the matrix products by part of the model, over all devices
    bytes: dict[str, int]  # parameters, optimizer state, batch, teacher; arguments (all of these), temporaries, program
    host_flops: float | None  # FLOP/s that this host shows, where it is planned for
    compile_seconds: float
    mesh: dict[str, int] = dataclasses.field(default_factory=dict)  # devices along each axis
    layout: list[str] = dataclasses.field(default_factory=list)  # for people: what is kept in many copies


@dataclasses.dataclass(frozen=True)
class Asked:
    """request.json: a Request as the child reads it."""

    config: dict[str, Any]
    phase: int
    max_predictions_per_seq: int
    topology: str
    packing: Packing | None
    teacher: ModelConfig | None


@dataclasses.dataclass(frozen=True)
class TooLarge:
    """Of result.json: the step does not fit. NaN where the compiler gives none."""

    sizes: dict[str, int]
    used_bytes: float
    limit_bytes: float


@dataclasses.dataclass(frozen=True)
class Numbers:
    """Of result.json: what Compiled has beside the text."""

    flops: dict[str, int]
    bytes: dict[str, int]
    mesh: dict[str, int]
    layout: list[str]
    host_flops: float | None
    compile_seconds: float


@dataclasses.dataclass(frozen=True)
class Result:
    """result.json: one of these."""

    compiled: Numbers | None = None
    user_error: str | None = None
    does_not_fit: TooLarge | None = None
    compiler_error: str | None = None


class CompilationError(Exception):
    """The compiler crashed, refused or took too long; the message is one line."""


class DoesNotFitError(Exception):
    """The step needs more memory than a device has."""

    def __init__(self, sizes: dict[str, int], used_bytes: float, limit_bytes: float) -> None:
        super().__init__("the step does not fit the device's memory")
        self.sizes = sizes  # parameters, optimizer state, batch
        self.used_bytes, self.limit_bytes = used_bytes, limit_bytes  # NaN where the compiler gives none


def compile_step(request: Request, limit_seconds: float, child: str = "bert_jax.planning.compile_worker") -> Compiled:
    """Compile the step in a process of its own; `child` is the module that does it.

    Raises:
      UserError: config and topology do not go together.
      DoesNotFitError: it needs more memory than there is.
      CompilationError: there is no result.
    """
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        asked = Asked(
            config=dataclasses.asdict(request.config),
            phase=request.phase,
            max_predictions_per_seq=request.max_predictions_per_seq,
            topology=request.topology.name,
            packing=request.packing,
            teacher=request.teacher,
        )
        (directory / "request.json").write_text(json.dumps(dataclasses.asdict(asked)))
        _run([sys.executable, "-m", child, name], request, directory, limit_seconds)
        return _read(directory)


def _environment(topology: Topology) -> dict[str, str]:
    virtual = {} if topology.chip else {"JAX_NUM_CPU_DEVICES": str(topology.devices)}
    return os.environ | ENVIRONMENT | virtual


def _run(command: list[str], request: Request, directory: Path, limit_seconds: float) -> None:
    with (directory / "log.txt").open("wb") as log, _started(command, _environment(request.topology), log) as process:
        try:
            wait(process, request.title, limit_seconds)
        except subprocess.TimeoutExpired:
            raise CompilationError(f"the compiler took longer than {limit_seconds:g} s (--compile_minutes)") from None
    if process.returncode < 0:
        raise CompilationError(f"the compiler crashed ({signal.Signals(-process.returncode).name})")
    if process.returncode or not (directory / "result.json").exists():
        reason = _reason(directory / "log.txt")
        raise CompilationError(f"the compiler ended with status {process.returncode}: {reason}")


@contextlib.contextmanager
def _started(command: list[str], environment: dict[str, str], log: BinaryIO) -> Iterator[subprocess.Popen[bytes]]:
    """The compiler's process, which has ended when the block ends, however that does."""
    process = None
    try:
        with kept_from_children():
            # Nothing is written to its standard input, which ends with this process, however that ends.
            process = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=log, stderr=log)
        yield process
    finally:
        if process is not None:
            process.kill()
            process.wait()  # it writes nothing any more: the directory can be removed


def _reason(log: Path) -> str:
    """The last exception in a log, or its last line; what JAX adds about its traceback follows the exception."""
    lines = log.read_text().strip().splitlines() or ["no output"]
    exceptions = [line for line in lines if re.match(r"[\w.]+(Error|Exception|Exit|Interrupt)\b", line)]
    return (exceptions or lines)[-1][:300]


def _read(directory: Path) -> Compiled:
    result = read_json(directory / "result.json", Result, "plan again")
    if result.user_error is not None:
        raise UserError(result.user_error)
    if result.does_not_fit is not None:
        raise DoesNotFitError(**vars(result.does_not_fit))
    if result.compiled is None:
        raise CompilationError(result.compiler_error or "the compiler's process left no numbers")
    return Compiled(text=(directory / "step.txt").read_text(), **vars(result.compiled))
