"""Fine-tune a pretrained BERT for a task. The same command again resumes.

python -m bert_jax.finetune --task=classification --init_from=MODEL --train=FILE [--dev=FILE] [--test=FILE]
    --workdir=DIR [--columns=text:1,label:0] [--seeds=5] [--config=configs/finetune.py] [--config.group.key=value ...]
"""

from collections.abc import Sequence

from absl import flags

from bert_jax import cli
from bert_jax.config import FineTuningConfig
from bert_jax.config.command_line import define_config, put
from bert_jax.parallel.processes import is_first, joined
from bert_jax.reporting.page import write_report
from bert_jax.storage.lock import only_run
from bert_jax.tasks.columns import COLUMNS_HELP, HEADER_HELP
from bert_jax.tasks.kinds import KINDS
from bert_jax.training.finetuning import finetune

_CONFIG = define_config(FineTuningConfig, has_default=True)
_TASK = flags.DEFINE_enum("task", None, list(KINDS), "The task.")
_MODELS = "Pretrained model: workdir, Hugging Face directory or file, numpy export, original checkpoint."
_INIT_FROM = flags.DEFINE_string("init_from", None, _MODELS)
_TRAIN = flags.DEFINE_list("train", None, "Labelled files (commas between) to train on.")
_DEV = flags.DEFINE_list("dev", None, "Labelled files (commas between) on which the best step is chosen.")
_TEST = flags.DEFINE_list("test", None, "Labelled files (commas between), scored once, with the best step.")
_COLUMNS = flags.DEFINE_string("columns", "", f"{COLUMNS_HELP} Default: found by the header's names.")
_HEADER = flags.DEFINE_enum("header", "auto", ["auto", "yes", "no"], HEADER_HELP)
_WORKDIR = flags.DEFINE_string("workdir", None, "Directory of the run and of the fine-tuned model.")
_SEEDS = flags.DEFINE_integer("seeds", 1, "Number of runs, each with its own seed; the best on --dev is kept.", 1, 1000)
_LONG = flags.DEFINE_enum("long", None, ["cut", "windows"], "Cut texts over text.max_length, or read them in windows.")
_STRICT = flags.DEFINE_boolean("strict", False, "qa: end at an answer that is not at its offset; else log it.")
flags.mark_flags_as_required(["task", "init_from", "train", "workdir"])


def settings_of_flags() -> FineTuningConfig:
    """The config, with what the other flags say; UserError where a flag and its setting say different things."""
    settings = _CONFIG.value
    for flag in (_TRAIN, _DEV, _TEST, _COLUMNS, _HEADER, _STRICT):
        put(settings.task, flag.name, flag)
    put(settings.task, "kind", _TASK)
    put(settings.text, "long", _LONG)
    put(settings, "init_from", _INIT_FROM)
    return settings


def main(argv: Sequence[str]) -> None:
    """Train, score, keep the best model, then write the report."""
    del argv
    with joined(), only_run(_WORKDIR.value, "--workdir", is_first()):
        finetune(settings_of_flags(), _WORKDIR.value, _SEEDS.value, report=write_report)
        if is_first():
            print(f"report: {write_report(_WORKDIR.value)}")


if __name__ == "__main__":
    cli.run(main, _WORKDIR)
