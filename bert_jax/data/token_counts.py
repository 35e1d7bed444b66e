"""How often each token occurs in a split of records: what masks that prefer rare tokens are drawn by.

Found once, by reading all records, and kept as index/token_counts-<split>-<digest of records.json>.npy, int64 [vocab].
"""

import contextlib
import dataclasses
import hashlib
import json

import numpy as np
from absl import logging
from etils import epath
from numpy.typing import NDArray

from bert_jax.data.dynamic_masks import without_masks
from bert_jax.data.source import RecordSource
from bert_jax.progress import counted
from bert_jax.storage.array_file import read_array, write_array

_BATCH = 1000  # records in memory


def token_counts(source: RecordSource) -> NDArray[np.int64]:
    """Of the tokens of all records of `source`, special ones too, without their masks: int64 [vocab].

    Raises:
      DamagedRecordError: as RecordSource.fetch does.
    """
    path = _path(source)
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        kept = read_array(path, np.int64)
        if kept is not None and len(kept) == source.manifest.vocab_size and (kept >= 0).all():
            return kept
        logging.warning("%s is damaged and is made anew", path)
    counts = _counted(source)
    if not source.skipped:
        with contextlib.suppress(OSError):  # a directory that is not writable
            write_array(path, counts)
    return counts


def _counted(source: RecordSource) -> NDArray[np.int64]:
    logging.info("reading %s once, for how often each token occurs", source.directory)
    counts = np.zeros(source.manifest.vocab_size, np.int64)
    for first in counted(range(0, len(source), _BATCH), "tokens", -(-len(source) // _BATCH)):
        batch = source.fetch(range(first, min(first + _BATCH, len(source))))
        counts += np.bincount(without_masks(batch)[batch["input_mask"] > 0], minlength=len(counts))
    return counts


def _path(source: RecordSource) -> epath.Path:
    """Where they are kept: other records, or the same ones made anew of another text, have another name."""
    content = json.dumps(dataclasses.asdict(source.manifest), sort_keys=True)
    digest = hashlib.sha256(content.encode()).hexdigest()[:16]
    return source.directory / "index" / f"token_counts-{source.split}-{digest}.npy"
