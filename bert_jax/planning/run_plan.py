"""A whole run on one topology: its phases' plans and what they come to."""

import dataclasses
import importlib.util
import math
from importlib import metadata
from typing import Any

from absl import logging
from etils import epath

from bert_jax.config import Config, PhaseConfig
from bert_jax.data.dynamic_masks import most_predictions
from bert_jax.data.manifest import Manifest, read_manifest
from bert_jax.data.packing import Packing
from bert_jax.errors import UserError
from bert_jax.planning.phases import PhasePlan
from bert_jax.planning.topologies import Topology
from bert_jax.storage.json_file import finite_or_none, write_json
from bert_jax.storage.paths import check_readable
from bert_jax.storage.whole_file import replace_text
from bert_jax.training.open_phases import open_phases, with_records
from bert_jax.training.open_records import records_directory
from bert_jax.training.record_checks import check_length

PAPERS_VOCABULARY = 30_522
PAPERS_PREDICTIONS = {128: 20, 512: 76}  # google-research/bert README


@dataclasses.dataclass(frozen=True)
class RunPlan:
    """Phases on one topology; totals are NaN where a phase has no time."""

    topology: Topology
    phases: list[PhasePlan]
    price_per_chip_hour: float | None

    @property
    def hours(self) -> float:
        """Of all steps, without evaluation, checkpoints and starting."""
        return sum(phase.seconds for phase in self.phases) / 3600

    @property
    def chip_hours(self) -> float:
        """Hours times chips."""
        return self.hours * self.topology.chips

    @property
    def cost(self) -> float | None:
        """In the price's currency; None without a price."""
        return None if self.price_per_chip_hour is None else self.chip_hours * self.price_per_chip_hour

    @property
    def fits(self) -> bool:
        """Every phase has a step that fits."""
        return not any(phase.problem for phase in self.phases)


def known_sizes(config: Config, vocab_size: int, predictions: int) -> tuple[Config, list[int]]:
    """The resolved config with its vocab_size, and each phase's masked tokens a sequence.

    From the flags if they are not 0, else from the config, else from the records if they are there, else the paper's.

    Raises:
      UserError: a setting cannot be used, or a flag is not for packing, which goes by the records.
    """
    config.check()
    for flag, value in (("vocab_size", vocab_size), ("max_predictions_per_seq", predictions)):
        if config.data.packing and value:
            raise UserError(f"--{flag}={value} is not for packing, whose rows the records decide; leave it out")
    config = config.resolved()
    manifests = [_manifest(config, phase) for phase in config.phases]
    of_records = manifests[0].vocab_size if manifests[0] else PAPERS_VOCABULARY
    vocab_size = vocab_size or config.model.vocab_size or of_records
    most = [
        predictions or _predictions(config, phase, manifest)
        for phase, manifest in zip(config.phases, manifests, strict=True)
    ]
    return dataclasses.replace(config, model=dataclasses.replace(config.model, vocab_size=vocab_size)), most


def packings(config: Config) -> tuple[Config, list[Packing | None]]:
    """The config with each phase's packed_rows, and how its rows are packed; None each where they are not.

    `config` is resolved and has its vocab_size.

    Raises:
      UserError: there are no such records, on whose lengths it depends.
    """
    if not config.data.packing:
        return config, [None for _ in config.phases]
    phases = open_phases(config)
    return with_records(config, phases), [opened.packing for opened in phases]


def _manifest(config: Config, phase: PhaseConfig) -> Manifest | None:
    directory: epath.Path = records_directory(config.data.records, phase)
    check_readable(directory)
    try:
        manifest = read_manifest(directory) if directory.is_dir() else None
        if manifest:
            check_length(directory, manifest, phase)
        return manifest
    except UserError as error:  # pretrain will refuse it
        logging.warning("planned as without records: %s", error)
        return None


def _predictions(config: Config, phase: PhaseConfig, manifest: Manifest | None) -> int:
    if config.data.masking != "static":
        return most_predictions(config.data, phase.max_seq_length)
    return manifest.max_predictions_per_seq if manifest else papers_predictions(phase.max_seq_length)


def papers_predictions(length: int) -> int:
    """Masked tokens of a sequence: the paper's, or 15 % of another length."""
    return PAPERS_PREDICTIONS.get(length, math.ceil(0.15 * length))


def write_plans(plans: list[RunPlan], path: epath.PathLike) -> None:
    """Write the plans, and which compiler they are of."""
    versions = {name: metadata.version(name) for name in ("jax", "libtpu") if importlib.util.find_spec(name)}
    content = {"versions": versions, "plans": [to_json(plan) for plan in plans]}
    write_json(path, content)


def write_texts(plan: RunPlan, directory: epath.PathLike) -> None:
    """Write each phase's compiled text as directory/PHASE.txt; of a phase that was not compiled there is none."""
    for phase in plan.phases:
        if phase.text:
            replace_text(epath.Path(directory) / f"{phase.request.phase}.txt", phase.text)


def to_json(plan: RunPlan) -> dict[str, Any]:
    """The plan as plain values; None where a number is not known."""
    totals = {"hours": plan.hours, "chip_hours": plan.chip_hours, "cost": plan.cost}
    return {
        "topology": plan.topology.name,
        "chips": plan.topology.chips,
        "devices": plan.topology.devices,
        "phases": [_phase_to_json(phase) for phase in plan.phases],
        **{name: finite_or_none(value) for name, value in totals.items()},
    }


def _phase_to_json(plan: PhasePlan) -> dict[str, Any]:
    phase, time = plan.request.config.phases[plan.request.phase], plan.time
    return {
        "phase": plan.request.phase,
        "steps": phase.steps,
        "global_batch_size": phase.global_batch_size,
        "rows": phase.rows,
        "max_seq_length": phase.max_seq_length,
        "max_predictions_per_seq": plan.request.max_predictions_per_seq,
        "problem": plan.problem,
        "remedy": plan.remedy,
        "predictions_per_row": plan.request.predictions_per_row,
        "memory_bytes": plan.memory,
        "memory_needed_bytes": finite_or_none(plan.memory_needed),
        "memory_limit_bytes": finite_or_none(plan.memory_limit),
        "mesh": plan.mesh,
        "layout": plan.layout,
        "model_flops": plan.model_flops,
        "product_flops": plan.flops,
        "cycles": time and time.cycles,
        "step_seconds": time and time.seconds,
        "seconds_by_part": time and time.seconds_by_part,
        "seconds_by_bound": time and time.seconds_by_bound,
        "bound": time and time.bound,
        "collectives": [dataclasses.asdict(each) for each in time.collectives] if time else [],
        "mfu": finite_or_none(plan.mfu),
        "compile_seconds": finite_or_none(plan.compile_seconds),
    }
