"""README.md of an exported task model: its task and labels, how well it does, how it is loaded, how it was made."""

import dataclasses
import json
import shlex
from collections.abc import Mapping
from typing import Any

from bert_jax.config import FineTuningConfig, TaskConfig
from bert_jax.config.file import flat
from bert_jax.interchange.bert_names import BERT
from bert_jax.interchange.family import Family
from bert_jax.interchange.huggingface_tasks import CLASSES
from bert_jax.workdir.fine_tuned import FineTuned

PIPELINES = {
    "classification": "text-classification",
    "multilabel": "text-classification",
    "regression": "text-classification",
    "tagging": "token-classification",
    "qa": "question-answering",
    "choice": "multiple-choice",
    "similarity": "sentence-similarity",
}
_PAGE = """\
---
library_name: {library}
pipeline_tag: {pipeline}
tags:
- {family.model_type}
---

# {family.names.family}, fine-tuned with bert_jax: {task}

From `{init_from}`; the weights after step {step:,} of seed {seed}, in float32. Texts were read in rows of at most
{max_length:,} tokens.{unlike_bert}

## Outputs

{outputs}

## Scores

{scores}

## Files and use

{files}

{use}

## Made with

```
{command}
```

{versions}

## Whole configuration

```json
{config}
```
"""
_FLAGS = ("train", "dev", "test", "columns", "header", "strict")  # of finetune, each a setting of its task
_DROPOUT = ("model.hidden_dropout_prob", "model.attention_probs_dropout_prob")  # all that a fine-tuning says of it
_AUTO = {
    "BertForSequenceClassification": "AutoModelForSequenceClassification",
    "BertForTokenClassification": "AutoModelForTokenClassification",
    "BertForQuestionAnswering": "AutoModelForQuestionAnswering",
    "BertForMultipleChoice": "AutoModelForMultipleChoice",
    "BertModel": "AutoModel",
}
_LOADS = {
    "transformers": """\
from transformers import {auto}, AutoTokenizer

model, tokenizer = {auto}.from_pretrained(DIR), AutoTokenizer.from_pretrained(DIR)""",
    "sentence-transformers": """\
from sentence_transformers import SentenceTransformer

vectors = SentenceTransformer(DIR).encode(texts)  # one a text""",
    "numpy": """\
import numpy

weights = numpy.load("DIR/params.npz")  # names: paths, say "encoder/layer_0/output/kernel"; settings: config.json""",
}
_BELOW = "How it is run stands below."  # of programs (serving/program_card.py)

_FILES = {
    "transformers": "Weights in `model.safetensors`; architecture{and_labels} in `config.json`; the tokenizer's files.",
    "sentence-transformers": "Weights of the encoder in `model.safetensors`, its architecture in `config.json`; the "
    "tokenizer's\nfiles; what is done with hidden states in `modules.json`, `1_Pooling/` and `*sentence*.json`.",
    "numpy": "Weights in `params.npz`; architecture in `config.json`;{task_settings} the tokenizer's own files.",
    "onnx": "Program and weights in `*.onnx`; architecture{and_labels} in `config.json`; the tokenizer's files.",
    "jax": "The program in `model.stablehlo`, its weights in `params.npz`, names and shapes{and_labels} in "
    "`program.json`;\nthe tokenizer's files.",
}

_OF_TASKS = {  # of a model with its task's head
    "and_labels": " and labels",
    "task_settings": " labels, in the order of the outputs, in\n`task_settings.json`;",
}


def task_card(
    model: FineTuned,
    summary: Mapping[str, Any],
    config: Mapping[str, Any],
    library: str,
    family: Family = BERT,
    is_encoder: bool = False,
) -> str:
    """The text of the card; `summary` is the workdir's scores.json, {} if there is none, `config` its config.json.

    is_encoder: the task's head is left out.
    """
    use = _BELOW
    if library in _LOADS:
        auto = _AUTO["BertModel" if is_encoder else CLASSES[model.kind].name]
        use = f"```python\n{_LOADS[library].format(auto=auto)}\n```"
    return _PAGE.format(
        library=library,
        family=family,
        pipeline=PIPELINES["similarity" if is_encoder else model.kind],
        task=model.kind,
        init_from=model.init_from,
        step=model.step,
        seed=model.seed,
        max_length=model.text.max_length,
        unlike_bert=f"\n\nOther than in BERT: {unlike}." if (unlike := model.model.how_unlike_bert) else "",
        outputs=_VECTORS[model.pooling] if is_encoder else _outputs(model),
        scores=_scores(model, summary),
        files=_FILES[library].format_map(dict.fromkeys(_OF_TASKS, "") if is_encoder else _OF_TASKS),
        use=use + ("\n\n" + _LONG if model.text.long != "cut" else ""),
        command=_command(model, config, len(summary.get("seeds", ()))),
        versions="\n".join(f"- {name} {version}" for name, version in sorted(model.versions.items())),
        config=json.dumps(config, indent=2, sort_keys=True),
    )


_LONG = (
    "Texts longer than a row: `python -m bert_jax.predict` can read them in windows and combine what it finds in each; "
    "other\nprograms cut them, or have their own way."
)


_VECTORS = {
    "mean": "Hidden states, whose mean over a text's tokens is its vector; vectors are compared by cosine.",
    "cls": "Hidden states, of which the first token's is the text's vector; vectors are compared by cosine.",
    "max": "Hidden states, whose largest over a text's tokens, number by number, are its vector; vectors are compared "
    "by\ncosine.",
}


def _outputs(model: FineTuned) -> str:
    """What the numbers mean, in their order."""
    match model.kind:
        case "regression":
            return "One number, on the scale of the training labels."
        case "choice":
            return "A number for each choice; the largest is the answer."
        case "qa":
            threshold = (
                f"\nNo answer where that of [CLS] exceeds the best answer's by {model.settings['null_threshold']:.4g}."
            )
            impossible = threshold if model.settings.get("has_impossible") else ""
            return f"Two numbers for each token: that the answer starts there, and ends there.{impossible}"
        case "similarity":
            return _VECTORS[model.pooling]
    thresholds = model.settings.get("thresholds") or []
    rows = [f"| {place} | {_cell(label)} |" for place, label in enumerate(model.settings["labels"])]
    table = ["| output | label |", "|---:|---|", *rows]
    if thresholds:
        rows = [f"{row} {threshold:.4g} |" for row, threshold in zip(rows, thresholds, strict=True)]
        table = ["| output | label | given from a probability of |", "|---:|---|---:|", *rows]
    return "\n".join(table)


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


def _scores(model: FineTuned, summary: Mapping[str, Any]) -> str:
    """Of this model, beside what simple methods reach on the same files."""
    tables = []
    for split, scores in (("dev", model.dev), ("test", model.test)):
        floors = {name: of for name, of in summary.get("floors", {}).get(split, {}).items() if of}
        if scores:
            head = ["score", "this model", *map(_cell, floors)]
            rows = [[name, value, *(of.get(name) for of in floors.values())] for name, value in scores.items()]
            lines = [head, ["---", *["---:"] * (len(head) - 1)], *[[name, *map(_number, of)] for name, *of in rows]]
            title = f"On `{getattr(model.options, split)}` ({split}):"
            tables.append("\n".join([title, "", *("| " + " | ".join(line) + " |" for line in lines)]))
    if len(summary.get("seeds", ())) > 1:
        tables.append(f"This is the best on dev of {len(summary['seeds'])} seeds; the others differ from it.")
    return "\n\n".join(tables) or "None were taken."


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _command(model: FineTuned, config: Mapping[str, Any], seeds: int) -> str:
    """What one types to have such a model, with each setting that is not the default."""
    options = {name: getattr(model.options, name) for name in _FLAGS}
    options = {name: value for name, value in options.items() if value != getattr(TaskConfig(), name)}
    flags = {"task": model.kind, "init_from": model.init_from, **options, "workdir": "DIR"}
    if seeds > 1:
        flags["seeds"] = seeds
    given = [f"--{name}={value}" for name, value in flags.items() if value] + _changed(config)
    return " ".join(["python -m bert_jax.finetune", *map(shlex.quote, given)])


def _changed(config: Mapping[str, Any]) -> list[str]:
    """Flags of the settings that are not the default and have no flag of their own; the model is init_from's."""
    default = flat(dataclasses.asdict(FineTuningConfig()))
    elsewhere = ("init_from", "task.kind", *(f"task.{name}" for name in _FLAGS))
    return [
        f"--config.{name}={value}"
        for name, value in flat(config).items()
        if value != default.get(name) and name not in elsewhere and (name in _DROPOUT or not name.startswith("model."))
    ]
