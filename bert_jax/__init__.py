"""BERT, RoBERTa, ALBERT and DistilBERT with JAX: commands (README.md), and a library.

    model = bert_jax.load("runs/quickstart/train")      # any model that the commands take
    model.fill_mask("The [MASK] returns a list.")
    model.embed(["a text", "another"])
    model.apply(model.params, model.encode(["a text"]))

What is named in `__all__` is public and stays as it is within a minor version; everything else may change. Importing
this package imports neither JAX nor any of the modules: each name is looked up when it is first used. It sets
environment variables where they are not set: those by which gs:// is read, and JAX_PLATFORMS=cpu where libtpu is
installed on a host that has neither TPU nor GPU.
"""

import importlib
import os
import sys
from typing import TYPE_CHECKING, Any

from bert_jax import ctrl_c

if TYPE_CHECKING:
    from bert_jax.config import ModelConfig
    from bert_jax.errors import UserError
    from bert_jax.library.bert import Bert
    from bert_jax.library.encoded import Encoded
    from bert_jax.library.loading import from_config, load
    from bert_jax.library.records import read_records
    from bert_jax.model.outputs import Outputs
    from bert_jax.text.tokenizer import Tokenizer

__all__ = ["Bert", "Encoded", "ModelConfig", "Outputs", "Tokenizer", "UserError", "from_config", "load", "read_records"]
__version__ = "0.1.0"

# Of `python -m bert_jax.VERB`, which imports for seconds. A library leaves signals alone, also in somebody's `-m`.
# sys.argv is then "-m" and the flags, and sys.orig_argv has the module in the place of the former, or -mMODULE.
if sys.argv[:1] == ["-m"] and sys.orig_argv[-len(sys.argv)].removeprefix("-m").startswith(f"{__name__}."):
    ctrl_c.install()
    from bert_jax.host_memory import restart_with_huge_pages

    restart_with_huge_pages()

from bert_jax.platforms import without_absent_tpu

# How gs:// paths are read and written (storage/cloud.py). Here, because the libraries look when they are imported.
os.environ.setdefault("EPATH_USE_TF", "0")  # by gcsfs, also where TensorFlow is installed
os.environ.setdefault("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "0")  # as an ordinary bucket, whatever kind it is
# What other processes, and TensorStore in this one, have written has to be seen at once.
os.environ.setdefault("FSSPEC_GCS", '{"use_listings_cache": false}')

without_absent_tpu()

_HOME = {
    "Bert": "library.bert",
    "Encoded": "library.encoded",
    "ModelConfig": "config",
    "Outputs": "model.outputs",
    "Tokenizer": "text.tokenizer",
    "UserError": "errors",
    "from_config": "library.loading",
    "load": "library.loading",
    "read_records": "library.records",
}


if not TYPE_CHECKING:  # or any name would do for mypy

    def __getattr__(name: str) -> Any:
        if name not in _HOME:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        found = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
        globals()[name] = found  # the next time it is here
        return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
