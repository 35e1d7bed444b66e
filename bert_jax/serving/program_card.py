"""What the card of a served model says beside that of the weights: names, shapes, how it is run, what int8 costs."""

from collections.abc import Sequence

from bert_jax.interchange.families import ENCODER
from bert_jax.interchange.programs import Servable
from bert_jax.serving.comparison import Line
from bert_jax.serving.signature import CHOICES, Axes, Signature

_ONNX = """
## ONNX

`{file}`, opset {opset}. Any batch and length, up to {positions:,} tokens{settings}:

{table}

```python
import numpy, onnxruntime, tokenizers

{feed}
session = onnxruntime.InferenceSession("DIR/{file}")
outputs = dict(zip([each.name for each in session.get_outputs()], session.run(None, inputs)))
```
"""
_OWN_SETTINGS = """. No class of
transformers or optimum is such a model: `config.json` has bert_jax's own settings, and onnxruntime runs the file"""
_INT8 = """
## int8

Kernels and tables are int8, with a scale for each output. Activations are made int8 while it runs (onnxruntime's
dynamic quantisation), by a scale for all tokens of a batch: **an answer depends on what else is in the batch**. Who
wants the same answer each time runs one text at a time, without padding; batches of texts of one length do not help
much. Of this model, on {source}, one a batch, on the machine of the export:

| | float32 | int8 |
|---|---:|---:|
{rows}
"""
_STABLEHLO = """
## StableHLO

`{file}`, for {platforms}. Any batch and length, up to {positions:,} tokens; its first argument are the weights of
`{weights}`, float32, by name; products and activations are {dtype}.

{table}

```python
import jax, jax.export, numpy, tokenizers

{feed}
program = jax.export.deserialize(bytearray(open("DIR/{file}", "rb").read()))
weights = jax.device_put(dict(numpy.load("DIR/{weights}")))
outputs = jax.jit(program.call)(weights, {{name: each.astype("int32") for name, each in inputs.items()}})
```

Made by jax {version}; to read it, jax.export needs the package flatbuffers. JAX promises that its releases of the next
six months read it, and those of three weeks before: it is for serving, and the weights are what to keep.
"""
_OF_ENCODING = {"input_ids": "ids", "token_type_ids": "type_ids", "attention_mask": "attention_mask"}


def onnx_card(model: Servable, described: Signature, opset: int, file: str) -> str:
    """Of an ONNX file."""
    return _ONNX.format(
        file=file,
        opset=opset,
        positions=model.config.max_position_embeddings,
        settings="" if model.is_of_transformers else _OWN_SETTINGS,
        table=_table(described) + _vectors(model),
        feed=_feed(model, described),
    )


def stablehlo_card(
    model: Servable, described: Signature, platforms: Sequence[str], dtype: str, file: str, weights: str, version: str
) -> str:
    """Of a StableHLO file and its weights."""
    return _STABLEHLO.format(
        file=file,
        weights=weights,
        platforms=", ".join(platforms),
        positions=model.config.max_position_embeddings,
        dtype=dtype,
        table=_table(described) + _vectors(model),
        feed=_feed(model, described),
        version=version,
    )


def int8_card(table: Sequence[Line], test: str | None) -> str:
    """Of what int8 costs."""
    rows = "\n".join(f"| {line.what} | {line.float32} | {line.int8} |" for line in table)
    return _INT8.format(source=f"`{test}`" if test else "a few built-in sentences", rows=rows)


def _table(described: Signature) -> str:
    rows = [
        f"| {kind} | `{name}` | {type_} | {_shape(axes)} |"
        for kind, type_, parts in (("input", "integers", described.inputs), ("output", "float32", described.outputs))
        for name, axes in parts.items()
    ]
    return "\n".join(["| | name | of | shape |", "|---|---|---|---|", *rows])


def _vectors(model: Servable) -> str:
    """What the vector of a text is, where there is one."""
    ways = {"mean": "the mean of the tokens' states", "cls": "[CLS]' state", "max": "the largest of the tokens' states"}
    return f"\n\n`sentence_embedding` is {ways[model.pooling]}." if model.head == ENCODER else ""


def _shape(axes: Axes) -> str:
    return ", ".join(map(str, axes))


def _feed(model: Servable, described: Signature) -> str:
    """The lines of Python that make the inputs of texts."""
    if model.tokenizer.kind == "ids":
        names = ", ".join(f'"{name}": numpy.array([[...]])' for name in described.inputs)
        return f"inputs = {{{names}}}"
    pad = model.tokenizer.tokens[model.tokenizer.pad_id]
    has_choices = any(CHOICES in axes for axes in described.inputs.values())
    before, after = ("[", "]") if has_choices else ("", "")  # of one question
    parts = [
        f'    "{name}": numpy.array({before}[each.{_OF_ENCODING[name]} for each in texts]{after}),'
        for name in described.inputs
    ]
    return "\n".join(
        [
            'tokenizer = tokenizers.Tokenizer.from_file("DIR/tokenizer.json")',
            f"tokenizer.enable_truncation({model.max_length})",
            f"tokenizer.enable_padding(pad_id={model.tokenizer.pad_id}, pad_token={pad!r})",
            'texts = tokenizer.encode_batch(["a text", ("a text", "and what it is paired with")])',
            "inputs = {",
            *parts,
            "}",
        ]
    )
