"""What pretrained encoders are worth in use: their scores after fine-tuning on two small public sets."""

import json
import statistics
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from kept_runs import keep, read_kept
from task_sets import SETS
from verb import verb

TUNED_ON = ("ncbi_disease", "sick relatedness")


def tune(workdir: Path, data: Path) -> dict[str, float]:
    """The scores of a run's encoder on both test files, after fine-tuning; kept beside the run, too."""
    kept = workdir / "tuned.json"
    scores = json.loads(kept.read_text()) if kept.exists() else {}
    for name in (one for one in TUNED_ON if one not in scores):
        of = SETS[name]
        splits = [f"--train={data}/{of.train}", f"--dev={data}/{of.dev}", f"--test={data}/{of.test}"]
        with tempfile.TemporaryDirectory() as place:
            flags = f"--task={of.task}", f"--init_from={workdir}", f"--workdir={place}/run", *splits, *of.flags
            verb("finetune", *flags)
            found = json.loads(Path(place, "run", "scores.json").read_text())
        scores[name] = found["test"][found["headline"]]["mean"]
        kept.write_text(json.dumps(scores))
    return scores


def run_once(benchmark: str, key: str, make: Callable[[], dict[str, Any]], workdir: Path, data: str) -> None:
    """Keep what `make` finds of the run in `workdir` and, where `data` is given, its encoder's scores, unless kept."""
    kept = read_kept(benchmark).get(key)
    if kept is None or (data and "tuned" not in kept):
        found = make()
        keep(benchmark, {key: found})
        if data:
            keep(benchmark, {key: found | {"tuned": tune(workdir, Path(data))}})


def tuned(runs: Sequence[Mapping[str, Mapping[str, float]]]) -> list[str]:
    """A cell for each set that the encoders were fine-tuned on: runs' "tuned", where they have it."""
    found = [run.get("tuned", {}) for run in runs]
    return [spread([scores[name] for scores in found if name in scores]) for name in TUNED_ON]


def spread(values: Sequence[float]) -> str:
    """Mean ± sd, or what there is."""
    if not values:
        return "not run"
    return f"{statistics.mean(values):.3f}" + (f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else "")
