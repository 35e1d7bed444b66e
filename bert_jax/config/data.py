"""Where the records are and how they are read."""

import dataclasses
from typing import Annotated

from msgspec import Meta


@dataclasses.dataclass
class DataConfig:
    """Where the records are and how they are read."""

    records: str = "records/{max_seq_length}"  # directory; {max_seq_length} stands for each phase's own
    read_threads: Annotated[int, Meta(ge=0, le=1000)] = 4  # threads that parse records ahead of the step
    prefetch_batches: Annotated[int, Meta(ge=0, le=1000)] = 8  # batches kept ready
    # of this host's disk for copies of gs:// shards, at most half of what is free on it
    cache_gigabytes: Annotated[float, Meta(ge=0, le=1e6)] = 50.0
    cache_directory: str = ""  # where they are; "": ~/.cache/bert_jax/shards
    packing: bool = False  # several sequences in a row, so that few of its places are padding; see data/packing.py
    allow_other_records: bool = False  # go on with other records than those that the run was trained on so far
    # damaged records that may be skipped, in each split of each phase; one more stops the run
    skip_corrupt: Annotated[int, Meta(ge=0, le=1_000_000_000)] = 0
