"""Where the metrics of a run go."""

from collections.abc import Sequence

import jax
from etils import epath

from bert_jax.config import Config, FineTuningConfig
from bert_jax.training.run import Log
from bert_jax.training.weights_and_biases import WeightsAndBiases
from bert_jax.workdir.metrics_log import MetricsLog


def open_logs(config: Config | FineTuningConfig, directory: epath.Path, step: int) -> Sequence[Log]:
    """The logs of a run that resumes from `step`: of the job's first process alone.

    Raises:
      UserError: as WeightsAndBiases does.
    """
    if jax.process_index() > 0:
        return []
    logs: list[Log] = [MetricsLog(directory, step)]
    if config.train.wandb:
        logs.append(WeightsAndBiases(config.train.wandb, directory, config))
    return logs
