"""The directory of a run: its resolved config and tokenizer, written once and compared ever after."""

import json

from absl import logging
from etils import epath

from bert_jax.checkpoint import Checkpoints
from bert_jax.config import Config
from bert_jax.config_file import differences, from_dict, to_json
from bert_jax.errors import UserError
from bert_jax.text.tokenizer import load_tokenizer
from bert_jax.training.state import Model, Params, abstract_params


def claim(workdir: epath.PathLike, config: Config, tokenizer_directory: epath.PathLike, fingerprint: str) -> None:
    """Make `workdir` this run's, or see that it is already.

    Raises:
      UserError: it belongs to a run of another config or vocabulary; nothing in it is changed then.
    """
    workdir = epath.Path(workdir)
    if (workdir / "config.json").exists():
        _check_same_run(workdir, config, fingerprint)
    elif has_checkpoint(workdir):
        raise UserError(f"{workdir} has checkpoints and no config.json; restore that file, or give another --workdir")
    workdir.mkdir(parents=True, exist_ok=True)
    if not (workdir / "tokenizer").exists():
        load_tokenizer(tokenizer_directory).save(workdir / "tokenizer.tmp")
        (workdir / "tokenizer.tmp").replace(workdir / "tokenizer")
    replace_text(workdir / "config.json", to_json(config))


def has_checkpoint(workdir: epath.PathLike) -> bool:
    """Whether a run has saved anything there."""
    directory = epath.Path(workdir) / "checkpoints"
    return directory.exists() and any(entry.name.isdigit() for entry in directory.iterdir())


def replace_text(path: epath.Path, text: str) -> None:
    """Write a file whole: aside first, then under its name."""
    aside = path.with_name(path.name + ".tmp")
    aside.write_text(text)
    aside.replace(path)


def _check_same_run(workdir: epath.Path, config: Config, fingerprint: str) -> None:
    changed = differences(read_config(workdir), config)
    if changed:
        raise UserError(
            f"{workdir} was started with {'; '.join(changed)}: give the same values to go on, or another --workdir"
        )
    if (workdir / "tokenizer").exists() and load_tokenizer(workdir / "tokenizer").fingerprint != fingerprint:
        raise UserError(
            f"{workdir} was started on records of another vocabulary than --config.data.records has now; "
            "give the same records to go on, or another --workdir"
        )
    logging.info("going on in %s", workdir)


def read_config(workdir: epath.PathLike) -> Config:
    """The resolved config of the run in `workdir`; UserError if there is none."""
    path = epath.Path(workdir) / "config.json"
    if not path.exists():
        raise UserError(f"{workdir} holds no run (no config.json); give the --workdir of `python -m bert_jax.pretrain`")
    try:
        return from_dict(json.loads(path.read_text()))
    except json.JSONDecodeError as error:
        raise UserError(f"{path} is not JSON ({error}); restore it, or start a new --workdir") from error


def newest_params(workdir: epath.PathLike, model: Model, shardings: Params) -> tuple[int, Params]:
    """Step and parameters of the newest checkpoint of the run in `workdir`; UserError if it has none."""
    directory = epath.Path(workdir) / "checkpoints"
    step = None
    if directory.exists():
        checkpoints = Checkpoints(directory, read_only=True)
        step = checkpoints.latest_step()
    if step is None:
        raise UserError(f"{workdir} has no checkpoint yet; let `python -m bert_jax.pretrain` write one first")
    params = checkpoints.restore(step, {"params": abstract_params(model, shardings)})["params"]
    checkpoints.close()
    return step, params
