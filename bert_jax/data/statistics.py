"""What a shard was made of and what is in it, counted; and the summary in words."""

import dataclasses
from collections.abc import Iterable, Sequence

from bert_jax.data.instances import Instance


@dataclasses.dataclass
class Statistics:
    """Counts over one shard, or over several added up."""

    documents: int = 0
    sentences: int = 0
    tokens: int = 0  # of the text, before it is repeated
    unknown_tokens: int = 0
    instances: int = 0
    random_next: int = 0  # instances whose second segment is from elsewhere
    filled: int = 0  # tokens of all instances, [CLS] and [SEP] included
    predictions: int = 0
    masked: int = 0  # predictions that see [MASK]
    kept: int = 0  # predictions that see the token itself
    replaced: int = 0  # predictions that see another token

    def add_document(self, sentences: Sequence[Sequence[int]], unk_id: int) -> None:
        """Count one document's sentences of token ids."""
        self.documents += 1
        self.sentences += len(sentences)
        for sentence in sentences:
            self.tokens += len(sentence)
            self.unknown_tokens += sentence.count(unk_id)

    def add_instance(self, instance: Instance, mask_id: int) -> None:
        """Count one instance."""
        self.instances += 1
        self.random_next += instance.is_random_next
        self.filled += len(instance.tokens)
        self.predictions += len(instance.masked_lm_ids)
        for position, label in zip(instance.masked_lm_positions, instance.masked_lm_ids, strict=True):
            seen = instance.tokens[position]
            if seen == mask_id:
                self.masked += 1
            elif seen == label:
                self.kept += 1
            else:
                self.replaced += 1

    def summary(self, max_seq_length: int) -> str:
        """The counts as one readable line of shares."""
        predictions = max(1, self.predictions)
        return (
            f"{self.documents:,} documents, {self.sentences:,} sentences, {self.tokens:,} tokens "
            f"({self.unknown_tokens / max(1, self.tokens):.2%} unknown); {self.instances:,} instances, "
            f"{self.filled / max(1, self.instances * max_seq_length):.1%} filled, "
            f"{self.predictions / max(1, self.instances):.1f} predictions each "
            f"({self.masked / predictions:.1%} [MASK], {self.kept / predictions:.1%} kept, "
            f"{self.replaced / predictions:.1%} replaced), "
            f"{self.random_next / max(1, self.instances):.1%} random next sentences"
        )


def total(parts: Iterable[Statistics]) -> Statistics:
    """The sum of several shards' counts."""
    summed = Statistics()
    for part in parts:
        for field in dataclasses.fields(Statistics):
            setattr(summed, field.name, getattr(summed, field.name) + getattr(part, field.name))
    return summed
