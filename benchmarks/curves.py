"""A reference curve for `report`, of finished pretraining runs of one config and the same records with several seeds.

    python benchmarks/curves.py --name=quickstart --command="launch/pretrain.sh" --workdirs=DIR,DIR,DIR

Writes bert_jax/reporting/curves/NAME.json, which is installed with the package: the config, digests of the records,
versions, and the held-out points of each seed. `report` draws it under any run of that config on those records.
"""

import argparse
import dataclasses
import json
from collections.abc import Sequence
from typing import Any

from etils import epath

from bert_jax.config import Config
from bert_jax.config.file import to_json
from bert_jax.errors import UserError
from bert_jax.objectives.pretraining_metrics import METRICS
from bert_jax.reporting.reference import DIRECTORY, Reference, Seed, settings_of
from bert_jax.reporting.run_history import read_run
from bert_jax.reporting.run_records import read_records
from bert_jax.storage.whole_file import replace_text
from bert_jax.workdir.checkpoint_files import read_description, steps_in
from bert_jax.workdir.run_directory import read_config


def main() -> None:
    """Make the reference and say where it is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--name", required=True, help="of the file, without .json")
    parser.add_argument("--command", required=True, help="what one types to have such a run, records included")
    parser.add_argument("--workdirs", required=True, help="finished runs of one config but for the seed: DIR,DIR,DIR")
    parser.add_argument("--output", default=str(DIRECTORY), help="directory to write to")
    arguments = parser.parse_args()
    path = epath.Path(arguments.output) / f"{arguments.name}.json"
    try:
        reference = make_reference(arguments.workdirs.split(","), arguments.command)
    except UserError as error:
        raise SystemExit(f"error: {error}") from None
    write_reference(path, reference)


def write_reference(path: epath.Path, reference: Reference) -> None:
    """Write the file, and say so."""
    replace_text(path, as_text(reference))
    print(f"{path}: {len(reference.seeds)} seeds, {path.stat().length:,} bytes")


def make_reference(workdirs: Sequence[str], command: str) -> Reference:
    """The reference of these runs; UserError if they do not make one."""
    configs = [read_config(workdir) for workdir in workdirs]
    records = [read_records(workdir) for workdir in workdirs]
    if len({config.train.seed for config in configs}) < max(2, len(configs)):
        raise UserError("a reference needs two seeds or more, each of them once (three give a spread worth having)")
    for workdir, config, of_run in zip(workdirs, configs, records, strict=True):
        if config.init_from or config.teacher:
            raise UserError(f"{workdir} began from other weights or has a teacher, which no other run need have")
        if settings_of(config) != settings_of(configs[0]) or not of_run or of_run != records[0]:
            raise UserError(f"{workdir} is of another config or other records than {workdirs[0]}")
    seeds = [_seed(workdir, config) for workdir, config in zip(workdirs, configs, strict=True)]
    return Reference(command, _portable(configs[0]), records[0], _versions(workdirs[0]), seeds)


def as_text(reference: Reference) -> str:
    """JSON with a line for each group of settings and each curve."""
    content = dataclasses.asdict(reference)
    groups = [f"  {json.dumps(name)}: {json.dumps(value)}" for name, value in content["config"].items()]
    content |= {"config": "CONFIG", "seeds": "SEEDS"}
    seeds = [
        f'  {{"seed": {seed.seed}, "points": {{\n'
        + ",\n".join(f"   {json.dumps(name)}: {json.dumps(points)}" for name, points in seed.points.items())
        + "\n  }}"
        for seed in reference.seeds
    ]
    text = json.dumps(content, indent=1)
    text = text.replace('"CONFIG"', "{\n" + ",\n".join(groups) + "\n }")
    return text.replace('"SEEDS"', "[\n" + ",\n".join(seeds) + "\n ]") + "\n"


def _seed(workdir: str, config: Config) -> Seed:
    run = read_run(workdir)
    if run.last_step() < config.total_steps or not run.points("validation", METRICS[0].name):
        raise UserError(f"{workdir} is not finished, or has no held-out evaluation")
    points = {
        metric.name: [(step, float(f"{value:.5g}")) for step, value in run.points("validation", metric.name)]
        for metric in METRICS
        if metric.has_chart
    }
    return Seed(config.train.seed, {name: found for name, found in points.items() if found})


def _portable(config: Config) -> dict[str, Any]:
    """The config without paths of the machine that it ran on."""
    data = dataclasses.replace(config.data, records="", cache_directory="")
    evaluation = dataclasses.replace(config.evaluation, records="of its own" if config.evaluation.records else "")
    train = dataclasses.replace(config.train, compilation_cache="", wandb="")
    return json.loads(to_json(dataclasses.replace(config, data=data, train=train, evaluation=evaluation)))


def _versions(workdir: str) -> dict[str, str]:
    directory = epath.Path(workdir) / "checkpoints"
    return read_description(directory / str(steps_in(directory)[-1]))["versions"]


if __name__ == "__main__":
    main()
