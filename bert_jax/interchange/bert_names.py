"""BERT's names: Hugging Face's BertForPreTraining and its relatives, and the original's TensorFlow variables."""

import dataclasses

from bert_jax.interchange.renames import Module, Names

# Per kind of module, the last part of a name: ours -> (Hugging Face's, the original's); ".T": transposed there.
DENSE = {"kernel": ("weight.T", "kernel"), "bias": ("bias", "bias")}
NORM = {"scale": ("weight", "gamma"), "bias": ("bias", "beta")}
TABLE = {"embedding": ("weight", "")}
MASKED_LM = {"output_bias": ("bias", "output_bias")}
NEXT_SENTENCE = {"kernel": ("weight.T", "output_weights.T"), "bias": ("bias", "output_bias")}

# Our module, Hugging Face's and its kind. The original's scopes are Hugging Face's, written with "/" and "layer_0".
MODULES = [
    ("encoder/embeddings/word", "bert.embeddings.word_embeddings", TABLE),
    ("encoder/embeddings/position", "bert.embeddings.position_embeddings", TABLE),
    ("encoder/embeddings/token_type", "bert.embeddings.token_type_embeddings", TABLE),
    ("encoder/embeddings/norm", "bert.embeddings.LayerNorm", NORM),
    ("encoder/layer_{}/attention/query", "bert.encoder.layer.{}.attention.self.query", DENSE),
    ("encoder/layer_{}/attention/key", "bert.encoder.layer.{}.attention.self.key", DENSE),
    ("encoder/layer_{}/attention/value", "bert.encoder.layer.{}.attention.self.value", DENSE),
    ("encoder/layer_{}/attention/output", "bert.encoder.layer.{}.attention.output.dense", DENSE),
    ("encoder/layer_{}/attention_norm", "bert.encoder.layer.{}.attention.output.LayerNorm", NORM),
    ("encoder/layer_{}/intermediate", "bert.encoder.layer.{}.intermediate.dense", DENSE),
    ("encoder/layer_{}/output", "bert.encoder.layer.{}.output.dense", DENSE),
    ("encoder/layer_{}/output_norm", "bert.encoder.layer.{}.output.LayerNorm", NORM),
    ("encoder/pooler", "bert.pooler.dense", DENSE),
    ("masked_lm/transform", "cls.predictions.transform.dense", DENSE),
    ("masked_lm/norm", "cls.predictions.transform.LayerNorm", NORM),
    ("masked_lm", "cls.predictions", MASKED_LM),
    ("next_sentence", "cls.seq_relationship", NEXT_SENTENCE),
]
OPTIONAL = ("encoder/pooler/", "masked_lm/", "next_sentence/")


def _scope(module: str) -> str:
    return module.replace("layer.", "layer_").replace(".", "/")


HUGGINGFACE = Names(
    family="BERT",
    modules=[Module(ours, theirs, {leaf: name for leaf, (name, _) in kind.items()}) for ours, theirs, kind in MODULES],
    separator=".",
    encoder="bert.",
    layer="bert.encoder.layer.{}.",
    optional=OPTIONAL,
    older={"LayerNorm.gamma": "LayerNorm.weight", "LayerNorm.beta": "LayerNorm.bias"},
    top_modules=("embeddings.", "encoder.", "pooler."),
    buffers=("bert.embeddings.position_ids", "bert.embeddings.token_type_ids"),
    tied={
        "cls.predictions.decoder.weight": "bert.embeddings.word_embeddings.weight",
        "cls.predictions.decoder.bias": "cls.predictions.bias",
    },
)
# With a task's head (model/tasks.py): what our `classifier` is called there. A model without a pooler has none there.
CLASSIFIERS = {"sequence": "classifier", "token": "classifier", "choice": "classifier", "span": "qa_outputs"}
HUGGINGFACE_TASKS = {
    head: dataclasses.replace(
        HUGGINGFACE,
        modules=[
            *HUGGINGFACE.modules,
            Module("classifier", theirs, {leaf: name for leaf, (name, _) in DENSE.items()}),
        ],
        heads="a task's head",
    )
    for head, theirs in CLASSIFIERS.items()
}
# BertModel, which is the encoder alone: nothing stands before its names.
HUGGINGFACE_ENCODER = dataclasses.replace(
    HUGGINGFACE,
    modules=[
        Module(module.ours, module.theirs.removeprefix(HUGGINGFACE.encoder), module.leaves)
        for module in HUGGINGFACE.modules
        if module.ours.startswith("encoder/")
    ],
    encoder="",
    layer=HUGGINGFACE.layer.removeprefix(HUGGINGFACE.encoder),
    heads="no head",
)
TENSORFLOW = Names(
    family="BERT",
    modules=[
        Module(ours, _scope(theirs), {leaf: name for leaf, (_, name) in kind.items()}) for ours, theirs, kind in MODULES
    ],
    separator="/",
    encoder="bert/",
    layer="bert/encoder/layer_{}/",
    optional=OPTIONAL,
)
