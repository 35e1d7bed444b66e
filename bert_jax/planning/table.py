"""Plans as text for people."""

import dataclasses
import math

from bert_jax.config import ModelConfig
from bert_jax.planning.estimate import Collective
from bert_jax.planning.phases import PhasePlan
from bert_jax.planning.run_plan import RunPlan
from bert_jax.planning.topologies import GIB, Topology

NOT_MEASURED = (
    "This is the TPU compiler's model of its own program, not a measurement: good for comparing two settings, within a "
    "factor of two of a real machine's time. Evaluation, checkpoints and starting are not in it."
)
NOT_MODELLED = (
    "This host's compiler gives no times: they are FLOPs over the matrix-multiplication rate that the host shows, less "
    "than any real step takes. Memory is the compiler's, for all devices together in this host's memory."
)


def run_table(plan: RunPlan) -> str:
    """Everything about a run on one topology."""
    lines = [_machine(plan.topology), *_sharing_lines(plan.phases[0].request.config.model), ""]
    for phase in plan.phases:
        lines += [*_phase_lines(phase), ""]
    lines.append(f"whole run: {_total(plan)}")
    lines.append(NOT_MEASURED if plan.topology.chip else NOT_MODELLED)
    return "\n".join(lines)


def comparison_table(plans: list[RunPlan]) -> str:
    """One line a topology."""
    numbers = range(len(plans[0].phases))
    head = ["topology", "chips", *(f"phase {number}: step, MFU, memory of a device" for number in numbers), "whole run"]
    rows = [
        [plan.topology.name, str(plan.topology.chips), *map(_phase_summary, plan.phases), _total(plan)]
        for plan in plans
    ]
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in [head, *rows]
    )


def _machine(topology: Topology) -> str:
    if not topology.chip:
        return f"{topology.name}: {topology.devices} device(s) of this host's CPU"
    memory = f"{topology.core_memory / GIB:.1f} GiB each"
    return f"{topology.name}: {topology.chips} chip(s), {topology.devices} device(s) of {memory}"


def _sharing_lines(model: ModelConfig) -> list[str]:
    """What layers that share their weights save; nothing of others."""
    if model.distinct_layers == model.num_hidden_layers:
        return []
    apart = dataclasses.replace(model, num_hidden_groups=0).parameters
    weights = f"{model.num_hidden_layers} layers with the weights of {model.distinct_layers}"
    return [
        f"{weights}: {model.parameters:,} parameters, where layers of their own would make {apart:,}; "
        f"parameters, optimizer state and summed gradients are {model.parameters / apart:.0%} of theirs"
    ]


def _phase_lines(plan: PhasePlan) -> list[str]:
    phase = plan.request.config.phases[plan.request.phase]
    packed = f", in which {phase.global_batch_size} sequences are packed" if plan.request.packing else ""
    head = (
        f"phase {plan.request.phase}: {phase.steps:,} steps of {phase.rows} x {phase.max_seq_length} tokens{packed}, "
        f"{plan.request.predictions_per_row} masked tokens each"
    )
    lines = [head, f"  memory of a device: {_memory(plan)}", *_memory_lines(plan)]
    if plan.remedy:
        lines.append(f"    {plan.remedy}")
    if plan.mesh:
        lines.append(f"  mesh: {' x '.join(f'{size} {axis}' for axis, size in plan.mesh.items() if size > 1) or '1'}")
    lines += [f"    {line}" for line in plan.layout]
    return [*lines, *_time_lines(plan)]


def _memory(plan: PhasePlan) -> str:
    if not plan.memory:
        return f"not known, {plan.problem}"
    needed = "more than" if math.isnan(plan.memory_needed) else f"{plan.memory_needed / GIB:.2f} of"
    verdict = "DOES NOT FIT" if plan.problem else "fits"
    return f"{needed} {plan.memory_limit / GIB:.2f} GiB: {verdict}"


def _memory_lines(plan: PhasePlan) -> list[str]:
    return [f"    {kind:<22}{size / GIB:10.3f} GiB" for kind, size in plan.memory.items()]


def _time_lines(plan: PhasePlan) -> list[str]:
    time = plan.time
    if time is None:
        return []
    cycles = f" ({time.cycles / 1e6:.1f} M cycles)" if time.cycles else ""
    mfu = "" if math.isnan(plan.mfu) else f", MFU {plan.mfu:.1%}"
    bounds = ", ".join(f"{name} {seconds / time.seconds:.0%}" for name, seconds in time.seconds_by_bound.items())
    lines = [
        f"  one step: {time.seconds * 1e3:.2f} ms{cycles} for {plan.model_flops / 1e12:.2f} TFLOP{mfu}",
        f"  bound by {time.bound} ({bounds})",
        f"    {'part':<22}{'ms':>8}{'share':>8}{'GFLOP':>12}",
    ]
    for part, seconds in sorted(time.seconds_by_part.items(), key=lambda item: -item[1]):
        flops = f"{plan.flops[part] / 1e9:12,.0f}" if part in plan.flops else ""
        lines.append(f"    {part:<22}{seconds * 1e3:8.2f}{seconds / time.seconds:8.1%}{flops}")
    return lines + _collective_lines(plan)


def _collective_lines(plan: PhasePlan) -> list[str]:
    """One line for the collectives of a kind, a size and a part of the model."""
    alike: dict[tuple[str, str, int, int], list[Collective]] = {}
    for each in plan.time.collectives if plan.time else []:
        alike.setdefault((each.kind, each.part, each.bytes, each.group), []).append(each)
    lines = []
    for (kind, part, size, group), several in alike.items():
        seconds, hidden = sum(each.seconds for each in several), sum(each.hidden_seconds for each in several)
        times = sum(each.times for each in several)
        lines.append(
            f"    {times:3} x {kind} of {size / 1e6:.2f} MB over {group} devices ({part}): {seconds * 1e3:.2f} ms, "
            f"{hidden * 1e3:.2f} of them hidden"
        )
    return lines


def _phase_summary(plan: PhasePlan) -> str:
    if plan.time is None:
        return plan.problem
    memory = f"{plan.memory_needed / GIB:.1f} of {plan.memory_limit / GIB:.1f} GiB"
    mfu = "-" if math.isnan(plan.mfu) else f"{plan.mfu:.0%}"
    return f"{plan.time.seconds * 1e3:.1f} ms, {mfu}, {memory}{' DOES NOT FIT' if plan.problem else ''}"


def _total(plan: RunPlan) -> str:
    if math.isnan(plan.hours):
        return "no time, as a phase has none"
    cost = "" if plan.cost is None else f", cost {plan.cost:,.2f} at {plan.price_per_chip_hour:g} a chip-hour"
    return f"{plan.hours / 24:.2f} days ({plan.hours:.2f} hours), {plan.chip_hours:,.1f} chip-hours{cost}"
