"""One fine-tuning run: its groups of settings, and what of them does not go together."""

import dataclasses
from typing import Annotated, Literal

from msgspec import Meta

from bert_jax.config.check import Share, check_fields, require
from bert_jax.config.distillation import TaskDistillationConfig, without_teacher
from bert_jax.config.model import ModelConfig
from bert_jax.config.optimizer import OptimizerConfig
from bert_jax.config.run import MOST_STEPS, Rows
from bert_jax.config.training import MeshConfig, ProfileConfig, TrainConfig

TextPooling = Literal["mean", "cls", "max"]  # of a text's hidden states to its vector
Count = Annotated[int, Meta(ge=0, le=1_000_000)]
OWN_OF_MODEL = ("hidden_dropout_prob", "attention_probs_dropout_prob")  # all else is as the pretrained model has it


@dataclasses.dataclass
class TaskConfig:
    """What is learned, and from which files; the flags of these names are put here."""

    kind: str = ""  # --task
    train: str = ""  # files, separated by commas
    dev: str = ""  # to choose the best step by, and thresholds
    test: str = ""  # scored once, with the best step
    columns: str = ""  # text:1,text2:2,label:4; "": found by the header's names
    header: Literal["auto", "yes", "no"] = "auto"  # of TSV and CSV: whether the first row is one
    strict: bool = False  # qa: an answer that is not at its offset ends the run; else it is logged and left out
    class_weights: Literal["none", "balanced"] = "none"  # balanced: rows of a class half as common count twice
    double_unordered: bool = False  # train on pairs in both orders (for relations that are the same both ways)
    tag_scores: Literal["conlleval", "strict"] = "conlleval"  # tagging: does a stray I- begin an entity, or not
    max_query_length: Annotated[int, Meta(ge=1, le=1000)] = 64  # qa: tokens of a question; the rest of it is cut
    max_answer_length: Annotated[int, Meta(ge=1, le=1000)] = 30  # qa: tokens of an answer
    # similarity: how a text's last hidden states become its vector; "": as the model says of itself, else mean
    pooling: Literal["", TextPooling] = ""
    temperature: Annotated[float, Meta(gt=0, le=100)] = 0.05  # similarity: cosines are divided by it
    # similarity, scored pairs: the loss is of their order (CoSENT), or of the cosines, whose targets are the scores,
    # from 0 for the lowest to 1 for the highest
    pair_loss: Literal["cosent", "cosine"] = "cosent"


@dataclasses.dataclass
class TextConfig:
    """How texts become rows."""

    # tokens of a row, the special ones included; 0: as many as the model reads (qa: 384; similarity: as it says of
    # itself), where texts are that long
    max_length: Annotated[int, Meta(ge=0, le=1_000_000)] = 0
    # a longer text is cut, or read in several windows whose outputs are combined; auto: windows for tagging and qa
    long: Literal["auto", "cut", "windows"] = "auto"
    window_overlap: Annotated[int, Meta(ge=0, le=1_000_000)] = 64  # tokens that a window has in common with the next
    doc_stride: Annotated[int, Meta(ge=1, le=1_000_000)] = 128  # qa: tokens by which a window begins after the last
    max_shapes: Annotated[int, Meta(ge=1, le=64)] = 4  # lengths to which rows are padded, each compiled once


@dataclasses.dataclass
class FitConfig:
    """How long, how, and what of the model is trained."""

    epochs: Annotated[float, Meta(gt=0, le=1_000_000)] = 3.0
    steps: Annotated[int, Meta(ge=0, le=MOST_STEPS)] = 0  # above 0: so many steps, whatever epochs says
    global_batch_size: Rows = 32  # rows per step
    warmup_share: Share = 0.1  # fraction of the steps that are warm-up, where optimizer.warmup_steps is 0
    evaluations_per_epoch: Annotated[float, Meta(gt=0, le=10_000)] = 1.0  # on the dev file
    patience: Count = 0  # early stopping after so many evaluations without a better score; 0: none
    # layer-wise decay of the learning rate: a layer's rate over that of the layer above it
    layer_decay: Annotated[float, Meta(gt=0, le=1)] = 1.0
    fresh_layers: Count = 0  # so many top layers, and with them the pooler, are newly initialised
    # the embeddings and so many lowest layers are not trained; -1: all are
    frozen_layers: Annotated[int, Meta(ge=-1, le=1000)] = -1


def _optimizer() -> OptimizerConfig:
    # With bias correction: without it half of the runs on a small set fail (arXiv 2006.05987).
    return OptimizerConfig(learning_rate=5e-5, warmup_steps=0, bias_correction=True)


def _train() -> TrainConfig:
    return TrainConfig(log_every_steps=10, checkpoint_every_steps=500, keep_checkpoints=1)


@dataclasses.dataclass
class FineTuningConfig:
    """One fine-tuning run. The paper's batch, epochs, decay and schedule (arXiv 1810.04805, A.3) are the defaults."""

    task: TaskConfig = dataclasses.field(default_factory=TaskConfig)
    text: TextConfig = dataclasses.field(default_factory=TextConfig)
    fit: FitConfig = dataclasses.field(default_factory=FitConfig)
    optimizer: OptimizerConfig = dataclasses.field(default_factory=_optimizer)
    train: TrainConfig = dataclasses.field(default_factory=_train)
    profile: ProfileConfig = dataclasses.field(default_factory=ProfileConfig)
    mesh: MeshConfig = dataclasses.field(default_factory=MeshConfig)
    # the architecture is init_from's; here is dropout, and what a single file of weights leaves out
    model: ModelConfig = dataclasses.field(default_factory=ModelConfig)
    init_from: str = ""  # --init_from
    teacher: str = ""  # workdir of a fine-tuning for the same task, to learn from beside the labels; "": none
    distillation: TaskDistillationConfig = dataclasses.field(default_factory=TaskDistillationConfig)

    @property
    def also_free(self) -> tuple[str, ...]:
        """See Config; accumulation is none of it, since in-batch negatives are those of a chunk."""
        return ()

    def check(self, source: str = "--config.") -> None:
        """Raise UserError on the first value that cannot be, naming it and the remedy."""
        check_fields(self, source)
        learns = self.distillation.kl_weight + self.distillation.task_weight > 0
        remedy = "both weights of the loss are 0; give one of them"
        require(learns or not self.teacher, f"{source}distillation.kl_weight", self.distillation.kl_weight, remedy)
        self.profile.span(f"{source}profile.")
        self.mesh.check(f"{source}mesh.")
        self.optimizer.check(f"{source}optimizer.")
        accumulation, rows = self.train.accumulation_steps, self.fit.global_batch_size
        remedy = f"give a multiple of train.accumulation_steps={accumulation}"
        require(rows % accumulation == 0, f"{source}fit.global_batch_size", rows, remedy)
        remedy = "it is for several cores in pretraining; leave it 1"
        require(self.optimizer.clip_pieces == 1, f"{source}optimizer.clip_pieces", self.optimizer.clip_pieces, remedy)

    def without_effect(self) -> list[str]:
        """For people: a line for what it says and a run does not look at."""
        return [*self.optimizer.without_effect(), *without_teacher(self.distillation, self.teacher)]

    def for_model(
        self, model: ModelConfig, default_max_length: int | None = None, source: str = "--config."
    ) -> "FineTuningConfig":
        """These settings with init_from's architecture, and a length; UserError where they do not fit it."""
        most, layers = model.max_position_embeddings, model.distinct_layers
        length = self.text.max_length or min(default_max_length or most, most)
        require(3 < length <= most, f"{source}text.max_length", length, f"give 4 to {most}, as the model reads")
        for name in ("fresh_layers", "frozen_layers"):
            value = getattr(self.fit, name)
            require(value <= layers, f"{source}fit.{name}", value, f"the model has {layers} layers; give at most that")
        both, remedy = self.fit.fresh_layers + self.fit.frozen_layers, "new weights would stay as they are; give fewer"
        require(both <= layers, f"{source}fit.frozen_layers", self.fit.frozen_layers, remedy)
        dropout = {name: getattr(self.model, name) for name in OWN_OF_MODEL}
        for field in dataclasses.fields(self.model):
            value, its = getattr(self.model, field.name), getattr(model, field.name)
            remedy = f"the model of --init_from has {its}; leave this out"
            is_fine = field.name in OWN_OF_MODEL or value in (field.default, its)
            require(is_fine, f"{source}model.{field.name}", value, remedy)
        text = dataclasses.replace(self.text, max_length=length)
        return dataclasses.replace(self, model=dataclasses.replace(model, **dropout), text=text)
