"""One pretraining run: its phases, its groups of settings, and what of them does not go together."""

import copy
import dataclasses
from collections.abc import Sequence
from typing import Annotated

from msgspec import Meta

from bert_jax.config.check import check_fields, require
from bert_jax.config.data import DataConfig
from bert_jax.config.distillation import DistillationConfig, without_teacher
from bert_jax.config.model import ModelConfig
from bert_jax.config.optimizer import OptimizerConfig
from bert_jax.config.training import EvaluationConfig, MeshConfig, ProfileConfig, TrainConfig

_OF_ALL = "train.accumulation_steps"
MOST_STEPS = 100_000_000  # of a run: the rate of each is computed before the first
Rows = Annotated[int, Meta(ge=1, le=10_000_000)]


@dataclasses.dataclass
class PhaseConfig:
    """A part of training at one sequence length; all phases share a learning-rate schedule, or have their own."""

    steps: Annotated[int, Meta(ge=1, le=MOST_STEPS)] = 1000
    global_batch_size: Rows = 256  # sequences per step, over all hosts and accumulation steps
    max_seq_length: Annotated[int, Meta(ge=1, le=1_000_000)] = 128  # tokens per sequence; also picks the records
    # 0: the schedule continues; else a new one starts here, with this learning rate after its warm-up
    learning_rate: Annotated[float, Meta(ge=0, le=100)] = 0.0
    warmup_steps: Annotated[int, Meta(ge=0, le=MOST_STEPS)] = 0  # of that new schedule
    # with data.packing: rows per step; 0: as few as hold global_batch_size sequences on average
    packed_rows: Annotated[int, Meta(ge=0, le=10_000_000)] = 0
    # gradient accumulation in this phase; 0: train.accumulation_steps
    accumulation_steps: Annotated[int, Meta(ge=0, le=1_000_000)] = 0

    @property
    def rows(self) -> int:
        """Rows of a step's arrays: one for each sequence, or fewer if they are packed."""
        return self.packed_rows or self.global_batch_size

    def accumulates(self, train: TrainConfig) -> int:
        """Into how many chunks a step's batch is split, one computed after the other."""
        return self.accumulation_steps or train.accumulation_steps


@dataclasses.dataclass(frozen=True)
class Cycle:
    """A stretch of the run in which the learning rate rises once and falls once."""

    peak: float
    warmup_steps: int
    steps: int


def cycles(optimizer: OptimizerConfig, phases: Sequence[PhaseConfig]) -> list[Cycle]:
    """The cycles of a run, which begins with the optimizer's rate; a phase with a rate of its own begins another."""
    found = [Cycle(optimizer.learning_rate, optimizer.warmup_steps, 0)]
    for phase in phases:
        if phase.learning_rate:
            found.append(Cycle(phase.learning_rate, phase.warmup_steps, 0))
        found[-1] = dataclasses.replace(found[-1], steps=found[-1].steps + phase.steps)
    return [cycle for cycle in found if cycle.steps]


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
    init_from: str = ""  # first weights: another run's, Hugging Face's, a numpy export's, an original-BERT checkpoint's
    init_moments: bool = False  # Adam's moments too, from another run or an original-BERT checkpoint
    # a checkpoint of a parent run, WORKDIR (its newest) or WORKDIR/checkpoints/STEP: this run continues from its step,
    # weights and optimizer state, whereas one with init_from begins at step 0
    branch_from: str = ""
    teacher: str = ""  # distillation: the teacher, a pretrained model of any kind that init_from reads; "": none
    distillation: DistillationConfig = dataclasses.field(default_factory=DistillationConfig)
    # steps, warm-ups and final decays are multiplied by this; 0.001: a trial run of a thousandth of the length
    scale: Annotated[float, Meta(gt=0, le=1000)] = 1.0

    @property
    def also_free(self) -> tuple[str, ...]:
        """What may change in a run, beside file.py's FREE_TO_CHANGE."""
        of_phases = [f"phases.{number}.accumulation_steps" for number in range(len(self.phases))]
        return (_OF_ALL, *of_phases)

    @property
    def total_steps(self) -> int:
        """Steps of all phases together, the length of the learning-rate schedule."""
        return sum(phase.steps for phase in self.phases)

    def resolved(self) -> "Config":
        """A copy at its own length: steps, warm-ups and decays multiplied by `scale`, 1 then. Cadences stay."""
        config = copy.deepcopy(self)
        config.optimizer.warmup_steps = _scaled(config.optimizer.warmup_steps, self.scale)
        config.optimizer.decay_steps = _scaled(config.optimizer.decay_steps, self.scale)
        for phase in config.phases:
            phase.steps = _scaled(phase.steps, self.scale)
            phase.warmup_steps = _scaled(phase.warmup_steps, self.scale)
        if self.scale != 1.0:  # rounded, a warm-up and a decay may be longer than their steps together
            config.optimizer.decay_steps = min(config.optimizer.decay_steps, _longest_decay(config))
        config.scale = 1.0
        return config

    def check(self, source: str = "--config.") -> None:
        """Raise UserError on the first value that cannot be, naming it and the remedy.

        `source` stands before a setting's name: that of the flag, or of the file that has it.
        """
        check_fields(self, source)
        _check_first_state(source, self)
        _check_teacher(source, self)
        require(len(self.phases) > 0, f"{source}phases", self.phases, "give at least one phase")
        self.model.check(f"{source}model.")
        self.optimizer.check(f"{source}optimizer.")
        longest, decay = _longest_decay(self), self.optimizer.decay_steps
        remedy = f"the rate has {longest} steps after its warm-up; give at most that"
        require(decay <= longest or not decay, f"{source}optimizer.decay_steps", decay, remedy)
        self.data.check(f"{source}data.")
        self.profile.span(f"{source}profile.")
        self.mesh.check(f"{source}mesh.")
        for number, phase in enumerate(self.phases):
            _check_phase(f"{source}phases[{number}].", phase, self)
            _check_splits(source, number, self)
        steps = self.resolved().total_steps
        remedy = f"all phases together would have {steps} steps, more than {MOST_STEPS}; give fewer"
        require(steps <= MOST_STEPS, f"{source}scale", self.scale, remedy)

    def without_effect(self) -> list[str]:
        """For people: a line for what it says and a run does not look at."""
        lines, rate, first = [], self.optimizer.learning_rate, self.phases[0].learning_rate
        if first and rate not in (first, OptimizerConfig.learning_rate):
            lines.append(f"optimizer.learning_rate={rate:g} is not used: all phases have rates of their own")
        return [*lines, *without_teacher(self.distillation, self.teacher), *self.optimizer.without_effect()]


def without_peak(optimizer: OptimizerConfig, phases: Sequence[PhaseConfig]) -> list[str]:
    """For people: a line for each cycle whose warm-up fills it; pretraining's config is resolved."""
    return [
        f"the learning rate never reaches its peak of {cycle.peak:g}: {cycle.steps} steps, and a warm-up of "
        f"{cycle.warmup_steps}; give fewer warm-up steps, or more steps"
        for cycle in cycles(optimizer, phases)
        if cycle.warmup_steps >= cycle.steps > 1
    ]


def _scaled(steps: int, scale: float) -> int:
    return max(1, round(steps * scale)) if steps > 0 else steps


def _longest_decay(config: Config) -> int:
    """The fewest steps that a cycle has after its warm-up."""
    return max(0, min(cycle.steps - cycle.warmup_steps for cycle in cycles(config.optimizer, config.phases)))


def _check_first_state(source: str, config: Config) -> None:
    remedy = f"it continues a run, and {source}init_from={config.init_from} begins one; leave one of the two empty"
    require(not (config.branch_from and config.init_from), f"{source}branch_from", config.branch_from, remedy)
    moments, name = config.init_moments, f"{source}init_moments"
    remedy = "give --config.init_from the workdir of another run, or an original-BERT checkpoint"
    require(bool(config.init_from) or not moments, name, moments, remedy)
    remedy = f"it is about Adam's, and {source}optimizer.muon=True keeps others; leave one of the two False"
    require(not (moments and config.optimizer.muon), name, moments, remedy)


def _check_teacher(source: str, config: Config) -> None:
    settings, name = config.distillation, f"{source}distillation."
    begins = settings.init_layers
    remedy = f"give {source}teacher, whose layers they are, or leave it empty"
    require(bool(config.teacher) or not begins, f"{name}init_layers", begins, remedy)
    remedy = f"it cannot begin from {source}init_from={config.init_from} as well; leave one of the two empty"
    require(not (begins and config.init_from), f"{name}init_layers", begins, remedy)
    remedy = f"the head begins as the teacher's with {name}init_layers only; give that too"
    require(bool(begins) or not settings.init_transform, f"{name}init_transform", settings.init_transform, remedy)
    remedy = f"new positions would not be trained; give false, or {name}init_layers to have the teacher's"
    require(bool(begins) or not settings.freeze_positions, f"{name}freeze_positions", True, remedy)
    remedy = f"position_embedding={config.model.position_embedding} has no position embeddings; leave it out"
    has_positions = config.model.position_embedding == "learned"
    require(has_positions or not settings.freeze_positions, f"{name}freeze_positions", True, remedy)
    learns = settings.kl_weight + settings.cosine_weight + settings.pretraining_weight > 0
    remedy = "all three weights of the loss are 0; give one of them"
    require(learns or not config.teacher, f"{name}kl_weight", settings.kl_weight, remedy)


def _check_phase(source: str, phase: PhaseConfig, config: Config) -> None:
    limit = config.model.max_position_embeddings
    remedy = f"give at most model.max_position_embeddings={limit}"
    require(phase.max_seq_length <= limit, f"{source}max_seq_length", phase.max_seq_length, remedy)
    remedy = f"it is the warm-up to {source}learning_rate: give that too, or leave this 0"
    has_rate = phase.learning_rate > 0
    require(has_rate or not phase.warmup_steps, f"{source}warmup_steps", phase.warmup_steps, remedy)
    remedy = "it needs data.packing=true"
    require(config.data.packing or not phase.packed_rows, f"{source}packed_rows", phase.packed_rows, remedy)


def _check_splits(source: str, number: int, config: Config) -> None:
    phase, pieces, packing = config.phases[number], config.optimizer.clip_pieces, config.data.packing
    of_phase = f"phases[{number}].accumulation_steps"
    setting, accumulation = of_phase if phase.accumulation_steps else _OF_ALL, phase.accumulates(config.train)
    rows, name = phase.global_batch_size, f"{source}phases[{number}].global_batch_size"
    require(rows % accumulation == 0, name, rows, f"give a multiple of {setting}={accumulation}")
    require(rows % pieces == 0, name, rows, f"give a multiple of optimizer.clip_pieces={pieces}")
    remedy = "it goes with optimizer.clip_pieces=1 only"
    require(pieces == 1 or not packing, f"{source}data.packing", packing, remedy)
    remedy = f"leave it 1: a device takes its optimizer.clip_pieces={pieces} one after the other anyway"
    require(pieces == 1 or accumulation == 1, f"{source}{setting}", accumulation, remedy)
