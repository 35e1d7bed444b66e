"""What all seeds of a fine-tuning came to: the best one's model in the workdir, and a table of scores."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from absl import logging
from etils import epath

from bert_jax.config import FineTuningConfig
from bert_jax.objectives.metrics import Metric
from bert_jax.storage.json_file import finite_or_none, write_json
from bert_jax.storage.whole_file import whole_file
from bert_jax.tasks.scores.spread import over_seeds
from bert_jax.text.tokenizer import Tokenizer
from bert_jax.training.description import versions
from bert_jax.training.fine_tuning_run import FineTuningData, Floors
from bert_jax.training.seed_run import SCORES, SeedScores
from bert_jax.workdir import fine_tuned
from bert_jax.workdir.fine_tuned import FineTuned


def write_results(
    config: FineTuningConfig,
    workdir: epath.Path,
    data: FineTuningData,
    scores: Sequence[SeedScores],
    tokenizer: Tokenizer,
) -> None:
    """Write scores.json, model.safetensors and, last, task.json; log a table."""
    metrics = data.files.task.metrics
    place = best_seed(metrics[0], scores)
    best = scores[place]
    summary = _summary(metrics, data, scores, best.seed)
    write_json(workdir / SCORES, summary)
    with whole_file(workdir / fine_tuned.WEIGHTS) as file:
        file.write((workdir / f"seed_{place}" / fine_tuned.WEIGHTS).read_bytes())
    model = FineTuned(
        kind=config.task.kind,
        settings=best.settings,
        options=config.task,
        text=config.text,
        model=config.model,
        vocab_fingerprint=tokenizer.fingerprint,
        seed=best.seed,
        step=best.step,
        weights_crc32c=best.weights_crc32c,
        init_from=config.init_from,
        dev=best.dev,
        test=best.test,
        versions=versions(),
    )
    fine_tuned.write_description(workdir, model)
    for line in table(metrics, summary):
        logging.info("%s", line)


def best_seed(headline: Metric, scores: Sequence[SeedScores]) -> int:
    """The place of the seed that is best on the dev file; the first where nothing says."""
    found = {place: one.dev.get(headline.name) for place, one in enumerate(scores)}
    known = [(headline.gain(score, 0.0), -place) for place, score in found.items() if score is not None]
    return -max(known)[1] if known else 0


def _summary(
    metrics: Sequence[Metric], data: FineTuningData, scores: Sequence[SeedScores], best_seed: int
) -> dict[str, Any]:
    """The content of WORKDIR/scores.json: of each split and score, each seed's, mean and sd; floors and lengths."""
    splits = {
        split: {
            metric.name: _spread([getattr(one, split).get(metric.name) for one in scores])
            for metric in metrics
            if any(metric.name in getattr(one, split) for one in scores)
        }
        for split in ("dev", "test")
    }
    return {
        "task": data.files.task.kind,
        "headline": metrics[0].name,
        "seeds": [one.seed for one in scores],
        "best_seed": best_seed,
        "steps": [one.step for one in scores],
        "floors": {split: without_nan(floors) for split, floors in data.floors.items()},
        "lengths": {split: dataclasses.asdict(lengths) for split, lengths in data.lengths.items()},
        **splits,
    }


def without_nan(floors: Floors) -> dict[str, dict[str, float | None]]:
    """Ready for JSON, which has no NaN."""
    return {
        method: {name: finite_or_none(value) for name, value in scores.items()} for method, scores in floors.items()
    }


def _spread(values: Sequence[float | None]) -> dict[str, Any]:
    """Mean, standard deviation and each seed's number, ready for JSON: None is no number, and in no mean."""
    numbers = [value for value in values if value is not None]
    if not numbers:
        return {"mean": None, "sd": None, "each": list(values)}
    found = over_seeds(numbers)
    return {"mean": found.mean, "sd": finite_or_none(found.sd), "each": list(values)}


def table(metrics: Sequence[Metric], summary: Mapping[str, Any]) -> list[str]:
    """Lines for a terminal: each score of each split beside its floors."""
    lines = []
    for split in ("dev", "test"):
        for metric in metrics:
            found = summary[split].get(metric.name)
            if found is None:
                continue
            if found["mean"] is None:
                lines.append(f"{split:5} {metric.title:24} is no number, as where all answers or all labels are alike")
                continue
            sd = (
                f" ± {found['sd']:.4f} ({len(found['each']) - found['each'].count(None)} seeds)"
                if found["sd"] is not None
                else ""
            )
            floors = [
                f"{name} {scores[metric.name]:.4f}"
                for name, scores in summary["floors"][split].items()
                if scores.get(metric.name) is not None
            ]
            beside = f"   (floors: {', '.join(floors)})" if floors else ""
            lines.append(f"{split:5} {metric.title:24} {found['mean']:.4f}{sd}{beside}")
    return lines
