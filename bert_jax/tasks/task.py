"""The interface of a task: labelled files to examples to rows, outputs to predictions, predictions to scores.

A task is a frozen dataclass: its fields are all that a trained model must know of it (label names in their order,
thresholds), and lie beside the weights in task.json. It knows no model; `head` and `num_outputs` name the one it needs.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Protocol, Self

import numpy as np

from bert_jax.config import TaskConfig
from bert_jax.objectives.metrics import Metric
from bert_jax.tasks.encoding import TextEncoder
from bert_jax.tasks.rows import Rows

Example = Any  # a dataclass of examples.py
Prediction = dict[str, Any]  # what a line of predictions holds, ready for JSON
Head = Literal["sequence", "token", "span", "choice", "embedding", "embedding_cls", "embedding_max"]  # model/tasks.py


def score(
    name: str, title: str, short_name: str, better: Literal["higher", "lower"] = "higher", **others: Any
) -> Metric:
    """A score of a task, with its floor as baseline."""
    floor = {"baseline": f"floor_{name}", "baseline_title": "floor", "baseline_short_name": "floor"}
    return Metric(name, title, short_name, **{"unit": "share", "better": better, **floor, **others})


class Task(Protocol):
    """What is done with a text."""

    @property
    def kind(self) -> str:
        """Its name on the command line."""
        ...

    @property
    def options(self) -> Sequence[str]:
        """The settings of TaskConfig that it looks at, of those that not all tasks do."""
        ...

    @property
    def head(self) -> Head:
        """Which model it needs."""
        ...

    @property
    def loss(self) -> str:
        """The name of what is minimised (objectives/tasks.py)."""
        ...

    @property
    def reads_all_tokens(self) -> bool:
        """Whether outputs are of each token, and not of the first alone."""
        ...

    @property
    def windows(self) -> bool | None:
        """Whether texts that are too long are read in windows if nothing else is asked for; None: never."""
        ...

    @property
    def default_max_length(self) -> int | None:
        """Tokens of a row if nothing else is asked for, where the model reads as many; None: as many as it reads."""
        ...

    @property
    def makes_vectors(self) -> bool:
        """Whether outputs are vectors of texts, whose length and pooling the model may say of itself."""
        ...

    @property
    def num_outputs(self) -> int:
        """How many numbers that model gives."""
        ...

    @property
    def metrics(self) -> Sequence[Metric]:
        """Its scores, the headline first: by that one the best step is chosen."""
        ...

    def settings(self) -> dict[str, Any]:
        """Its fields, ready for JSON; `kinds.trained_task` makes it of them again."""
        ...

    def read(self, file: str, config: TaskConfig, needs_labels: bool) -> list[Example]:
        """The examples of a file, in its order; UserError, with file and line, if it cannot be read."""
        ...

    def example(self, given: Any, place: str) -> Example:
        """An example without a label, of what a caller gives; UserError, with `place`, if it is of another form."""
        ...

    def fitted(self, examples: Sequence[Example], config: TaskConfig) -> Self:
        """The task with what the training examples and the settings decide, such as its label names."""
        ...

    def for_scoring(self, examples: Sequence[Example]) -> Self:
        """The task as it is scored on these examples; UserError if they have labels that it does not know."""
        ...

    def objective_options(self, examples: Sequence[Example], config: TaskConfig) -> dict[str, Any]:
        """Fields of the objective beside those that all have, from the training examples."""
        ...

    def encode(self, examples: Sequence[Example], encoder: TextEncoder) -> Rows:
        """Rows of the examples, one or several each, with their labels where they are known."""
        ...

    def predictions(self, outputs: Sequence[np.ndarray], rows: Rows, examples: Sequence[Example]) -> list[Prediction]:
        """What is predicted for each example, from the model's outputs for its rows (float32, without padding)."""
        ...

    def tuned(self, predictions: Sequence[Prediction], examples: Sequence[Example]) -> Self:
        """The task with what the dev file decides: its thresholds."""
        ...

    def scores(self, predictions: Sequence[Prediction], examples: Sequence[Example]) -> dict[str, float]:
        """Its metrics by name."""
        ...

    def scorer(
        self, predictions: Sequence[Prediction], examples: Sequence[Example]
    ) -> Callable[[np.ndarray], dict[str, float]]:
        """Numbers of examples, one of them perhaps several times -> the scores of those, the headline at least.

        What is counted for each example is counted once: a bootstrap (chance.py) asks for hundreds of such scores.
        """
        ...

    def floors(self, train: Sequence[Example], test: Sequence[Example]) -> Mapping[str, Mapping[str, float]]:
        """What simple methods reach on `test`: name of the method -> its scores, by the metrics' names."""
        ...


def scores_again(
    task: Task, predictions: Sequence[Prediction], examples: Sequence[Example]
) -> Callable[[np.ndarray], dict[str, float]]:
    """`Task.scorer` where no counts add up to the scores."""

    def scores(drawn: np.ndarray) -> dict[str, float]:
        places = drawn.tolist()
        return task.scores([predictions[place] for place in places], [examples[place] for place in places])

    return scores
