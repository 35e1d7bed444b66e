"""A trained task model: examples in, predictions out, in their order."""

import dataclasses
from collections.abc import Mapping, Sequence

import jax
import numpy as np
from etils import epath
from jax.sharding import Mesh

from bert_jax.config import MeshConfig, ModelConfig, TextConfig
from bert_jax.inference.forward import DeviceModel
from bert_jax.inference.progress import Progress, Watch
from bert_jax.model.tasks import task_model
from bert_jax.parallel.mesh import by_sequence, make_mesh
from bert_jax.tasks.encoding import TextEncoder
from bert_jax.tasks.kinds import trained_task
from bert_jax.tasks.rows import Rows
from bert_jax.tasks.task import Example, Prediction, Task
from bert_jax.text.tokenizer import Tokenizer
from bert_jax.workdir import fine_tuned
from bert_jax.workdir.fine_tuned import FineTuned

REMEDY = "a model fine-tuned with --long=windows"  # lest texts are cut: how they are read is settled in training


class Predictor(DeviceModel):
    """Answers examples of its task."""

    def __init__(
        self,
        task: Task,
        text: TextConfig,
        config: ModelConfig,
        arrays: Mapping[str, np.ndarray],
        tokenizer: Tokenizer,
        mesh: Mesh,
        dtype: str = "float32",
        few_rows: bool = False,
    ) -> None:
        """`arrays` are the model's parameters by our paths, float32; `few_rows` as for Forward."""
        model = task_model(task.head, task.num_outputs, config, dtype, by_sequence=by_sequence(mesh))
        longest = config.max_position_embeddings
        super().__init__(model, longest, arrays, mesh, per_token=task.reads_all_tokens, few_rows=few_rows)
        self.task, self._text, self._tokenizer = task, text, tokenizer

    def rows(self, examples: Sequence[Example], name: str = "") -> Rows:
        """Encoded; texts that are too long are logged under the file's `name`."""
        encoder = TextEncoder(self._tokenizer, self._text, self.task.windows)
        rows = self.task.encode(examples, encoder)
        if name:
            encoder.log_lengths(name, REMEDY)
        return rows

    def outputs(self, rows: Rows, watch: Watch = iter) -> list[np.ndarray]:
        """Each row's outputs of the head: float32 [num_outputs], or [tokens of the row, num_outputs] of all its tokens.

        Of a choice's row [texts]; of similarity's the vectors of its texts, [texts, hidden_size].
        """
        return self._forward.outputs(self._params, rows, watch)

    def predict(
        self, examples: Sequence[Example], name: str = "", progress: Progress | None = None
    ) -> list[Prediction]:
        """A prediction for each example, whatever else is among them."""
        rows = self.rows(examples, name)
        watch = progress.of_examples(len(examples), len(rows)) if progress else iter
        return self.task.predictions(self.outputs(rows, watch), rows, examples)

    def answers(
        self, examples: Sequence[Example], name: str = "", progress: Progress | None = None
    ) -> list[Prediction]:
        """Predictions as people are given them: without what depends on the other examples and is for scores alone."""
        return [
            {key: value for key, value in prediction.items() if not key.startswith("_")}
            for prediction in self.predict(examples, name, progress)
        ]


@dataclasses.dataclass(frozen=True)
class FineTunedModel:
    """A fine-tuned model, on the host."""

    description: FineTuned
    task: Task
    arrays: Mapping[str, np.ndarray]  # our path -> float32
    tokenizer: Tokenizer


def read_task_model(workdir: epath.PathLike) -> FineTunedModel:
    """The fine-tuned model in `workdir`; UserError if there is none, or it is damaged."""
    workdir = epath.Path(workdir)
    model = fine_tuned.read_description(workdir)
    arrays = fine_tuned.read_weights(workdir / fine_tuned.WEIGHTS, model.weights_crc32c)
    task, tokenizer = trained_task(model.kind, model.settings), fine_tuned.read_tokenizer(workdir, model)
    return FineTunedModel(model, task, arrays, tokenizer)


def load_predictor(workdir: epath.PathLike, dtype: str = "float32") -> Predictor:
    """The fine-tuned model in `workdir`, on all devices; UserError if there is none, or it is damaged."""
    found = read_task_model(workdir)
    text, config = found.description.text, found.description.model
    return Predictor(found.task, text, config, found.arrays, found.tokenizer, make_mesh(MeshConfig()), dtype)


def keep_compiled(workdir: epath.PathLike) -> None:
    """For the verbs: what this process compiles is kept in `workdir`, for the next start."""
    jax.config.update("jax_compilation_cache_dir", str(epath.Path(workdir) / "compilation_cache"))
