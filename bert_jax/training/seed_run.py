"""The run of one seed: trained to its end, its best step scored, all of it in a directory of its own."""

import dataclasses
import json
from collections.abc import Sequence
from typing import Any

import jax
from etils import epath
from jax.experimental import multihost_utils
from jax.sharding import Mesh

from bert_jax.config import FineTuningConfig
from bert_jax.inference.predictor import Predictor
from bert_jax.inference.progress import Progress
from bert_jax.storage.json_file import finite_or_none, read_json, write_json
from bert_jax.storage.whole_file import replace_text
from bert_jax.tasks.rows import Rows
from bert_jax.tasks.task import Example, Prediction, Task
from bert_jax.text.tokenizer import Tokenizer
from bert_jax.training.best_step import Best, BestStep
from bert_jax.training.fine_tuning_run import FineTuningData, make_run
from bert_jax.training.loop import train
from bert_jax.training.report_thread import Report
from bert_jax.training.run import Run
from bert_jax.workdir import fine_tuned
from bert_jax.workdir.goodput import Clock

SCORES = "scores.json"  # written last: with it the run is done


@dataclasses.dataclass(frozen=True)
class SeedScores:
    """What the run of one seed came to: the content of its scores.json."""

    seed: int
    step: int  # the best
    weights_crc32c: str
    settings: dict[str, Any]  # of the task, with thresholds
    dev: dict[str, float | None] = dataclasses.field(default_factory=dict)  # None: no number
    test: dict[str, float | None] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class SeedRun:
    """One of the runs in WORKDIR/seed_NUMBER."""

    config: FineTuningConfig
    workdir: epath.Path
    number: int
    data: FineTuningData
    tokenizer: Tokenizer
    mesh: Mesh
    _set_up: tuple[Run, BestStep] | None = None

    @property
    def directory(self) -> epath.Path:
        """Its own."""
        return self.workdir / f"seed_{self.number}"

    @property
    def _seed(self) -> int:
        return self.config.train.seed + self.number

    def set_up(self) -> None:
        """Make what `result` trains, unless that is done already; UserError where the settings do not fit the run."""
        if (self.directory / SCORES).exists():
            return
        cache = self.config.train.compilation_cache or str(self.workdir / "compilation_cache")  # of all seeds
        settings = dataclasses.replace(self.config.train, seed=self._seed, compilation_cache=cache)
        config = dataclasses.replace(self.config, train=settings)
        self._set_up = make_run(config, self.directory, self.data, self.mesh)

    def result(self, report: Report | None) -> SeedScores:
        """Train, unless that is done already, and score the best step."""
        if self._set_up is None:
            self.set_up()
        if self._set_up is None:
            return read_json(self.directory / SCORES, SeedScores, "delete it, and it is made again")
        run, best = self._set_up
        train(run, Clock(self.directory if jax.process_index() == 0 else None), report)
        return self._scored(best.best)

    def _scored(self, best: Best) -> SeedScores:
        if jax.process_count() > 1:
            multihost_utils.sync_global_devices("best weights")  # the first process has written them
        arrays = fine_tuned.read_weights(self.directory / fine_tuned.WEIGHTS, best.weights_crc32c)
        files, text, model = self.data.files, self.config.text, self.config.model
        predictor = Predictor(files.task, text, model, arrays, self.tokenizer, self.mesh, self.config.train.dtype)
        task, dev = self._predicted("dev", predictor, files.task, files.dev, self.data.dev, tunes=True)
        _, test = self._predicted("test", predictor, task, files.test, self.data.test, tunes=False)
        scores = SeedScores(self._seed, best.step, best.weights_crc32c, task.settings(), dev, test)
        if jax.process_index() == 0:
            write_json(self.directory / SCORES, scores)
        return scores

    def _predicted(
        self, split: str, predictor: Predictor, task: Task, examples: Sequence[Example], rows: Rows | None, tunes: bool
    ) -> tuple[Task, dict[str, float | None]]:
        """The task, with thresholds where the split decides them, and its scores; predictions are written."""
        if rows is None:
            return task, {}
        with Progress(f"scoring on {split}", len(examples)) as progress:
            outputs = predictor.outputs(rows, progress.of_examples(len(examples), len(rows)))
        if tunes:
            task = task.tuned(task.predictions(outputs, rows, examples), examples)
        predictions = task.predictions(outputs, rows, examples)
        if jax.process_index() == 0:
            _write_predictions(self.directory / f"{split}_predictions.jsonl", examples, predictions)
        return task, {name: finite_or_none(value) for name, value in task.scores(predictions, examples).items()}


def _write_predictions(path: epath.Path, examples: Sequence[Example], predictions: Sequence[Prediction]) -> None:
    """A line an example, with what it is and what was predicted: the report's worst mistakes are made of them."""
    lines = (
        json.dumps({"example": dataclasses.asdict(example), "prediction": prediction}, ensure_ascii=False)
        for example, prediction in zip(examples, predictions, strict=True)
    )
    replace_text(path, "".join(f"{line}\n" for line in lines))
