"""The kinds of pairs that records have, and what each is called: in metrics, in samples.json, in logs and on pages.

All kinds share a head, a loss and a feature, next_sentence_labels: 0 where the second of a pair belongs where it is.
"""

import dataclasses

from bert_jax.config.data import Pairs


@dataclasses.dataclass(frozen=True)
class PairKind:
    """The words for one kind; of two, the first is for label 0."""

    name: str  # how names of its metrics begin, and its key in samples.json
    short_name: str  # of its metrics, in the log
    labels: tuple[str, str]  # in samples.json; probability_{first} is there, too
    meanings: tuple[str, str]  # in the log of a build's first records
    statements: tuple[str, str]  # on a run's page: how the pair is
    belief: str  # there: what the model gives a probability to

    @property
    def title(self) -> str:
        """The name in words."""
        return self.name.replace("_", " ").capitalize()

    @property
    def probability(self) -> str:
        """The key of label 0's probability in samples.json."""
        return f"probability_{self.labels[0]}"


PAIR_KINDS: dict[Pairs, PairKind] = {
    "nsp": PairKind(
        name="next_sentence",
        short_name="nsp",
        labels=("next", "random"),
        meanings=("the true one", "random"),
        statements=("The second follows the first in its text", "The second was taken from another text"),
        belief="its following",
    ),
    "sop": PairKind(
        name="sentence_order",
        short_name="sop",
        labels=("in_order", "exchanged"),
        meanings=("as in the text", "exchanged, or of two documents"),
        statements=(
            "The second follows the first in its text",
            "The second comes before the first, or is of another text",
        ),
        belief="its following",
    ),
    "aligned": PairKind(
        name="alignment",
        short_name="alignment",
        labels=("aligned", "not_aligned"),
        meanings=("aligned", "ids of another document"),
        statements=("Text and ids are aligned", "Text and ids are not aligned"),
        belief="their being aligned",
    ),
}
