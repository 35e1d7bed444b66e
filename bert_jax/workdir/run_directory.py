"""The directory of a run: its resolved config and tokenizer, written once and compared ever after."""

from typing import Any, TypeVar

from absl import logging
from etils import epath

from bert_jax.config import Config, FineTuningConfig
from bert_jax.config.file import differences, from_dict, to_json
from bert_jax.errors import UserError
from bert_jax.storage.json_file import read_json
from bert_jax.storage.whole_file import replace_text
from bert_jax.text.tokenizer import DESCRIPTION, Tokenizer, load_tokenizer
from bert_jax.workdir.checkpoint_files import is_torn

Kind = TypeVar("Kind")


def claim(workdir: epath.PathLike, config: Config | FineTuningConfig, tokenizer: Tokenizer) -> None:
    """Make `workdir` this run's, or see that it is already.

    Raises:
      UserError: it belongs to a run of another config or vocabulary; nothing in it is changed then.
    """
    workdir = epath.Path(workdir)
    if (workdir / "config.json").exists():
        check_same_run(workdir, config, tokenizer.fingerprint)
        logging.info("going on in %s", workdir)
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


def check_same_run(workdir: epath.Path, config: Config | FineTuningConfig, fingerprint: str) -> None:
    """Raise UserError if `workdir` belongs to a run of another config or vocabulary."""
    if not (workdir / "config.json").exists():
        return
    changed = differences(read_config_of(workdir, type(config)), config)
    if changed:
        longer = f" (for more steps: with --config.init_from={workdir} --config.init_moments=true)"
        raise UserError(
            f"{workdir} was started with {'; '.join(changed)}: give the same values to go on, or another --workdir"
            f"{longer if any('.steps=' in change for change in changed) else ''}"
        )
    if (workdir / "tokenizer" / DESCRIPTION).exists() and load_tokenizer(
        workdir / "tokenizer"
    ).fingerprint != fingerprint:
        raise UserError(
            f"{workdir} was started on records of another vocabulary than --config.data.records has now; "
            "give the same records to go on, or another --workdir"
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
