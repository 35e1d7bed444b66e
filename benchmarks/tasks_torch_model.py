"""The models and losses of benchmarks/tasks_torch.py: transformers' classes, torch's own losses."""

import numpy as np
import torch
import transformers

INPUTS = {"input_ids": "input_ids", "attention_mask": "attention_mask", "segment_ids": "token_type_ids"}
functional = torch.nn.functional


class MeanPooled(torch.nn.Module):
    """A vector a text, as sentence-transformers makes it: the mean of the last states."""

    def __init__(self, encoder):
        super().__init__()
        self.encoder, self.config = encoder, encoder.config

    @classmethod
    def from_pretrained(cls, path, **options):
        """As of transformers."""
        return cls(transformers.BertModel.from_pretrained(path, add_pooling_layer=False, **options))

    def forward(self, **inputs):
        """Texts [batch, texts, length] -> logits [batch, texts, hidden]."""
        shape = inputs["input_ids"].shape
        flat = {name: array.reshape(-1, shape[-1]) for name, array in inputs.items()}
        mask = flat["attention_mask"][:, :, None]
        states = self.encoder(**flat).last_hidden_state
        means = (states * mask).sum(1) / mask.sum(1).clamp(min=1)
        return transformers.modeling_outputs.SequenceClassifierOutput(logits=means.reshape(*shape[:-1], -1))


CLASSES = {
    "sequence": transformers.BertForSequenceClassification,
    "token": transformers.BertForTokenClassification,
    "span": transformers.BertForQuestionAnswering,
    "choice": transformers.BertForMultipleChoice,
    "embedding": MeanPooled,
}


def make_model(task, path):
    """The class of the task's head with its pretrained weights; of vectors, the mean alone."""
    if task.head not in CLASSES:
        raise SystemExit(f"{path} has other vectors than the mean: give --config.task.pooling=mean")
    kind = {"multilabel": "multi_label_classification", "regression": "regression"}.get(task.kind)
    outputs = (
        {} if task.head in ("span", "choice", "embedding") else {"num_labels": task.num_outputs, "problem_type": kind}
    )
    return CLASSES[task.head].from_pretrained(path, attn_implementation="sdpa", **outputs)


def tensors(batch):
    """The model's inputs."""
    return {theirs: torch.from_numpy(batch[ours]).long() for ours, theirs in INPUTS.items()}


def loss_of(task, outputs, batch, options):
    """Torch's own losses."""
    weights = torch.from_numpy(batch.get("example_weights", np.ones(1, np.float32)))
    if task.head == "embedding":
        return pair_loss(task, outputs.logits, batch, options["temperature"])
    of_classes = options.get("class_weights")
    if task.head == "token":
        labels = torch.from_numpy(batch["token_labels"]).long()
        return functional.cross_entropy(outputs.logits.flatten(0, 1), labels.flatten(), ignore_index=-1)
    if task.head == "span":
        ends = [(outputs.start_logits, "start_positions"), (outputs.end_logits, "end_positions")]
        each = [
            functional.cross_entropy(logits, torch.from_numpy(batch[name]).long(), reduction="none")
            for logits, name in ends
        ]
        return ((each[0] + each[1]) / 2 * weights).sum() / weights.sum()
    labels = torch.from_numpy(batch["labels"])
    if task.kind == "regression":
        each = (outputs.logits[:, 0] - labels) ** 2
    elif task.kind == "multilabel":
        positive = torch.tensor(of_classes) if of_classes else None
        each = functional.binary_cross_entropy_with_logits(
            outputs.logits, labels, reduction="none", pos_weight=positive
        ).mean(1)
    else:
        each = functional.cross_entropy(outputs.logits, labels.long(), reduction="none")
    return (each * weights).sum() / weights.sum()


def pair_loss(task, vectors, batch, temperature):
    """CoSENT of pairs with scores; else cross-entropy among the positives, without those that are the same text."""
    vectors = functional.normalize(vectors, dim=-1)
    if task.scored:
        cosines, labels = (vectors[:, 0] * vectors[:, 1]).sum(-1) / temperature, torch.from_numpy(batch["labels"])
        wrong = (cosines[None] - cosines[:, None])[labels[:, None] > labels[None]]
        return torch.logsumexp(torch.cat([torch.zeros(1), wrong]), 0)
    groups = torch.from_numpy(batch["text_groups"])
    own = torch.eye(len(groups), dtype=torch.bool)
    same = [groups[:, a][:, None] == groups[:, b][None] for a, b in ((0, 0), (0, 1), (1, 1))]
    scores = (vectors[:, 0] @ vectors[:, 1].T / temperature).masked_fill((same[0] | same[1] | same[2]) & ~own, -1e9)
    return functional.cross_entropy(scores, torch.arange(len(scores)))
