"""What each task minimises, by the name that the task gives (tasks/task.py)."""

from bert_jax.objectives.choice import ChoiceObjective
from bert_jax.objectives.sequence import ClassificationObjective, MultilabelObjective, RegressionObjective
from bert_jax.objectives.similarity import ContrastiveObjective, CosentObjective, CosineObjective
from bert_jax.objectives.task import TaskObjective
from bert_jax.objectives.tokens import SpanObjective, TaggingObjective

OBJECTIVES: dict[str, type[TaskObjective]] = {
    "classification": ClassificationObjective,
    "multilabel": MultilabelObjective,
    "regression": RegressionObjective,
    "choice": ChoiceObjective,
    "tagging": TaggingObjective,
    "qa": SpanObjective,
    "contrastive": ContrastiveObjective,
    "cosent": CosentObjective,
    "cosine": CosineObjective,
}
