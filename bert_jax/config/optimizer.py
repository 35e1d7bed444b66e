"""The optimizer."""

import dataclasses
from typing import Annotated

from msgspec import Meta

from bert_jax.config.check import Share, require


@dataclasses.dataclass
class OptimizerConfig:
    """The original's Adam with decoupled decay (google-research/bert optimization.py); defaults are the paper's."""

    learning_rate: Annotated[float, Meta(gt=0, le=100)] = 1e-4  # at the end of warm-up
    warmup_steps: Annotated[int, Meta(ge=0, le=100_000_000)] = 10_000
    beta1: Share = 0.9
    beta2: Share = 0.999
    epsilon: Annotated[float, Meta(ge=1e-30, le=1)] = 1e-6  # added outside the square root
    # the rate falls from the full one at the end of warm-up, not from what the line from step 0 has there
    decay_from_peak: bool = False
    # above 0: the rate stays at its peak, and falls to 0 in the last so many steps only; phases with rates of their own
    # have each such an end. The checkpoint before it is kept, and till then the run may be given other steps
    decay_steps: Annotated[int, Meta(ge=0, le=100_000_000)] = 0
    weight_decay: Annotated[float, Meta(ge=0, le=100)] = 0.01  # on all but LayerNorm and biases
    decay_all: bool = False  # on these too
    clip_norm: Annotated[float, Meta(ge=0, le=1e9)] = 1.0  # global norm of the gradient; 0 turns clipping off
    # split the batch into so many, clip the gradient of each, then sum; the original: TPU cores
    clip_pieces: Annotated[int, Meta(ge=1, le=1_000_000)] = 1
    bias_correction: bool = False  # the original has none
    trust_ratio: bool = False  # LAMB (arXiv 1904.00962): scale each parameter's step to the parameter's own length
    # the layers' matrices move by Muon (arXiv 2502.16982), all else by Adam; one rate and one decay serve both
    muon: bool = False
    shard_over_data: bool = True  # optimizer state is sharded over the data axis too (weight-update sharding)

    def check(self, source: str) -> None:
        """Raise UserError on what does not go together; `source` stands before a setting's name."""
        remedy = f"it is LAMB's, and {source}muon=True has sizes of its own; leave one of the two False"
        require(not (self.trust_ratio and self.muon), f"{source}trust_ratio", self.trust_ratio, remedy)

    def without_effect(self) -> list[str]:
        """For people: a line for what it says and no step looks at."""
        if self.decay_from_peak and self.decay_steps:
            return ["optimizer.decay_from_peak is not used: optimizer.decay_steps has the rate fall from its peak"]
        return []
