"""Our parameters of another framework's arrays, each of which is used exactly once: tests' way back from an export.

Users' files are read by huggingface_reader.py and tensorflow.py, which take what they need.
"""

import functools

from bert_jax.interchange.bert_names import BERT
from bert_jax.interchange.conversions import Weights
from bert_jax.interchange.renames import check, parameters
from bert_jax.model.functional import flatten, nest
from bert_jax.model.pretraining import pretraining_model
from bert_jax.model.tasks import task_model


def to_ours(arrays, names, config, source, model_of=pretraining_model):
    """Nested dicts; UserError if an array is none of ours, is missing, or has another shape than `config` says."""
    table = parameters(names, config, model_of=model_of)
    check({param.name: param.their_shape for param in table}, arrays, names, source)
    return nest({param.path: param.to_ours(arrays[param.name]) for param in table})


def from_huggingface(state_dict, config, family=BERT, pad_id=0):
    """Of a state dict as `to_huggingface` gives it, bit for bit."""
    return _of_state_dict(state_dict, family.names, config, family, pad_id, pretraining_model)


def task_from_huggingface(state_dict, head, outputs, config, family=BERT, pad_id=0):
    """Of a state dict as `task_to_huggingface` gives it."""
    model_of = functools.partial(task_model, head, outputs)
    return _of_state_dict(state_dict, family.task_names(head), config, family, pad_id, model_of)


def _of_state_dict(state_dict, names, config, family, pad_id, model_of):
    theirs = family.to_file(Weights({}, config), pad_id).config
    arrays = {name: array for name, array in state_dict.items() if name not in names.buffers}
    params = to_ours(arrays, names, theirs, "the state dict", model_of)
    return nest(family.from_file(Weights(flatten(params), theirs), pad_id).arrays)
