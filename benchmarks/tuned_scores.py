"""What pretrained encoders are worth in use: their scores after fine-tuning on two small public sets."""

import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from task_sets import SETS

TUNED_ON = ("ncbi_disease", "sick, relatedness")


def tune(workdir: Path, data: Path) -> None:
    """Fine-tune the encoder of a run on both sets; the scores on their test files are kept beside the run."""
    kept = workdir / "tuned.json"
    scores = json.loads(kept.read_text()) if kept.exists() else {}
    for name in (one for one in TUNED_ON if one not in scores):
        of = SETS[name]
        splits = [f"--train={data}/{of.train}", f"--dev={data}/{of.dev}", f"--test={data}/{of.test}"]
        with tempfile.TemporaryDirectory() as place:
            flags = f"--task={of.task}", f"--init_from={workdir}", f"--workdir={place}/run", *splits, *of.flags
            command = [sys.executable, "-m", "bert_jax.finetune", *flags]
            print(*command, file=sys.stderr, flush=True)
            subprocess.run(command, cwd=Path(__file__).parent.parent, check=True, stdout=subprocess.DEVNULL)
            found = json.loads(Path(place, "run", "scores.json").read_text())
        scores[name] = found["test"][found["headline"]]["mean"]
        kept.write_text(json.dumps(scores))


def tuned(workdirs: Sequence[Path]) -> list[str]:
    """A cell for each set that the encoders were fine-tuned on."""
    found = [json.loads((one / "tuned.json").read_text()) for one in workdirs if (one / "tuned.json").exists()]
    return [spread([one[name] for one in found if name in one]) for name in TUNED_ON]


def spread(values: Sequence[float]) -> str:
    """Mean ± sd, or what there is."""
    if not values:
        return "not run"
    return f"{statistics.mean(values):.3f}" + (f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else "")
