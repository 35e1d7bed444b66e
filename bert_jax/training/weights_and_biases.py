"""The metrics on Weights & Biases too, where --config.train.wandb names a project; needs the extra [wandb]."""

import dataclasses
import uuid
from collections.abc import Mapping

from etils import epath

from bert_jax.config import Config, FineTuningConfig
from bert_jax.errors import UserError
from bert_jax.storage.whole_file import replace_text


class WeightsAndBiases:
    """One run there for one workdir, however often it was started."""

    def __init__(self, project: str, workdir: epath.PathLike, config: Config | FineTuningConfig) -> None:
        """Open the run; UserError if the library is not installed or lets nobody in."""
        try:
            import wandb
        except ImportError as error:
            raise UserError(
                "--config.train.wandb needs Weights & Biases, which is not installed; "
                "run launch/setup.sh wandb, or leave the setting empty"
            ) from error
        known = epath.Path(workdir) / "wandb_run.txt"
        if not known.exists():
            replace_text(known, uuid.uuid4().hex[:12])
        try:
            self._run = wandb.init(
                project=project,
                id=known.read_text(),
                resume="allow",
                dir=str(workdir),
                config=dataclasses.asdict(config),
                settings=wandb.Settings(silent=True),
            )
        except wandb.Error as error:
            raise UserError(
                f"--config.train.wandb={project}: {' '.join(str(error).split())}; "
                "run `wandb login`, or set WANDB_MODE=offline"
            ) from error
        self._run.define_metric("*", step_metric="step")  # a resumed run may log a step again

    def write(self, split: str, step: int, values: Mapping[str, float]) -> None:
        """Add the values of one step; sent from a process of their own."""
        self._run.log({"step": step} | {f"{split}/{name}": value for name, value in values.items()})

    def flush(self) -> None:
        """Nothing waits for it: what a kill takes is there again when the run resumes."""

    def close(self) -> None:
        """Send what is left."""
        self._run.finish()
