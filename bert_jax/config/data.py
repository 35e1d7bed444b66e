"""Where the records are and how they are read."""

import dataclasses
from typing import Annotated, Literal

from msgspec import Meta

# What a record's label says: "nsp", whether B follows A or is from another document; "sop", whether A and B are in
# their order or exchanged; "none": there is no B, and no label.
Pairs = Literal["nsp", "sop", "none"]


@dataclasses.dataclass
class DataConfig:
    """Where the records are and how they are read."""

    records: str = "records/{max_seq_length}"  # directory; {max_seq_length} stands for each phase's own
    read_threads: Annotated[int, Meta(ge=0, le=1000)] = 4  # threads that parse records ahead of the step
    prefetch_batches: Annotated[int, Meta(ge=0, le=1000)] = 8  # batches kept ready
    # of this host's disk for copies of gs:// shards, at most half of what is free on it
    cache_gigabytes: Annotated[float, Meta(ge=0, le=1e6)] = 50.0
    cache_directory: str = ""  # where they are; "": ~/.cache/bert_jax/shards
    pairs: Pairs = "nsp"  # whatever is given here, it becomes what records.json says (build_records --pairs)
    packing: bool = False  # several sequences in a row, so that few of its places are padding; see data/packing.py
    allow_other_records: bool = False  # go on with other records than those that the run was trained on so far
    # damaged records that may be skipped, in each split of each phase; one more stops the run
    skip_corrupt: Annotated[int, Meta(ge=0, le=1_000_000_000)] = 0
