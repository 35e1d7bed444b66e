"""Score a run's newest checkpoint on held-out records.

python -m bert_jax.evaluate --workdir=DIR [--records=DIR]
"""

import json
from collections.abc import Sequence

from absl import flags

from bert_jax import cli
from bert_jax.training.scoring import score

_WORKDIR = flags.DEFINE_string("workdir", None, "Directory of a run of bert_jax.pretrain.")
_RECORDS = flags.DEFINE_string(
    "records",
    None,
    "Records to score on: their validation split, or all of them if they have none. Default: the "
    "records of the run's last phase.",
)
_BATCH_SIZE = flags.DEFINE_integer("batch_size", 32, "Sequences a batch; the scores do not depend on it.", 1, 100_000)
flags.mark_flag_as_required("workdir")


def main(argv: Sequence[str]) -> None:
    """Print the scores as JSON."""
    del argv
    print(json.dumps(score(_WORKDIR.value, _RECORDS.value, _BATCH_SIZE.value), indent=2))


if __name__ == "__main__":
    cli.run(main)
