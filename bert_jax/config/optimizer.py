"""The optimizer."""

import dataclasses
from typing import Annotated

from msgspec import Meta

from bert_jax.config.check import Share, require


@dataclasses.dataclass
class OptimizerConfig:
    """The original's Adam with decoupled weight decay (google-research/bert optimization.py); defaults: the paper's."""

    learning_rate: Annotated[float, Meta(gt=0, le=100)] = 1e-4  # at the end of warm-up, its peak
    warmup_steps: Annotated[int, Meta(ge=0, le=100_000_000)] = 10_000
    beta1: Share = 0.9
    beta2: Share = 0.999
    epsilon: Annotated[float, Meta(ge=1e-30, le=1)] = 1e-6  # added outside the square root
    # the learning rate's linear decay begins at the peak; False: on a line that has the peak at step 0, as the original
    decay_from_peak: bool = False
    # length in steps of the final learning-rate decay (WSD: the rate is constant before); 0: it decays from the end of
    # warm-up on. optax's decay_steps is another thing. Phases with rates of their own have each such a decay. The
    # checkpoint before it is kept, and until it begins the run may be given more or fewer steps
    decay_steps: Annotated[int, Meta(ge=0, le=100_000_000)] = 0
    weight_decay: Annotated[float, Meta(ge=0, le=100)] = 0.01  # of all parameters but LayerNorms and biases
    decay_all: bool = False  # weight decay on LayerNorms and biases too
    clip_norm: Annotated[float, Meta(ge=0, le=1e9)] = 1.0  # global norm of the gradient; 0 turns clipping off
    # the batch is split into so many, the gradient of each is clipped, then they are summed; the original: TPU cores
    clip_pieces: Annotated[int, Meta(ge=1, le=1_000_000)] = 1
    bias_correction: bool = False  # the original has none
    trust_ratio: bool = False  # LAMB (arXiv 1904.00962): scale each parameter's step to the parameter's own length
    # Muon (arXiv 2502.16982) for the layers' matrices, Adam for the rest, with the same learning rate and weight decay
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
