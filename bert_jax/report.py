"""Write the report of a run again, also of one that is still going on.

python -m bert_jax.report --workdir=DIR [--output=FILE] [--picture=FILE]
"""

from collections.abc import Sequence

from absl import flags

from bert_jax import cli
from bert_jax.reporting.figures import check_picture, save_picture
from bert_jax.reporting.page import run_and_metrics, write_report
from bert_jax.storage.paths import check_file

_WORKDIR = flags.DEFINE_string(
    "workdir", None, "Directory of the run, as given to bert_jax.pretrain or bert_jax.finetune."
)
_OUTPUT = flags.DEFINE_string("output", None, "HTML file to write; the workdir's report.html if not given.")
_PICTURE = flags.DEFINE_string("picture", None, "Where to draw the curves too: a .svg or .png file.")
flags.mark_flag_as_required("workdir")


def main(argv: Sequence[str]) -> None:
    """Write the page and print where it is."""
    del argv
    check_file(_OUTPUT.value, "output", b"<!DOCTYPE html>")
    if _PICTURE.value:
        check_picture(_PICTURE.value)
    print(f"report: {write_report(_WORKDIR.value, _OUTPUT.value)}")
    if _PICTURE.value:
        save_picture(*run_and_metrics(_WORKDIR.value), _PICTURE.value)


if __name__ == "__main__":
    cli.run(main)
