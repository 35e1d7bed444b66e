"""Random damage to everything that is read, by seed: a verb ends well or with one line, in time, and changes nothing.

BERT_JAX_FUZZ_SEEDS=1000 launch/test.sh -m slow tests/fuzz       so many trials; FIRST-LAST those seeds
"""

import bz2
import dataclasses
import gzip
import hashlib
import importlib.util
import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bert_jax.config import Config

SECONDS = 60
FIRST, _, LAST = os.environ.get("BERT_JAX_FUZZ_SEEDS", "0-59").rpartition("-")
SEEDS = range(int(FIRST or 0), int(LAST) + bool(FIRST))
LENGTH = 32
SHORT_RUN = ["--config.phases[0].steps=6", "--config.optimizer.warmup_steps=2", "--config.train.log_every_steps=1"]

spec = importlib.util.spec_from_file_location("damage", Path(__file__).with_name("damage.py"))
damage = importlib.util.module_from_spec(spec)
spec.loader.exec_module(damage)


@dataclasses.dataclass
class Trial:
    """A verb with its flags, on damaged input."""

    verb: str
    flags: list[str]
    reads: list[Path]  # not changed, however the verb ends
    writes: list[Path] = dataclasses.field(default_factory=list)  # as before if the verb ends with an error
    check: Callable[[], None] = lambda: None  # what holds if the verb ends well


class World:
    """Good input of every kind, made by the real commands, which run on damaged copies of it."""

    def __init__(self, chain, workdir, directory, verbs):
        self.chain, self.workdir, self.directory, self._verbs = chain, workdir, directory, verbs
        for name in ("huggingface", "tensorflow"):
            chain.run("export", f"--workdir={workdir}", f"--format={name}", f"--output={directory}/{name}")
        for step in (10, 20):
            chain.run(
                "export", f"--workdir={workdir}", "--format=numpy", f"--output={directory}/{step}", f"--step={step}"
            )
        for kind, size in (("bpe", 500), ("sentencepiece", 300)):
            flags = [f"--input={chain.corpus}", f"--output={directory}/{kind}", f"--vocab_size={size}"]
            chain.run("build_vocab", f"--kind={kind}", *flags)
        chain.pretrain(directory / "short", *SHORT_RUN)
        self.losses = losses(directory / "short")
        self.weights = [arrays(directory / str(step)) for step in (10, 20)]

    def run(self, verb, flags, log):
        """The exit code; what the verb says is in the file `log`."""
        return self._verbs.status(verb, [str(flag) for flag in flags], log, log, SECONDS)

    def pretrain(self, workdir, records, *flags):
        """The flags of a short run."""
        return [*self.chain.pretrain_flags(workdir), *SHORT_RUN, f"--config.data.records={records}", *flags]

    def copy(self, source, target):
        shutil.copytree(source, target)
        return target


@pytest.fixture(scope="session")
def world(chain, finished_run, tmp_path_factory, verbs):
    return World(chain, finished_run, tmp_path_factory.mktemp("world"), verbs)


def losses(workdir):
    lines = map(json.loads, (workdir / "metrics.jsonl").read_text().splitlines())
    return [(line["step"], line["loss"]) for line in lines if line["split"] == "train"]


def arrays(export):
    with np.load(export / "params.npz") as file:
        return {name: file[name].tobytes() for name in file.files}


def files(directory, *patterns):
    return sorted(path for pattern in patterns for path in directory.glob(pattern) if path.is_file())


def damage_one(random, paths, how=damage.damaged_bytes):
    path = random.choice(paths)
    path.write_bytes(how(random, path.read_bytes()))


# ------------------------------------------------------------------ what is damaged


def damaged_shard(random, world, tmp):
    records = world.copy(world.chain.records(LENGTH), tmp / "records")
    damage_one(random, files(records, "*train*.tfrecord*"))
    if random.random() < 0.2:
        shutil.rmtree(records / "index")
    return on_records(random, world, tmp, records, skips=random.random() < 0.3)


def damaged_index(random, world, tmp):
    records = world.copy(world.chain.records(LENGTH), tmp / "records")
    damage_one(random, files(records, "index/*train*"))
    return on_records(random, world, tmp, records)


def damaged_records_json(random, world, tmp):
    records = world.copy(world.chain.records(LENGTH), tmp / "records")
    damage_one(random, files(records, "records.json", "tokenizer/*.json"), damage.damaged_json)
    return on_records(random, world, tmp, records)


def on_records(random, world, tmp, records, skips=False):
    packs = random.random() < 0.2
    flags = world.pretrain(tmp / "workdir", records, f"--config.data.packing={packs}")
    if skips:
        flags.append("--config.data.skip_corrupt=100")

    def check():
        if not (skips or packs):
            assert losses(tmp / "workdir") == world.losses, "trained on other records, and did not say so"

    return Trial("pretrain", flags, files(records, "*", "tokenizer/*"), check=check)


def damaged_vocabulary(random, world, tmp):
    kind = random.choice(("vocab", "bpe", "sentencepiece"))
    source = world.chain.vocab if kind == "vocab" else world.directory / kind
    vocab = world.copy(source, tmp / "vocab")
    if random.random() < 0.3:
        (vocab / "vocabulary.json").unlink()
    path = random.choice(files(vocab, "*"))
    damage_one(random, [path], damage.damaged_json if path.suffix == ".json" else damage.damaged_bytes)
    output = tmp / "records"
    flags = [f"--input={world.chain.corpus}", f"--vocab={vocab}", f"--output={output}", "--num_workers=1"]
    return Trial("build_records", [*flags, "--dupe_factor=1"], [vocab], [output])


def damaged_run(random, world, tmp):
    workdir = world.copy(world.workdir, tmp / "workdir")
    names = ("config.json", "runs.jsonl", "samples.json", "tokenizer/vocabulary.json", "tokenizer/vocab.txt")
    path = random.choice(files(workdir, "metrics.jsonl", *names))
    damage_one(random, [path], damage.damaged_json if path.suffix == ".json" else damage.damaged_bytes)
    return on_workdir(random, world, tmp, workdir)


def damaged_checkpoint(random, world, tmp):
    workdir = world.copy(world.workdir, tmp / "workdir")
    checkpoints = workdir / "checkpoints"
    step = random.choice((checkpoints / "10", checkpoints / "20"))
    path = random.choice([path for path in sorted(step.rglob("*")) if path.is_file()])
    how = random.choice(("file", "file", "file", "json", "remove", "rename", "digests"))
    if how == "rename":
        step.rename(checkpoints / str(random.choice((5, 15, 40))))
    elif how == "remove":
        path.unlink()
    elif how == "json":
        damage_one(random, [step / "digests.json"], damage.damaged_json)
    else:
        damage_one(random, [path])
        if how == "digests":
            (step / "digests.json").unlink(missing_ok=True)
    return on_workdir(random, world, tmp, workdir)


def on_workdir(random, world, tmp, workdir):
    verb = random.choice(("export", "export", "evaluate", "pretrain", "report"))
    if verb == "pretrain":
        return Trial(verb, world.chain.pretrain_flags(workdir), [])
    if verb != "export":
        return Trial(verb, [f"--workdir={workdir}"], files(workdir, "config.json", "metrics.jsonl", "tokenizer/*"))
    output = tmp / "export"

    def check():
        assert arrays(output) in world.weights, "other weights than were trained, and it did not say so"

    return Trial(verb, [f"--workdir={workdir}", "--format=numpy", f"--output={output}"], [workdir], [output], check)


def damaged_weights(random, world, tmp):
    weights = world.copy(world.directory / random.choice(("huggingface", "tensorflow")), tmp / "weights")
    path = random.choice(
        files(weights, "*.safetensors", "config.json", "bert_config.json", "bert_model.ckpt*", "tokenizer*")
    )
    damage_one(random, [path], damage.damaged_json if path.suffix == ".json" else damage.damaged_bytes)
    flags = world.pretrain(tmp / "workdir", world.chain.records(LENGTH), f"--config.init_from={weights}")
    return Trial("pretrain", flags, [weights])


def damaged_corpus(random, world, tmp):
    text = world.chain.corpus.read_text()[: random.choice((5000, 50_000))]
    kind = random.choice((".txt", ".txt", ".jsonl", ".xml"))
    if kind == ".jsonl":
        text = "".join(json.dumps({"text": part}) + "\n" for part in text.split("\n\n"))
    if kind == ".xml":
        page = "<page><title>T</title><ns>0</ns><revision><text>{}</text></revision></page>"
        parts = (part.replace("&", "&amp;").replace("<", "&lt;") for part in text.split("\n\n"))
        text = f"<mediawiki>{''.join(map(page.format, parts))}</mediawiki>"
    content = damage.damaged_text(random, text)
    ending = random.choice(("", "", ".gz", ".bz2"))
    content = {"": bytes, ".gz": gzip.compress, ".bz2": bz2.compress}[ending](content)
    if ending and random.random() < 0.3:
        content = damage.damaged_bytes(random, content)
    path = tmp / f"corpus{kind}{ending}"
    path.write_bytes(content)
    flags = [f"--input={path}", f"--output={tmp / 'output'}", "--num_workers=1"]
    if random.random() < 0.4:
        kind = random.choice(("wordpiece", "bpe", "sentencepiece"))
        return Trial("build_vocab", [*flags, f"--kind={kind}", "--vocab_size=400"], [path], [tmp / "output"])
    flags += [f"--vocab={world.chain.vocab}", "--dupe_factor=1"]
    if random.random() < 0.3:
        flags.append("--split_sentences")
    return Trial("build_records", flags, [path], [tmp / "output"])


def strange_setting(random, world, tmp):
    groups = {name: group for name, group in vars(Config()).items() if dataclasses.is_dataclass(group)}
    keys = [f"{name}.{field.name}" for name, group in groups.items() for field in dataclasses.fields(group)]
    keys += [f"phases[0].{field.name}" for field in dataclasses.fields(Config().phases[0])]
    keys += ["scale", "init_from", "init_moments", "phases", "model"]
    # A run that takes long because it was asked to is no fault.
    values = [value for value in damage.STRANGE if "\x00" not in str(value) and len(str(value)) < 1000]
    key, value = random.choice(keys), random.choice(values)
    if key in ("phases[0].steps", "scale") and value in (10**9, 10**30):
        value = 3
    flags = world.pretrain(tmp / "workdir", world.chain.records(LENGTH), f"--config.{key}={value}")
    return Trial("pretrain", flags, [world.chain.records(LENGTH)])


KINDS = (
    damaged_shard,
    damaged_index,
    damaged_records_json,
    damaged_vocabulary,
    damaged_run,
    damaged_checkpoint,
    damaged_weights,
    damaged_corpus,
    damaged_corpus,
    strange_setting,
)


# ------------------------------------------------------------------ what must hold


def digest(path):
    """Of a file, or of all files below a directory but the indexes of shards, which are made again."""
    if path.is_dir():
        below = sorted(file for file in path.rglob("*") if file.is_file() and file.parent.name != "index")
        return [(str(file), digest(file)) for file in below]
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else None


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_damage_is_one_line(world, tmp_path, seed):
    chance = random.Random(seed)
    trial = KINDS[seed % len(KINDS)](chance, world, tmp_path)
    read, written = [digest(path) for path in trial.reads], [digest(path) for path in trial.writes]
    log = tmp_path / "log"
    status = world.run(trial.verb, trial.flags, log)
    said = log.read_text(errors="replace")
    context = f"{trial.verb} {' '.join(map(str, trial.flags))[:2000]}\n{said[-3000:]}"
    assert status is not None, f"more than {SECONDS} s: {context}"
    assert "Traceback" not in said, context
    assert status in (0, 1, 2), f"exit code {status}: {context}"
    assert [digest(path) for path in trial.reads] == read, f"input was changed: {context}"
    if status:
        errors = [line for line in said.splitlines() if line.startswith("error: ")]
        assert len(errors) == 1, context
        assert len(errors[0]) < 1500, f"a line of {len(errors[0])} characters: {context}"
        assert [digest(path) for path in trial.writes] == written, f"something half-written: {context}"
    else:
        trial.check()
