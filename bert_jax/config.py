"""Every setting of a pretraining run: its name, its default, its meaning and its check. Declared here and nowhere else.

An experiment is a Python file in `configs/` whose `get_config()` returns a `Config`; single values are changed on
the command line with `--config.group.key=value`. Names follow the original's `bert_config.json` and flags.
"""

import copy
import dataclasses
from typing import Any

from bert_jax.errors import UserError


@dataclasses.dataclass
class ModelConfig:
    """The architecture (google-research/bert modeling.py, BertConfig); the defaults are BERT-base, uncased."""

    vocab_size: int = 0  # 0: as many as the records' vocabulary has
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    hidden_act: str = "gelu"  # "gelu" is exact (erf), as when the paper appeared; "gelu_tanh" as released since 2019
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    initializer_range: float = 0.02  # standard deviation of the truncated normal
    layer_norm_eps: float = 1e-12

    def check(self) -> None:
        """Raise UserError on a value that no model can be built from."""
        for name in (
            "hidden_size",
            "num_hidden_layers",
            "num_attention_heads",
            "intermediate_size",
            "max_position_embeddings",
            "type_vocab_size",
        ):
            _require(getattr(self, name) > 0, f"model.{name}", getattr(self, name), "give a positive number")
        _require(self.vocab_size >= 0, "model.vocab_size", self.vocab_size, "give its size, or 0 for the records'")
        _require(
            self.hidden_size % self.num_attention_heads == 0,
            "model.hidden_size",
            self.hidden_size,
            f"give a multiple of num_attention_heads={self.num_attention_heads}",
        )
        _require(
            self.hidden_act in ("gelu", "gelu_tanh"),
            "model.hidden_act",
            self.hidden_act,
            "use gelu or gelu_tanh",
        )
        for name in ("hidden_dropout_prob", "attention_probs_dropout_prob"):
            _require(0 <= getattr(self, name) < 1, f"model.{name}", getattr(self, name), "give 0 <= p < 1")


@dataclasses.dataclass
class PhaseConfig:
    """A stretch of training at one sequence length; all phases share one learning-rate schedule unless they say so."""

    steps: int = 1000
    global_batch_size: int = 256  # sequences a step, over all hosts and accumulation steps
    max_seq_length: int = 128  # tokens a sequence; picks the records
    learning_rate: float = 0.0  # 0: the schedule goes on; else a new one starts here, with this rate after its warm-up
    warmup_steps: int = 0  # of that new schedule
    packed_rows: int = 0  # rows of a step with data.packing; 0: as few as hold global_batch_size sequences on average

    @property
    def rows(self) -> int:
        """Rows of a step's arrays: one for each sequence, or fewer if they are packed."""
        return self.packed_rows or self.global_batch_size


@dataclasses.dataclass
class DataConfig:
    """Where the records are and how they are read."""

    records: str = "records/{max_seq_length}"  # directory; {max_seq_length} stands for each phase's own
    read_threads: int = 4  # threads that parse records ahead of the step
    prefetch_batches: int = 8  # batches kept ready
    cache_gigabytes: float = 50.0  # of this host's disk for copies of gs:// shards, at most half of what is free on it
    cache_directory: str = ""  # where they are; "": ~/.cache/bert_jax/shards
    packing: bool = False  # several sequences in a row, so that few of its places are padding; see data/packing.py
    allow_other_records: bool = False  # go on with other records than those that the run was trained on so far
    skip_corrupt: int = 0  # damaged records that may be skipped, in each split of each phase; one more stops the run

    def check(self) -> None:
        """Raise UserError on a value out of range."""
        _require(self.cache_gigabytes >= 0, "data.cache_gigabytes", self.cache_gigabytes, "give a size, or 0")


@dataclasses.dataclass
class OptimizerConfig:
    """The original's Adam with decoupled decay (google-research/bert optimization.py); defaults are the paper's."""

    learning_rate: float = 1e-4  # at the end of warm-up
    warmup_steps: int = 10_000
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-6  # added outside the square root
    weight_decay: float = 0.01  # on all but LayerNorm and biases
    clip_norm: float = 1.0  # global norm of the gradient; 0 turns clipping off
    clip_pieces: int = 1  # cut the batch into so many, clip the gradient of each, then sum; the original: TPU cores
    bias_correction: bool = False  # the original has none
    trust_ratio: bool = False  # LAMB (arXiv 1904.00962): scale each parameter's step to the parameter's own length
    shard_over_data: bool = True  # optimizer state is cut over the data axis too (weight-update sharding)

    def check(self) -> None:
        """Raise UserError on values that cannot train."""
        _require(self.learning_rate > 0, "optimizer.learning_rate", self.learning_rate, "give a positive rate")
        _require(self.warmup_steps >= 0, "optimizer.warmup_steps", self.warmup_steps, "give 0 or more steps")
        for name in ("beta1", "beta2"):
            _require(0 <= getattr(self, name) < 1, f"optimizer.{name}", getattr(self, name), "give 0 <= beta < 1")
        _require(self.clip_norm >= 0, "optimizer.clip_norm", self.clip_norm, "give a norm, or 0 for no clipping")
        _require(self.clip_pieces > 0, "optimizer.clip_pieces", self.clip_pieces, "give 1, or as many as cores")


@dataclasses.dataclass
class TrainConfig:
    """How the steps are run."""

    seed: int = 0  # initial weights, order of the records, dropout
    dtype: str = "float32"  # of activations and matrix products, or "bfloat16"; weights and optimizer are float32
    accumulation_steps: int = 1  # a global batch is cut into this many, one after the other
    remat: str = "none"  # what of a layer the backward pass computes again, to save memory: "none", "full" (all of it),
    # or "dots" (all but the products with weights)
    dropout_bits: str = "auto"  # "threefry" (the same on any mesh), "rbg" (hardware generator); auto: rbg off the CPU
    log_every_steps: int = 100
    checkpoint_every_steps: int = 1000
    keep_checkpoints: int = 3
    compilation_cache: str = ""  # directory of compiled programs, for the next start; "": WORKDIR/compilation_cache
    max_skipped_steps: int = 10  # this many in a row without finite loss and gradient; one more stops the run
    check_nans: bool = False  # stop at the first such step and name the layer that went bad; waits for every step
    spike_threshold: float = 10.0  # deviations (by MAD) over the last steps' median loss that are told; 0: none is
    wandb: str = ""  # Weights & Biases project that gets the metrics too; needs the extra [wandb]

    def check(self) -> None:
        """Raise UserError on a value out of range."""
        _require(self.dtype in ("float32", "bfloat16"), "train.dtype", self.dtype, "use float32 or bfloat16")
        _require(self.remat in ("none", "dots", "full"), "train.remat", self.remat, "use none, dots or full")
        _require(
            self.dropout_bits in ("auto", "threefry", "rbg"),
            "train.dropout_bits",
            self.dropout_bits,
            "use auto, threefry or rbg",
        )
        for name in ("accumulation_steps", "log_every_steps", "checkpoint_every_steps", "keep_checkpoints"):
            _require(getattr(self, name) > 0, f"train.{name}", getattr(self, name), "give a positive number")
        for name in ("max_skipped_steps", "spike_threshold"):
            _require(getattr(self, name) >= 0, f"train.{name}", getattr(self, name), "give 0 or a positive number")


@dataclasses.dataclass
class EvaluationConfig:
    """Held-out evaluation, on the records' validation split."""

    every_steps: int = 5000  # and always at the end
    max_batches: int = 0  # 0: the whole split
    report_sentences: int = 6  # held-out examples shown with guesses in the report

    def check(self) -> None:
        """Raise UserError on a value out of range."""
        _require(self.every_steps > 0, "evaluation.every_steps", self.every_steps, "give a positive number")


@dataclasses.dataclass
class ProfileConfig:
    """A trace of the JAX profiler, in WORKDIR/profile."""

    steps: str = ""  # "100-105": the steps to trace, first to last; "": none

    def span(self) -> tuple[int, int] | None:
        """First and last step to trace; UserError if `steps` is no such pair."""
        if not self.steps:
            return None
        first, _, last = self.steps.partition("-")
        good = first.isdecimal() and (last or first).isdecimal() and 0 < int(first) <= int(last or first)
        _require(good, "profile.steps", self.steps, "give FIRST-LAST, say 100-105; steps count from 1")
        return int(first), int(last or first)


@dataclasses.dataclass
class MeshConfig:
    """Devices along each axis of the mesh; their product is the number of devices. -1: all that are left."""

    data: int = -1  # copies of the model, each with its rows of the batch
    fsdp: int = 1  # rows of the batch too, and weights are cut
    tensor: int = 1  # attention heads and feed-forward are cut


@dataclasses.dataclass
class Config:
    """One pretraining run."""

    model: ModelConfig = dataclasses.field(default_factory=ModelConfig)
    phases: tuple[PhaseConfig, ...] = (PhaseConfig(),)
    data: DataConfig = dataclasses.field(default_factory=DataConfig)
    optimizer: OptimizerConfig = dataclasses.field(default_factory=OptimizerConfig)
    train: TrainConfig = dataclasses.field(default_factory=TrainConfig)
    evaluation: EvaluationConfig = dataclasses.field(default_factory=EvaluationConfig)
    profile: ProfileConfig = dataclasses.field(default_factory=ProfileConfig)
    mesh: MeshConfig = dataclasses.field(default_factory=MeshConfig)
    init_from: str = ""  # first weights: a workdir of another run, Hugging Face's or an original-BERT checkpoint
    init_moments: bool = False  # Adam's moments too, from another run or an original-BERT checkpoint
    scale: float = 1.0  # 0.001: a try of 1/1000 of the length: steps and warm-ups are multiplied by this

    @property
    def total_steps(self) -> int:
        """Steps of all phases together, the length of the learning-rate schedule."""
        return sum(phase.steps for phase in self.phases)

    def resolved(self) -> "Config":
        """A copy at its own length: steps and warm-ups multiplied by `scale`, which is 1 then. Cadences stay."""
        config = copy.deepcopy(self)
        config.optimizer.warmup_steps = _scaled(config.optimizer.warmup_steps, self.scale)
        for phase in config.phases:
            phase.steps = _scaled(phase.steps, self.scale)
            phase.warmup_steps = _scaled(phase.warmup_steps, self.scale)
        config.scale = 1.0
        return config

    def check(self) -> None:
        """Raise UserError, naming the flag and the remedy, on the first value that cannot be."""
        _require(self.scale > 0, "scale", self.scale, "give a positive number, say 0.001 for 1/1000 of the steps")
        remedy = "give --config.init_from the workdir of another run, or an original-BERT checkpoint"
        _require(bool(self.init_from) or not self.init_moments, "init_moments", self.init_moments, remedy)
        _require(len(self.phases) > 0, "phases", self.phases, "give at least one phase")
        self.model.check()
        self.data.check()
        self.optimizer.check()
        self.train.check()
        self.evaluation.check()
        self.profile.span()
        for number, phase in enumerate(self.phases):
            _check_phase(f"phases[{number}]", phase, self)
        for axis in ("data", "fsdp", "tensor"):
            size = getattr(self.mesh, axis)
            _require(
                size > 0 or size == -1,
                f"mesh.{axis}",
                size,
                "give a positive number, or -1 for all devices left",
            )


def _scaled(steps: int, scale: float) -> int:
    return max(1, round(steps * scale)) if steps > 0 else steps


def _check_phase(name: str, phase: PhaseConfig, config: Config) -> None:
    for key in ("steps", "global_batch_size", "max_seq_length"):
        _require(getattr(phase, key) > 0, f"{name}.{key}", getattr(phase, key), "give a positive number")
    limit = config.model.max_position_embeddings
    remedy = f"give at most model.max_position_embeddings={limit}"
    _require(phase.max_seq_length <= limit, f"{name}.max_seq_length", phase.max_seq_length, remedy)
    for key in ("learning_rate", "warmup_steps"):
        _require(getattr(phase, key) >= 0, f"{name}.{key}", getattr(phase, key), "give 0 or a positive number")
    remedy = f"it is the warm-up to {name}.learning_rate: give that too, or leave this 0"
    _require(not phase.warmup_steps or phase.learning_rate > 0, f"{name}.warmup_steps", phase.warmup_steps, remedy)
    _require(phase.packed_rows >= 0, f"{name}.packed_rows", phase.packed_rows, "give a number of rows, or 0")
    remedy = "it needs data.packing=true"
    _require(config.data.packing or not phase.packed_rows, f"{name}.packed_rows", phase.packed_rows, remedy)
    _check_cuts(name, phase.global_batch_size, config)


def _check_cuts(name: str, rows: int, config: Config) -> None:
    cut, pieces = config.train.accumulation_steps, config.optimizer.clip_pieces
    remedy = f"give a multiple of train.accumulation_steps={cut}"
    _require(rows % cut == 0, f"{name}.global_batch_size", rows, remedy)
    remedy = f"give a multiple of optimizer.clip_pieces={pieces}"
    _require(rows % pieces == 0, f"{name}.global_batch_size", rows, remedy)
    remedy = f"leave it 1: a device takes its optimizer.clip_pieces={pieces} one after the other anyway"
    packing = config.data.packing
    _require(pieces == 1 or not packing, "data.packing", packing, "it goes with optimizer.clip_pieces=1 only")
    _require(pieces == 1 or cut == 1, "train.accumulation_steps", cut, remedy)


def _require(holds: bool, key: str, value: Any, remedy: str) -> None:
    if not holds:
        raise UserError(f"--config.{key}={value} cannot be used; {remedy}")
