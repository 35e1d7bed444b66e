"""README.md of exported weights: what they are, what they were trained on, for how long, how well, and with what."""

import json
from typing import Any

from bert_jax.config import ModelConfig
from bert_jax.interchange.bert_names import BERT
from bert_jax.interchange.family import Family
from bert_jax.text.tokenizer import Tokenizer
from bert_jax.workdir.trained import Trained

_PIPELINES = {True: "sentence-similarity", False: "fill-mask"}  # is it an encoder alone?
_PAGE = """\
---
library_name: {library}
pipeline_tag: {pipeline}
tags:
- {family.model_type}
---

# {family.names.family}, pretrained with bert_jax

{learned}, as in {family.paper}. These are the weights after {step:,} of {total_steps:,} steps,
in float32, {parts}.

## Model

{model}

## Data

Records: `{records}`. Vocabulary: {tokenizer.vocab_size:,} tokens ({tokenizer.kind}, {case}), fingerprint
`{tokenizer.fingerprint}`{made_by}

{data}

{phases}

## Held-out scores

{scores}

## Made with

{versions}

## Whole configuration

```json
{config}
```
"""


_CONVERTED = """\
---
library_name: {library}
pipeline_tag: {pipeline}
tags:
- {family.model_type}
---

# {family.names.family}, converted with bert_jax

The weights of `{source}`, in float32, {parts}.

## Model

{model}

Vocabulary: {tokenizer.vocab_size:,} tokens ({tokenizer.kind}, {case}), fingerprint `{tokenizer.fingerprint}`.
"""


def converted_card(
    source: str, has_heads: bool, model: ModelConfig, tokenizer: Tokenizer, library: str, family: Family
) -> str:
    """The text of the card of weights that somebody else trained; `source` is where they were."""
    return _CONVERTED.format(
        source=source,
        library=library,
        family=family,
        tokenizer=tokenizer,
        pipeline=_PIPELINES[library == "sentence-transformers" or not has_heads],
        parts=_heads(model, family) if has_heads else "of the encoder alone",
        model=_model(model),
        case=_case(tokenizer),
    )


def model_card(
    trained: Trained,
    model: ModelConfig,
    tokenizer: Tokenizer,
    library: str,
    family: Family = BERT,
    is_encoder: bool = False,
) -> str:
    """The text of the card; depends on nothing but its arguments. `library` is the one that the files are for.

    is_encoder: what is written has no heads.
    """
    config = trained.description["config"]
    vectors = "of the encoder alone: a text's vector is the mean of its tokens' last hidden states"
    return _PAGE.format(
        library=library,
        family=family,
        learned=_learned(model),
        pipeline=_PIPELINES[is_encoder],
        parts=vectors if is_encoder else _heads(model, family),
        step=trained.step,
        total_steps=sum(phase["steps"] for phase in config["phases"]),
        model=_model(model),
        records=config["data"]["records"],
        tokenizer=tokenizer,
        case=_case(tokenizer),
        made_by=f", made by\n`{json.dumps(tokenizer.made_by, sort_keys=True)}`" if tokenizer.made_by else ".",
        data=_data(trained.description["data"]),
        phases=_phases(config["phases"], trained.step),
        scores=_scores(trained.validation),
        versions="\n".join(f"- {name} {version}" for name, version in sorted(trained.description["versions"].items())),
        config=json.dumps(config, indent=2, sort_keys=True),
    )


def _case(tokenizer: Tokenizer) -> str:
    return "uncased" if tokenizer.lowercase else "cased"


def _learned(model: ModelConfig) -> str:
    if not model.next_sentence:
        return "Masked tokens"
    return "Masked tokens and pairs of sentences" if model.num_hidden_groups else "Masked tokens and next sentences"


def _heads(model: ModelConfig, family: Family) -> str:
    has_pairs = model.next_sentence and family.pair_class
    return "with both pretraining heads" if has_pairs else "with the masked-LM head"


def _model(model: ModelConfig) -> str:
    others = f"\nOther than in BERT: {model.how_unlike_bert}." if model.unlike_bert else ""
    return (
        f"{model.num_hidden_layers} layers, hidden size {model.hidden_size}, {model.num_attention_heads} heads, "
        f"feed-forward {model.intermediate_size} with {model.hidden_act},\n"
        f"up to {model.max_position_embeddings} positions, {model.type_vocab_size} token types.{others}"
    )


def _data(data: dict[str, Any]) -> str:
    return "Made from `{inputs}` with `{options}`.".format(
        inputs=json.dumps(data["inputs"]), options=json.dumps(data["options"], sort_keys=True)
    )


def _phases(phases: list[dict[str, Any]], step: int) -> str:
    rows, begun = [], 0
    for phase in phases:
        done = min(max(step - begun, 0), phase["steps"])
        rows.append(f"| {phase['max_seq_length']} | {phase['global_batch_size']:,} | {done:,} of {phase['steps']:,} |")
        begun += phase["steps"]
    return "\n".join(["| tokens a sequence | sequences a step | steps |", "|---:|---:|---:|", *rows])


def _scores(validation: dict[str, Any]) -> str:
    names = sorted(name for name, value in validation.items() if isinstance(value, float) and name != "time")
    if not names:
        return "None were taken."
    rows = [f"| {name} | {validation[name]:.4f} |" for name in names]
    return "\n".join([f"At step {validation['step']:,}; losses in nats.", "", "| score | value |", "|---|---:|", *rows])
