"""Write the report of a run again, also of one that is still running; or lay several runs over each other.

python -m bert_jax.report --workdir=DIR [--output=FILE] [--picture=FILE]
python -m bert_jax.report --compare=DIR,DIR[,...] --output=FILE [--picture=FILE]
"""

from collections.abc import Sequence

from absl import flags

from bert_jax import cli
from bert_jax.errors import UserError
from bert_jax.reporting.comparison import read_compared
from bert_jax.reporting.comparison_figures import save_comparison
from bert_jax.reporting.figures import save_picture
from bert_jax.reporting.page import run_and_metrics, write_comparison, write_report
from bert_jax.reporting.picture import check_picture
from bert_jax.storage.paths import check_file

_WORKDIR = flags.DEFINE_string(
    "workdir", None, "Directory of the run, as given to bert_jax.pretrain or bert_jax.finetune."
)
_COMPARE = flags.DEFINE_list("compare", None, "Directories of pretraining runs to compare, with commas between.")
_OUTPUT = flags.DEFINE_string("output", None, "HTML file to write. Default: report.html in --workdir.")
_PICTURE = flags.DEFINE_string("picture", None, "File for a picture of the curves: .svg, .png or .pdf.")
flags.mark_flags_as_mutual_exclusive(["workdir", "compare"], required=True)


def main(argv: Sequence[str]) -> None:
    """Write the page and print where it is."""
    del argv
    check_file(_OUTPUT.value, "output", b"<!DOCTYPE html>")
    if _PICTURE.value:
        check_picture(_PICTURE.value)
    if _COMPARE.value is not None:
        _compare(_COMPARE.value)
        return
    print(f"report: {write_report(_WORKDIR.value, _OUTPUT.value)}")
    if _PICTURE.value:
        save_picture(*run_and_metrics(_WORKDIR.value), _PICTURE.value)


def _compare(workdirs: Sequence[str]) -> None:
    if not _OUTPUT.value:
        raise UserError("--compare is of several workdirs; give the file of its page with --output=FILE.html")
    runs = read_compared(workdirs)
    print(f"report: {write_comparison(runs, _OUTPUT.value)}")
    if _PICTURE.value:
        save_comparison(runs, _PICTURE.value)


if __name__ == "__main__":
    cli.run(main)
