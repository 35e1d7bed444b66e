"""What only the page of a pretraining run shows; and what the run came to, for a reader who has never seen one."""

import dataclasses
from typing import Any

from etils import epath

from bert_jax.objectives.pretraining_metrics import HEADLINE, METRICS
from bert_jax.reporting.charts import Chart, charts
from bert_jax.reporting.facts import results, work
from bert_jax.reporting.figures import drawing
from bert_jax.reporting.look import HALF, NARROW, WIDE
from bert_jax.reporting.published import anchor_of
from bert_jax.reporting.reference import Reference, band, reference_of, run_config, sentence
from bert_jax.reporting.run_files import Filled
from bert_jax.reporting.run_history import Run
from bert_jax.reporting.sentences import guesses_of, readable, split_at_masks

_LEVEL = 0.05  # nats: a loss this near to the floor is neither below nor above it


def values(run: Run, workdir: epath.PathLike) -> dict[str, Any]:
    """What pretraining_page.html shows of the run."""
    reference, config = reference_of(run, workdir), run_config(run)
    drawn = [_beside(chart, reference) for chart in charts(run, METRICS)]
    main_chart = next((chart for chart in drawn if chart.curve.name == HEADLINE.name), None)
    return {
        "verdict": verdict(run),
        "results": results(run, METRICS),
        "work": work(run),
        "has_floor": bool(main_chart and main_chart.floor),
        "main_title": HEADLINE.title,
        "main_chart": [drawing(main_chart, WIDE), drawing(main_chart, NARROW)] if main_chart else [],
        "charts": [(chart.curve.title, drawing(chart, HALF)) for chart in drawn if chart is not main_chart],
        "samples": [readable(sample) for sample in run.samples],
        "reference": sentence(run, reference, HEADLINE) if reference else "",
        "anchor": anchor_of(config) if config else "",
        "filled": [_filled(one) for one in run.filled],
    }


def _beside(chart: Chart, reference: Reference | None) -> Chart:
    """The chart over the curve of the reference, as far as the run has come."""
    found = [each for each in band(reference, chart.curve.name) if each.step <= chart.last_step] if reference else []
    if not reference or len(found) < 2:
        return chart
    return dataclasses.replace(chart, band=found, band_name=f"reference, {len(reference.seeds)} seeds")


def _filled(one: Filled) -> dict[str, Any]:
    """The parts of the text between its masks, and the words for each mask."""
    words = guesses_of([[(word.token, word.probability) for word in words] for words in one.masks])
    return {"parts": split_at_masks(one.text, len(one.masks)), "words": words}


def verdict(run: Run) -> str:
    """One sentence: the last held-out loss against the unigram floor."""
    loss = run.final("validation", HEADLINE.name)
    floor = run.final("validation", HEADLINE.baseline)
    if run.diverged(HEADLINE.name):
        return "The loss is no longer a number: this run has diverged."
    if loss is None or floor is None:
        return f"{run.last_step():,} steps are done; nothing held out has been evaluated yet."
    numbers = f"its held-out loss is {loss:.2f} nats"
    gain = HEADLINE.gain(loss, floor)
    if gain > _LEVEL:
        return f"The model reads context: {numbers}, {gain:.2f} below the {floor:.2f} of the unigram floor."
    if gain >= -_LEVEL:
        return f"The model knows how common each word is, and no more yet: {numbers}, the unigram floor {floor:.2f}."
    return f"The model has learned little yet: {numbers}, {-gain:.2f} above the {floor:.2f} of the unigram floor."
