"""How the steps are run: on which devices, in which numbers, what is logged and kept of them."""

import dataclasses
import re
from typing import Annotated, Literal

from msgspec import Meta

from bert_jax.config.check import require

Cadence = Annotated[int, Meta(ge=1, le=1_000_000_000)]  # steps between two of something; more than there are: never
Axis = Annotated[int, Meta(ge=-1, le=1_000_000)]


@dataclasses.dataclass
class TrainConfig:
    """How the steps are run."""

    seed: Annotated[int, Meta(ge=0, le=2**32 - 1)] = 0  # initial weights, order of the records, dropout
    # of activations and matrix products; weights and optimizer are float32
    dtype: Literal["float32", "bfloat16"] = "float32"
    # gradient accumulation: a global batch is computed in this many parts, one after the other (see PhaseConfig, too)
    accumulation_steps: Annotated[int, Meta(ge=1, le=1_000_000)] = 1
    # rematerialisation, to save memory: what of a layer the backward pass computes again. full: all of it; dots: all
    # but the products with weights
    remat: Literal["none", "dots", "full"] = "none"
    # "threefry" (the same on any mesh), "rbg" (hardware generator); auto: rbg off the CPU
    dropout_bits: Literal["auto", "threefry", "rbg"] = "auto"
    log_every_steps: Cadence = 100
    checkpoint_every_steps: Cadence = 1000
    keep_checkpoints: Annotated[int, Meta(ge=1, le=1_000_000)] = 3
    compilation_cache: str = ""  # directory of compiled programs, for the next start; "": WORKDIR/compilation_cache
    # consecutive steps that may be skipped for a non-finite loss or gradient; one more stops the run
    max_skipped_steps: Annotated[int, Meta(ge=0, le=1_000_000_000)] = 10
    check_nans: bool = False  # stop at the first such step and name its first non-finite layer; waits for every step
    # log a loss this many deviations (scaled MAD) above the median of recent steps; 0: off
    spike_threshold: Annotated[float, Meta(ge=0, le=1e9)] = 10.0
    wandb: str = ""  # Weights & Biases project that gets the metrics too; needs the extra [wandb]


@dataclasses.dataclass
class EvaluationConfig:
    """Held-out evaluation, on the records' validation split."""

    # other records to evaluate on, with their own masks: so that runs with different records or masks are compared on
    # the same tokens; {max_seq_length} as in data.records; "": those of data.records, masked as in training
    records: str = ""
    every_steps: Cadence = 5000  # and always at the end
    max_batches: Annotated[int, Meta(ge=0, le=1_000_000_000)] = 0  # 0: the whole split
    report_sentences: Annotated[int, Meta(ge=0, le=100)] = 6  # held-out examples shown with guesses in the report


@dataclasses.dataclass
class ProfileConfig:
    """A trace of the JAX profiler, in WORKDIR/profile."""

    steps: str = ""  # "100-105": the steps to trace, first to last; "": none

    def span(self, source: str = "--config.profile.") -> tuple[int, int] | None:
        """First and last step to trace; UserError if `steps` is no such pair."""
        if not self.steps:
            return None
        found = re.fullmatch(r"([0-9]{1,9})(?:-([0-9]{1,9}))?", self.steps)
        first, last = (int(found[1]), int(found[2] or found[1])) if found else (0, 0)
        remedy = "give FIRST-LAST, say 100-105; steps count from 1"
        require(0 < first <= last, f"{source}steps", self.steps, remedy)
        return first, last

    def check_is_in(self, total_steps: int) -> None:
        """Raise UserError if a run of so many steps ends before the first one to trace."""
        first, _ = self.span() or (0, 0)
        remedy = f"the run has {total_steps} steps; trace some of them"
        require(first <= total_steps, "--config.profile.steps", self.steps, remedy)


@dataclasses.dataclass
class MeshConfig:
    """Devices along each axis of the mesh; their product is the number of devices. -1: all that are left."""

    # data parallelism; parameters and optimizer state are sharded, all-gathered once a step (weight-update sharding)
    data: Axis = -1
    fsdp: Axis = 1  # data parallelism; parameters sharded, all-gathered where a layer uses them
    tensor: Axis = 1  # tensor parallelism, of attention heads and feed-forward
    # data parallelism without sharding, outside `data` (as in HSDP); 0: chosen by parallel/mesh.py
    replica: Annotated[int, Meta(ge=0, le=1_000_000)] = 0

    def check(self, source: str = "--config.mesh.") -> None:
        """Raise UserError on a number of devices that is none."""
        for axis in ("data", "fsdp", "tensor"):
            size = getattr(self, axis)
            require(size != 0, f"{source}{axis}", size, "give a positive number, or -1 for all devices left")
