"""An encoder as a directory that sentence-transformers loads: how a text's vector is made of its tokens' last states.

Files and keys are those that release 2 to 5 of it read; they lie beside Hugging Face's.
"""

import dataclasses

from etils import epath

from bert_jax.config import ModelConfig
from bert_jax.interchange.bert_names import BERT
from bert_jax.interchange.family import Family
from bert_jax.interchange.huggingface_tasks import write_encoder
from bert_jax.interchange.own_settings import OwnSettings, write_own_pooling
from bert_jax.interchange.renames import has_module
from bert_jax.interchange.sentence_transformers_files import write_length, write_modules, write_usage
from bert_jax.model.functional import Params
from bert_jax.text.tokenizer import Tokenizer


def write_sentence_transformers(
    directory: epath.Path,
    params: Params,
    config: ModelConfig,
    tokenizer: Tokenizer,
    own: OwnSettings,
    family: Family = BERT,
) -> None:
    """Write the encoder of `params` (nested dicts of host arrays), tokenizer and modules.

    Length and pooling are those of `own`, else as many tokens as the model reads, and their mean; prompts and
    how vectors are compared are those of `own`, else none, and cosines.
    """
    max_length = own.length(config.max_position_embeddings)
    write_encoder(directory, params, config, tokenizer, max_length, family)
    write_modules(directory, own.normalized)
    lacks_pooler = "pooler" not in params["encoder"] and has_module(family.names, "encoder/pooler")
    model = {"model_args": {"add_pooling_layer": False}} if lacks_pooler else {}  # else it initialises one, and warns
    write_length(directory, max_length, do_lower_case=False, **model)  # the tokenizer does it
    write_own_pooling(directory, own, config.hidden_size)
    similarity = own.usage.similarity_fn_name or "cosine"
    write_usage(directory, dataclasses.replace(own.usage, similarity_fn_name=similarity))
