"""BERT, RoBERTa, ALBERT and DistilBERT of one size, on the same text, for the same computation.

    .venv/bin/python benchmarks/families.py --text=FILES [--teraflop=190] [--seeds=1] [--only=BERT,ALBERT]
        [--tasks=DIR] [--work=DIR]

FILES are as build_vocab's --input. Each family has its own kind of vocabulary (8,000 tokens), records, masks and pairs,
and the model's fields of its own config; layers (4 of 256), batch (32 of 128 tokens), first weights (.04 for .02), rate
and clipping are the same for all, since the papers' are for other sizes. Each is trained for as many steps as
--teraflop are enough for, by the FLOPs that its MFU is counted with: DistilBERT has half of the layers and learns from
this BERT, whose forward passes count too. Its masks are those of the original BERT, so that both losses are of the same
words. A loss is of a token, so it compares with its unigram floor, and between families only where vocabularies are the
same (BERT, DistilBERT).

With --tasks, a folder with the sets of benchmarks/tasks.py, every encoder is fine-tuned on two of them, too.

Vocabularies, records and finished runs in --work are kept, and what runs came to in families_runs.json: the same
command again resumes, and the table has all runs of that computation.
"""

import argparse
import functools
import json
import statistics
from pathlib import Path
from typing import Any, NamedTuple

from kept_runs import read_kept
from results import write_table
from tuned_scores import TUNED_ON, run_once, tuned
from verb import verb

from bert_jax.config import DistillationConfig, ModelConfig
from bert_jax.objectives.distillation import DistillationObjective
from bert_jax.objectives.pretraining import PretrainingObjective

ROOT = Path(__file__).parent.parent
LENGTH, PREDICTIONS, BATCH, VOCABULARY, LAYERS = 128, 20, 32, 8000, 4


class Family(NamedTuple):
    """What of a family is its own: flags of the verbs."""

    vocab: str  # kind of the vocabulary
    records: list[str]
    model: dict[str, Any]
    config: list[str]


BLOCKS = ["--pairs=none", "--blocks=full", "--dupe_factor=1"]
FAMILIES = {
    "BERT": Family("wordpiece", ["--dupe_factor=2"], {}, []),
    "RoBERTa": Family(
        "bpe",
        BLOCKS,
        {"type_vocab_size": 0, "next_sentence": False, "layer_norm_eps": 1e-5, "initializer": "normal"},
        ["data.masking=roberta", "optimizer.beta2=0.98", "optimizer.decay_all=true", "optimizer.decay_from_peak=true"],
    ),
    "ALBERT": Family(
        "unigram",
        ["--dupe_factor=2", "--pairs=sop", "--ngram=3", "--nowhole_word_mask"],
        {"embedding_size": 64, "num_hidden_groups": 1, "hidden_act": "gelu_tanh"},
        [],
    ),
    "DistilBERT": Family(
        "wordpiece",
        BLOCKS,
        {"num_hidden_layers": LAYERS // 2, "type_vocab_size": 0, "next_sentence": False},
        ["data.masking=bert", "optimizer.beta2=0.98", "optimizer.decay_from_peak=true", "distillation.init_layers=0,2"],
    ),
}
SHARED = [
    *("phases[0].global_batch_size=32", f"phases[0].max_seq_length={LENGTH}", "optimizer.bias_correction=true"),
    *("evaluation.every_steps=1000", "train.log_every_steps=100", "train.checkpoint_every_steps=200"),
]


COLUMNS = ["family", "parameters", "steps", "masked-LM loss", "its floor", "accuracy", "of pairs", "hours", *TUNED_ON]


def main() -> None:
    """Make what is missing, train, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", required=True)
    parser.add_argument("--teraflop", type=float, default=190.0)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--only", default=",".join(FAMILIES))
    parser.add_argument("--tasks", default="")
    parser.add_argument("--work", default=str(ROOT / "runs" / "families"))
    arguments = parser.parse_args()
    work = Path(arguments.work)
    for name in arguments.only.split(","):
        for seed in range(arguments.seeds):
            make = functools.partial(trained, name, seed, arguments, work)
            run_once("families", f"{key_of(name, arguments)}{seed}", make, work / f"{name}-{seed}", arguments.tasks)
    kept = read_kept("families")
    runs = {name: [run for key, run in kept.items() if key.startswith(key_of(name, arguments))] for name in FAMILIES}
    rows = [[*row(name, several), *tuned(several)] for name, several in runs.items() if several]
    write_table("families", COLUMNS, rows, ["jax"])


def key_of(name: str, arguments: argparse.Namespace) -> str:
    """Of what is kept: how its runs' keys begin."""
    return f"{name}/{arguments.teraflop:g}/"


def records_of(family: Family, text: str, work: Path) -> Path:
    """The family's records, with the vocabulary that they are of."""
    vocab = work / f"vocab-{family.vocab}"
    if not (vocab / "vocabulary.json").exists():
        verb(
            "build_vocab",
            f"--input={text}",
            f"--output={vocab}",
            f"--kind={family.vocab}",
            f"--vocab_size={VOCABULARY}",
            "--lowercase",  # RoBERTa's too, so that all families read the same text
        )
    records = work / "-".join(["records", family.vocab, *(flag.strip("-") for flag in family.records)])
    if not (records / "records.json").exists():
        sizes = [
            f"--max_seq_length={LENGTH}",
            f"--max_predictions_per_seq={PREDICTIONS}",
            "--holdout=0.02",
            "--split_sentences",
        ]
        verb("build_records", f"--input={text}", f"--vocab={vocab}", f"--output={records}", *sizes, *family.records)
    return records


def trained(name: str, seed: int, arguments: argparse.Namespace, work: Path) -> dict[str, Any]:
    """What the run of a seed came to."""
    family, workdir = FAMILIES[name], work / f"{name}-{seed}"
    records = records_of(family, arguments.text, work)
    model = model_of(family, records)
    steps = int(arguments.teraflop * 1e12 / (BATCH * flops_per_row(name, model)))
    settings = {f"model.{field}": value for field, value in fields_of(family).items()}
    settings |= {"phases[0].steps": steps, "optimizer.warmup_steps": steps // 10, "train.seed": seed}
    settings["data.records"] = records
    if name == "DistilBERT":
        settings["teacher"] = work / f"BERT-{seed}"
        if not (settings["teacher"] / "samples.json").exists():  # what it came to may be kept, from another host
            trained("BERT", seed, arguments, work)
    flags = [f"--config.{one}" for one in (*SHARED, *family.config)]
    flags += [f"--config.{setting}={value}" for setting, value in settings.items()]
    verb("pretrain", "--config=configs/tiny.py", f"--workdir={workdir}", *flags)
    scores = json.loads(verb("evaluate", f"--workdir={workdir}"))
    starts = [json.loads(line) for line in (workdir / "runs.jsonl").read_text().splitlines()]
    seconds = sum(start["seconds"]["steps"] for start in starts)
    return scores | {"parameters": model.parameters, "steps": steps, "seconds": seconds}


def fields_of(family: Family) -> dict[str, Any]:
    """Of the model, beside those of configs/tiny.py."""
    size = {"hidden_size": 256, "num_hidden_layers": LAYERS, "num_attention_heads": 4, "intermediate_size": 1024}
    size["initializer_range"] = 0.04
    return size | {"max_position_embeddings": LENGTH} | family.model


def model_of(family: Family, records: Path) -> ModelConfig:
    """The architecture, with the vocabulary's size."""
    size = json.loads((records / "records.json").read_text())["vocab_size"]
    return ModelConfig(vocab_size=size, **fields_of(family))


def flops_per_row(name: str, model: ModelConfig) -> int:
    """Of a sequence."""
    if name != "DistilBERT":
        return PretrainingObjective(model).flops_per_row(LENGTH, PREDICTIONS)
    teacher = ModelConfig(vocab_size=model.vocab_size, **fields_of(FAMILIES["BERT"]))
    objective = DistillationObjective(PretrainingObjective(model, "none"), teacher, DistillationConfig())
    return objective.flops_per_row(LENGTH, PREDICTIONS)


def row(name: str, runs: list[dict[str, Any]]) -> list[Any]:
    """A line of the table; a cell is mean ± sd over the seeds."""

    def cell(key: str, digits: int = 3) -> str:
        values = [run[key] for run in runs if run.get(key) is not None]
        if not values:
            return "none"
        spread = f" ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else ""
        return f"{statistics.mean(values):.{digits}f}{spread}"

    pairs = "sentence_order_accuracy" if name == "ALBERT" else "next_sentence_accuracy"
    hours = statistics.mean(run["seconds"] for run in runs) / 3600
    return [
        *(name, f"{runs[0]['parameters']:,}", f"{runs[0]['steps']:,}", cell("masked_lm_loss"), cell("unigram_loss")),
        *(cell("masked_lm_accuracy"), cell(pairs), hours),
    ]


if __name__ == "__main__":
    main()
