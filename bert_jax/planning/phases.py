"""The plan of one phase: whether its step fits, where memory and time go, and if it does not fit, what would help."""

import dataclasses
import math
from collections.abc import Iterator, Sequence
from typing import Any

from absl import logging

from bert_jax.config import Config, ModelConfig
from bert_jax.data.packing import Packing
from bert_jax.errors import UserError
from bert_jax.planning.compilation import CompilationError, DoesNotFitError, Request, compile_step
from bert_jax.planning.estimate import StepTime, step_time
from bert_jax.planning.hlo import Hlo
from bert_jax.planning.memory import memory_by_kind
from bert_jax.planning.topologies import GIB, Topology
from bert_jax.training.pretraining import pretraining_objective

MOST_TRIES = 4  # compilations in search of a setting that fits


@dataclasses.dataclass(frozen=True)
class PhasePlan:
    """What the compiler made of a phase's step. Bytes are of one device, FLOPs of all."""

    request: Request
    memory: dict[str, int]  # by kind; where it does not fit, only what is known
    memory_needed: float  # NaN where the compiler gives none
    memory_limit: float
    problem: str = ""  # why there is no time; "" if there is one
    remedy: str = ""  # settings with which it fits
    flops: dict[str, int] = dataclasses.field(default_factory=dict)  # of the matrix products, by part
    time: StepTime | None = None
    mfu: float = math.nan  # NaN on a CPU, whose time is only FLOPs over its rate
    compile_seconds: float = math.nan
    text: str = ""
    mesh: dict[str, int] = dataclasses.field(default_factory=dict)  # devices along each axis
    layout: list[str] = dataclasses.field(default_factory=list)  # for people: what is kept in many copies

    @property
    def model_flops(self) -> int:
        """FLOPs of a step as papers count them (model/flops.py)."""
        config, phase = self.request.config, self.request.config.phases[self.request.phase]
        objective = pretraining_objective(config, self.request.teacher)
        return phase.rows * objective.flops_per_row(phase.max_seq_length, self.request.predictions_per_row)

    @property
    def seconds(self) -> float:
        """Of the whole phase."""
        return self.request.config.phases[self.request.phase].steps * self.time.seconds if self.time else math.nan


def plan_phase(request: Request, limit_seconds: float) -> PhasePlan:
    """Compile the phase's step and read what it needs; where it does not fit, compile again in search of what would.

    Raises:
      UserError: config and topology do not go together.
    """
    try:
        return _plan(request, limit_seconds)
    except CompilationError as error:
        return PhasePlan(request, {}, math.nan, request.topology.core_memory, problem=str(error))
    except DoesNotFitError as error:
        remedy = _remedy(request, error, limit_seconds)
        limit = request.topology.core_memory if math.isnan(error.limit_bytes) else error.limit_bytes
        return PhasePlan(request, error.sizes, error.used_bytes, limit, "does not fit", remedy)


def _plan(request: Request, limit_seconds: float, setting: str = "") -> PhasePlan:
    """The plan of a step that compiles and fits, with a `setting` that is tried.

    Raises:
      UserError, CompilationError, DoesNotFitError: as compile_step does.
    """
    phase = request.config.phases[request.phase]
    logging.info(
        "%s, %d x %d tokens%s",
        request.title,
        phase.rows,
        phase.max_seq_length,
        setting and f", with {setting}",
    )
    compiled = compile_step(request, limit_seconds)
    hlo = Hlo(compiled.text)
    memory = memory_by_kind(compiled, hlo)
    needed, limit = sum(memory.values()), request.topology.core_memory
    if needed > limit and not request.topology.chip:  # the TPU's compiler has checked that itself
        raise DoesNotFitError(memory, needed, limit)
    plan = PhasePlan(
        request,
        memory,
        needed,
        limit,
        flops=compiled.flops,
        time=step_time(compiled, hlo, request.topology),
        compile_seconds=compiled.compile_seconds,
        text=compiled.text,
        mesh=compiled.mesh,
        layout=compiled.layout,
    )
    if not (plan.time and request.topology.chip):
        return plan
    return dataclasses.replace(plan, mfu=plan.model_flops / plan.time.seconds / request.topology.peak_flops)


def _remedy(request: Request, too_large: DoesNotFitError, limit_seconds: float) -> str:
    """Settings with which the step was found to fit, as flags; else which were tried."""
    tried = []
    for setting, config in list(_candidates(request, too_large))[:MOST_TRIES]:
        try:
            _plan(dataclasses.replace(request, config=config), limit_seconds, setting)
        except (UserError, CompilationError) as error:
            tried.append(f"{setting} ({error})")
        except DoesNotFitError as error:
            tried.append(f"{setting} (needs {error.used_bytes / GIB:.1f} GiB)")
        else:
            return f"it fits with {setting}"
    return f"does not fit either: {'; '.join(tried)}" if tried else "take more chips, or fewer sequences a step"


def _candidates(request: Request, error: DoesNotFitError) -> Iterator[tuple[str, Config]]:
    """Settings that may help, the cheapest first: recompute, accumulate, shard the weights."""
    state = error.sizes["parameters"] + error.sizes["optimizer state"]
    gradients = error.sizes["parameters"]
    memory_left = max(error.limit_bytes - state - gradients, error.limit_bytes / 16)
    too_much = (error.used_bytes - state) / memory_left  # of what is held for a whole batch; NaN is never less
    phase = request.config.phases[request.phase]
    rows = phase.rows * max(1, request.config.mesh.tensor)
    counts = [2**power for power in range(1, 10) if rows % (request.topology.devices * 2**power) == 0]
    enough = [count for count in counts if count >= too_much] or counts[-1:]
    may_accumulate = request.config.optimizer.clip_pieces == 1 and phase.accumulates(request.config.train) == 1
    may_recompute = request.config.train.remat != "full"
    if may_recompute and not too_much > 8:
        yield _changed(request, remat="full")
    if may_accumulate:
        for count in enough[:2]:
            yield _changed(request, accumulation_steps=count)
        for count in [count for count in counts if count >= too_much / 4][:1] if may_recompute else []:
            yield _changed(request, accumulation_steps=count, remat="full")
    for fsdp in (2, 4, 8, 16, 32):
        if request.config.mesh.fsdp == 1 and request.topology.devices % fsdp == 0 and state > error.limit_bytes / 4:
            yield _changed(request, fsdp=fsdp)


def _changed(request: Request, fsdp: int = 1, accumulation_steps: int = 0, **train: Any) -> tuple[str, Config]:
    """The request's config with other settings, and those as flags; accumulation is that of its phase alone."""
    config, phases = request.config, list(request.config.phases)
    names = [f"--config.train.{name}={value}" for name, value in train.items()]
    if accumulation_steps:
        phases[request.phase] = dataclasses.replace(phases[request.phase], accumulation_steps=accumulation_steps)
        names.insert(0, f"--config.phases[{request.phase}].accumulation_steps={accumulation_steps}")
    changed = dataclasses.replace(config, train=dataclasses.replace(config.train, **train), phases=tuple(phases))
    if fsdp > 1:
        changed.mesh = dataclasses.replace(config.mesh, fsdp=fsdp, data=-1)
        names += [f"--config.mesh.fsdp={fsdp}", *(["--config.mesh.data=-1"] if config.mesh.data != -1 else [])]
    return " ".join(names), changed


def requests(
    config: Config,
    predictions: list[int],
    topology: Topology,
    packings: Sequence[Packing | None] = (),
    teacher: ModelConfig | None = None,
) -> list[Request]:
    """One request for each phase; `packings` as run_plan.packings gives them, or nothing."""
    each = zip(predictions, packings or [None] * len(predictions), strict=True)
    return [Request(config, number, most, topology, packing, teacher) for number, (most, packing) in enumerate(each)]
