"""What a shard was made of and what is in it, counted; and the summary in words."""

import dataclasses
from collections.abc import Iterable, Sequence

from bert_jax.data.instances import Instance

FILL_BINS = 20


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
    longest_document: int = 0  # tokens
    shortest_document: int = 0  # tokens, at least 1; 0 if there is no document
    # Instances by their share of max_seq_length: bin i of FILL_BINS holds those above i / 20 and up to (i + 1) / 20.
    fill: list[int] = dataclasses.field(default_factory=lambda: [0] * FILL_BINS)

    def add_document(self, sentences: Sequence[Sequence[int]], unk_id: int) -> None:
        """Count one document's sentences of token ids."""
        tokens = sum(map(len, sentences))
        self.shortest_document = min(tokens, self.shortest_document) if self.documents else tokens
        self.longest_document = max(tokens, self.longest_document)
        self.documents += 1
        self.sentences += len(sentences)
        self.tokens += tokens
        self.unknown_tokens += sum(sentence.count(unk_id) for sentence in sentences)

    def add_instance(self, instance: Instance, mask_id: int, max_seq_length: int) -> None:
        """Count one instance."""
        self.instances += 1
        self.fill[(FILL_BINS * len(instance.tokens) - 1) // max_seq_length] += 1
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
    """The counts over several shards together."""
    shards = [shard for shard in parts if shard.documents]
    counts = {
        field.name: sum(getattr(shard, field.name) for shard in shards)
        for field in dataclasses.fields(Statistics)
        if field.type is int
    }
    counts["longest_document"] = max((shard.longest_document for shard in shards), default=0)
    counts["shortest_document"] = min((shard.shortest_document for shard in shards), default=0)
    fill = [sum(shard.fill[number] for shard in shards) for number in range(FILL_BINS)]
    return Statistics(**counts, fill=fill)
