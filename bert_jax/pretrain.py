"""Pretrain BERT: records in, checkpoints out. The same command again resumes.

python -m bert_jax.pretrain --config=configs/tiny.py --workdir=DIR [--config.group.key=value ...]
"""

from collections.abc import Sequence

from absl import flags

from bert_jax import cli
from bert_jax.config import Config
from bert_jax.config.command_line import define_config
from bert_jax.parallel.processes import is_first, joined
from bert_jax.reporting.page import write_report
from bert_jax.storage.lock import only_run
from bert_jax.training.pretraining import pretrain

_CONFIG = define_config(Config)
_WORKDIR = flags.DEFINE_string("workdir", None, "Directory of the run: checkpoints, metrics, tokenizer and report.")
flags.mark_flags_as_required(["config", "workdir"])


def main(argv: Sequence[str]) -> None:
    """Train, then write the report."""
    del argv
    with joined(), only_run(_WORKDIR.value, "--workdir", is_first()):
        pretrain(_CONFIG.value, _WORKDIR.value, report=write_report)
        if is_first():
            print(f"report: {write_report(_WORKDIR.value)}")


if __name__ == "__main__":
    cli.run(main, _WORKDIR)
