"""Where the records are and how they are read."""

import dataclasses
from typing import Annotated, Literal

from msgspec import Meta

from bert_jax.config.check import require

# What a record's label says: "nsp", whether B follows A or is from another document; "sop", whether A and B are in
# their order or exchanged; "aligned", whether A, a text, and B, a sequence of ids, belong together; "none": there is no
# B, and no label.
Pairs = Literal["nsp", "sop", "aligned", "none"]
Part = Annotated[float, Meta(ge=0, le=1)]


@dataclasses.dataclass
class DataConfig:
    """Where the records are and how they are read."""

    records: str = "records/{max_seq_length}"  # directory; {max_seq_length} stands for each phase's own
    read_threads: Annotated[int, Meta(ge=0, le=1000)] = 4  # threads that parse records ahead of the step
    prefetch_batches: Annotated[int, Meta(ge=0, le=1000)] = 8  # batches kept ready
    # GB of local disk for copies of gs:// shards, at most half of the free space
    cache_gigabytes: Annotated[float, Meta(ge=0, le=1e6)] = 50.0
    cache_directory: str = ""  # directory of these copies; "": ~/.cache/bert_jax/shards
    pairs: Pairs = "nsp"  # filled in: what records.json says (build_records --pairs)
    packing: bool = False  # several sequences in a row, so that there is little padding; see data/packing.py
    # static: the masks in the records; else new ones in each epoch, by fairseq's rule (roberta), the original BERT's
    # or DistilBERT's (rare tokens more often); see data/dynamic_masks.py
    masking: Literal["static", "roberta", "bert", "distilbert"] = "static"
    # with masking other than static: fraction of tokens that are masked
    masked_lm_prob: Annotated[float, Meta(gt=0, le=1)] = 0.15
    random_share: Part = 0.1  # fraction of these replaced by a random token
    kept_share: Part = 0.1  # fraction left unchanged
    whole_word_mask: bool = False  # with masking=bert: all tokens of a word are masked together
    allow_other_records: bool = False  # continue on other records than those that the run was trained on so far
    # damaged records that may be skipped, in each split of each phase, by each process from its start on; one more
    # stops the run
    skip_corrupt: Annotated[int, Meta(ge=0, le=1_000_000_000)] = 0

    def check(self, source: str = "--config.data.") -> None:
        """Raise UserError on settings of masks that do not go together; `source` stands before their names."""
        shares = self.random_share + self.kept_share
        require(shares <= 1, f"{source}random_share", self.random_share, "with kept_share it must be 1 at most")
        remedy = "give masking=bert too, which alone knows words"
        require(self.masking == "bert" or not self.whole_word_mask, f"{source}whole_word_mask", True, remedy)
        for name in ("masked_lm_prob", "random_share", "kept_share"):
            value, default = getattr(self, name), getattr(DataConfig, name)
            remedy = "the records' masks have shares of their own; give data.masking too, or leave this out"
            require(self.masking != "static" or value == default, f"{source}{name}", value, remedy)
