"""BERT's names: Hugging Face's BertForPreTraining and its relatives, and the original's TensorFlow variables."""

from bert_jax.config import ModelConfig
from bert_jax.interchange.conversions import Weights, add_types
from bert_jax.interchange.family import (
    DENSE,
    NORM,
    OPTIONAL,
    OUTPUT_BIAS,
    PAIR,
    TABLE,
    Family,
    classifiers,
    huggingface,
    original,
    unchanged,
)
from bert_jax.interchange.renames import Names
from bert_jax.interchange.settings import ForeignSettings

# Our module, Hugging Face's and its kind. The original's scopes are Hugging Face's, written with "/" and "layer_0".
ENCODER = [
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
]
MASKED_LM = [
    ("masked_lm/transform", "cls.predictions.transform.dense", DENSE),
    ("masked_lm/norm", "cls.predictions.transform.LayerNorm", NORM),
    ("masked_lm", "cls.predictions", OUTPUT_BIAS),
]
NEXT_SENTENCE = [("next_sentence", "cls.seq_relationship", PAIR)]
MODULES = [*ENCODER, *MASKED_LM, *NEXT_SENTENCE]
OLDER = {"LayerNorm.gamma": "LayerNorm.weight", "LayerNorm.beta": "LayerNorm.bias"}
FIXED = {"position_embedding_type": "absolute", "is_decoder": False, "tie_word_embeddings": True}

HUGGINGFACE = Names(
    family="BERT",
    modules=huggingface(MODULES),
    separator=".",
    encoder="bert.",
    layer="bert.encoder.layer.{}.",
    optional=OPTIONAL,
    older=OLDER,
    top_modules=("embeddings.", "encoder.", "pooler."),
    buffers=("bert.embeddings.position_ids", "bert.embeddings.token_type_ids"),
    tied={
        "cls.predictions.decoder.weight": "bert.embeddings.word_embeddings.weight",
        "cls.predictions.decoder.bias": "cls.predictions.bias",
    },
)


def _to_file(weights: Weights, pad_id: int) -> Weights:
    """There are always token types: whatever a program says they are, those of zeros change nothing."""
    del pad_id
    return weights if weights.config.type_vocab_size else add_types(weights, 2)


def _lacks(config: ModelConfig) -> list[str]:
    lacking = {
        "embedding_size": config.embedding_size > 0,
        "num_hidden_groups": config.distinct_layers < config.num_hidden_layers,
        "position_embedding": config.position_embedding != "learned",
    }
    return [name for name, is_lacking in lacking.items() if is_lacking]


BERT = Family(
    model_type="bert",
    classes="Bert",
    names=HUGGINGFACE,
    heads=classifiers(),
    settings=ForeignSettings,
    of_a_task=lambda config: {"classifier_dropout": None},
    fixed=FIXED,
    to_file=_to_file,
    from_file=unchanged,
    pair_class="BertForPreTraining",
    lacks=_lacks,
    paper="arXiv 1810.04805",
)


def _scope(module: str) -> str:
    return module.replace("layer.", "layer_").replace(".", "/")


TENSORFLOW = Names(
    family="BERT",
    modules=original([(ours, _scope(theirs), kind) for ours, theirs, kind in MODULES]),
    separator="/",
    encoder="bert/",
    layer="bert/encoder/layer_{}/",
    optional=OPTIONAL,
)
