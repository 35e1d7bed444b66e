"""The directory of a run: its resolved config and tokenizer, written once and compared ever after."""

import dataclasses
from pathlib import Path
from typing import Any, TypeVar

from absl import logging
from etils import epath

from bert_jax.config import Config, FineTuningConfig
from bert_jax.config.file import differences, from_dict, to_json
from bert_jax.config.schedule_changes import is_length, why_not
from bert_jax.errors import UserError
from bert_jax.storage.cloud import is_remote
from bert_jax.storage.json_file import read_json
from bert_jax.storage.whole_file import replace_text
from bert_jax.text.load_tokenizer import load_tokenizer
from bert_jax.text.tokenizer import DESCRIPTION, Tokenizer
from bert_jax.workdir.checkpoint_files import is_torn, steps_in

Kind = TypeVar("Kind")


def check_name(workdir: epath.PathLike) -> None:
    """Raise UserError on a path in which Orbax would see a pattern: it then finds nothing to make a checkpoint of."""
    if not is_remote(workdir) and set("[*?") & set(str(Path(workdir).absolute())):
        raise UserError(
            f"--workdir={workdir}: checkpoints cannot be written at a path with [, * or ?; give another one"
        )


def claim(workdir: epath.PathLike, config: Config | FineTuningConfig, tokenizer: Tokenizer) -> None:
    """Make `workdir` this run's, or see that it is already.

    Raises:
      UserError: it belongs to a run of another config or vocabulary; nothing in it is changed then.
    """
    workdir = epath.Path(workdir)
    if (workdir / "config.json").exists():
        changed = check_same_run(workdir, config, tokenizer.fingerprint)
        had = f", whose schedule had {'; '.join(changed)}" if changed else ""
        logging.info("resuming in %s%s", workdir, had)
    elif has_checkpoint(workdir):
        raise UserError(f"{workdir} has checkpoints and no config.json; restore that file, or give another --workdir")
    workdir.mkdir(parents=True, exist_ok=True)
    if not (workdir / "tokenizer" / DESCRIPTION).exists():  # which is written last
        tokenizer.save(workdir / "tokenizer")
    replace_text(workdir / "config.json", to_json(config))


def has_checkpoint(workdir: epath.PathLike) -> bool:
    """Whether a run has saved anything there."""
    directory = epath.Path(workdir) / "checkpoints"
    return directory.exists() and any(entry.name.isdigit() and not is_torn(entry) for entry in directory.iterdir())


def check_same_run(workdir: epath.Path, config: Config | FineTuningConfig, fingerprint: str) -> list[str]:
    """What the run in `workdir` is to change of its schedule, as `differences` has it, and may.

    Raises:
      UserError: it is a run of another config or vocabulary, or has gone too far for that change.
    """
    if not (workdir / "config.json").exists():
        return []
    before = read_config_of(workdir, type(config))
    changed = [each for each in differences(before, config) if not _is_of_other_records(each, config)]
    if changed and not _may_change(workdir, before, config, changed):
        raise UserError(
            f"{workdir} was started with {'; '.join(changed)}: give the same values to resume, or another --workdir"
            f"{_another_way(workdir, before, config, changed)}"
        )
    check_same_vocabulary(workdir, fingerprint)
    return changed


def with_rows_of(workdir: epath.Path, config: Config) -> Config:
    """The packed rows that the run in `workdir` has chosen, where the config leaves them open and keeps the records."""
    if not config.data.packing or config.data.allow_other_records or not (workdir / "config.json").exists():
        return config
    before = read_config_of(workdir, Config).phases
    kept = [
        dataclasses.replace(phase, packed_rows=phase.packed_rows or was.packed_rows)
        for phase, was in zip(config.phases, before, strict=False)
    ]
    return dataclasses.replace(config, phases=(*kept, *config.phases[len(kept) :]))


def _is_of_other_records(difference: str, now: Config | FineTuningConfig) -> bool:
    """Whether it follows from other records, which the user allows: how many rows hold them, packed."""
    return isinstance(now, Config) and now.data.allow_other_records and ".packed_rows=" in difference


def _may_change(workdir: epath.Path, before: Any, now: Any, changed: list[str]) -> bool:
    """Whether a run of pretraining has changed in what it has not reached: see config/schedule_changes.py."""
    if not (isinstance(before, Config) and all(map(is_length, changed))):
        return False
    return not why_not(before, now, max(steps_in(workdir / "checkpoints"), default=0))


def _another_way(workdir: epath.Path, before: Any, now: Any, changed: list[str]) -> str:
    """How a run with another schedule can have what this one has learned, in parentheses; "" if nothing is known."""
    steps, longer = steps_in(workdir / "checkpoints"), any(".steps=" in change for change in changed)
    if not (isinstance(before, Config) and steps):
        return ""
    why = why_not(before, now, steps[-1])
    fitting = [step for step in steps if step < now.total_steps and not why_not(before, now, step)]
    was_stable = not why or before.optimizer.decay_steps > 0  # else all that fits is its warm-up
    if fitting and was_stable and all(is_length(change) or change.startswith("phases.") for change in changed):
        place = f"its {why}; to branch before that" if why else "to branch from there"
        return f" ({place}: --config.branch_from={workdir}/checkpoints/{fitting[-1]})"
    if longer and now.total_steps > steps[-1]:
        moments = "" if now.optimizer.muon else " --config.init_moments=true"
        return f" (for more steps: with --config.init_from={workdir}{moments})"
    return f" (its {why})" if why and all(map(is_length, changed)) else ""


def check_same_vocabulary(workdir: epath.Path, fingerprint: str) -> None:
    """Raise UserError if the run in `workdir` was started with another vocabulary."""
    if (workdir / "tokenizer" / DESCRIPTION).exists() and load_tokenizer(
        workdir / "tokenizer"
    ).fingerprint != fingerprint:
        raise UserError(
            f"{workdir} was started on records of another vocabulary than --config.data.records has now; "
            "give the same records to resume, or another --workdir"
        )


def read_config(workdir: epath.PathLike) -> Config:
    """The resolved config of the pretraining run in `workdir`; UserError if there is none, or one that no run has."""
    return read_config_of(workdir, Config)


def read_config_of(workdir: epath.PathLike, kind: type[Kind]) -> Kind:
    """The resolved config of the run in `workdir`, which is of this `kind`; UserError as above."""
    path = epath.Path(workdir) / "config.json"
    if not path.exists():
        raise UserError(f"{workdir} holds no run (no config.json); give the --workdir of `python -m bert_jax.pretrain`")
    values = read_json(path, Any, "restore it, or start a new --workdir")
    _check_kind(workdir, values, kind)
    return from_dict(values, str(path), kind)


def _check_kind(workdir: epath.PathLike, values: Any, kind: type) -> None:
    """A run of the other kind is no damaged one of this."""
    other = {Config: "task", FineTuningConfig: "phases"}[kind]
    if isinstance(values, dict) and other in values:
        what = "a fine-tuning run" if kind is Config else "a pretraining run"
        raise UserError(f"{workdir} is the workdir of {what}; give one of the other kind, or another --workdir")
