"""What a pretraining run may change of its schedule when it resumes: all that its steps so far do not depend on.

That is the end of the phase that it is in, the phases after that, and the decay of the learning rate while it has not
begun. The steps so far are then, to the bit, those that the run would have done with the new settings from its start.
"""

import dataclasses
import re

from bert_jax.config.file import differences
from bert_jax.config.run import Config, Cycle, PhaseConfig, cycles

_LENGTHS = re.compile(r"(phases\.\d+\.steps|optimizer\.decay_steps)=")
_FIRST_STATE = ("init_from=", "init_moments=", "branch_from=")


def is_length(difference: str) -> bool:
    """Whether one of `differences` is of a phase's steps or of the decay's."""
    return bool(_LENGTHS.match(difference))


def lasting_differences(old: Config, new: Config, step: int) -> list[str]:
    """Those `differences` that no run of `old` may have that resumes after `step` steps, whatever its schedule.

    Where its first weights came from counts no more, nor do phases that have not begun.
    """
    begun = len(_begun(old.phases, step))
    past = tuple(f"phases.{number}." for number in range(begun))
    return [
        difference
        for difference in differences(old, new)
        if not difference.startswith(_FIRST_STATE)
        and not is_length(difference)
        and (difference.startswith(past) or not difference.startswith("phases."))
    ]


def why_not(old: Config, new: Config, step: int) -> str:
    """Why the first `step` steps of a run of `old` are not those of one of `new`, if only their schedules differ.

    In words that follow on "its"; "" if they are the same.
    """
    if step > new.total_steps:
        return f"last step is {step} already"
    if _begun(old.phases, step) != _begun(new.phases, step):
        return f"{step} steps so far have other phases"
    decays = old.optimizer.decay_steps, new.optimizer.decay_steps
    for (start, was), (_, now) in zip(_cycles_begun(old, step), _cycles_begun(new, step), strict=True):
        if was == now and decays[0] == decays[1]:
            continue
        if step > (fixed := start + _fixed_steps(was, decays[0])):
            return f"learning rate has been falling since step {fixed}"
        if step > (fixed := start + _fixed_steps(now, decays[1])):
            return f"learning rate would have been falling since step {fixed}"
    return ""


def decays_after(config: Config) -> tuple[int, ...]:
    """The steps of a resolved config at whose end a stable learning rate begins to fall; () without decay_steps."""
    decay, ends, found = config.optimizer.decay_steps, 0, []
    for cycle in cycles(config.optimizer, config.phases) if decay else ():
        ends += cycle.steps
        found.append(ends - decay)
    return tuple(step for step in found if step > 0)


def _begun(phases: tuple[PhaseConfig, ...], step: int) -> list[tuple[int, PhaseConfig]]:
    """First step and settings of each phase that has begun, without what may change in it."""
    found, first = [], 0
    for phase in phases:
        if first < step:
            found.append((first, dataclasses.replace(phase, steps=1, accumulation_steps=0)))
        first += phase.steps
    return found


def _cycles_begun(config: Config, step: int) -> list[tuple[int, Cycle]]:
    """The cycles that have begun, each with its first step."""
    found, first = [], 0
    for cycle in cycles(config.optimizer, config.phases):
        if first < step:
            found.append((first, cycle))
        first += cycle.steps
    return found


def _fixed_steps(cycle: Cycle, decay_steps: int) -> int:
    """The first steps of a cycle, whose rates do not depend on its length."""
    return cycle.steps - decay_steps if decay_steps else cycle.warmup_steps
