"""Pretraining BERT with JAX: raw text to vocabulary, records, checkpoints, and weights for other frameworks."""

import os
import sys

from bert_jax import ctrl_c

if sys.argv[:1] == ["-m"]:  # of `python -m bert_jax.VERB`, which imports for seconds; a library leaves signals alone
    ctrl_c.install()

from bert_jax.platforms import without_absent_tpu

# How gs:// paths are read and written (storage/cloud.py). Here, because the libraries look when they are imported.
os.environ.setdefault("EPATH_USE_TF", "0")  # by gcsfs, also where TensorFlow is installed
os.environ.setdefault("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "0")  # as an ordinary bucket, whatever kind it is
# What other processes, and TensorStore in this one, have written has to be seen at once.
os.environ.setdefault("FSSPEC_GCS", '{"use_listings_cache": false}')

without_absent_tpu()

__version__ = "0.1.0"
