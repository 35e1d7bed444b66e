"""What each host of a run asks of the bucket that all share, and how often they wait for each other.

    .venv/bin/python benchmarks/many_hosts.py

Records and workdir are in a bucket on this machine (tests/fake_gcs.py), whose requests are counted. Nothing is timed.

"start": a very small run resumes from a checkpoint, up to its first batch. It is one real process, which takes itself
for the first, or another one, of so many (tests/one_of_many.py). Its one device holds all of the state: what it reads
of that is not one host's part, and is a few requests. No shard is copied to this host, which is a request for each
shard and host more, behind the training, as is one for each index. There are more records than 65,536, so a thousand
are looked at, and not all.

"save", "restore": real processes, a device each, write a checkpoint together and read it, as many as this machine
bears.
"""

import collections
import contextlib
import itertools
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

os.environ["JAX_PLATFORMS"] = "cpu"
sys.path.append(str(Path(__file__).parents[1]))

import jax
import numpy as np
from absl import app, flags, logging
from etils import epath
from jax._src import distributed
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from results import write_table

from bert_jax.config import Config, DataConfig, EvaluationConfig, ModelConfig, PhaseConfig, TrainConfig
from bert_jax.data.manifest import Manifest, Shard, Split, write_manifest
from bert_jax.data.schema import RecordFormat
from bert_jax.data.tfrecord import shard_name, write_shard
from bert_jax.parallel.processes import connect
from bert_jax.text.load_tokenizer import load_tokenizer
from bert_jax.training.phase_input import PhaseInput
from bert_jax.training.pretraining import pretrain
from bert_jax.workdir.checkpoints import Checkpoints
from tests.fake_gcs import FakeGCS, fake_cloud
from tests.jobs import job_flags
from tests.one_of_many import Meeting, one_of_many

HOSTS, SHARDS, REAL = (1, 16, 256), (64, 256, 1024), (1, 2, 4)
RECORDS, LENGTH, PREDICTIONS, ROWS = 66 * 1024, 16, 2, 8
KINDS = ("list", "stat", "read", "write")
COLUMNS = ["what", "shards", "hosts", "process", *KINDS, "kB", "told", "barriers", "requests of all"]
MARK = "/mark/"  # begins the path of a request that only says how far a process is, and how many barriers it has passed
_SAVE_IN = flags.DEFINE_string("save_in", None, "For the processes that this starts.")


def main(argv: Sequence[str]) -> None:
    """Count for each number of shards and hosts; then in jobs of real processes."""
    del argv
    logging.set_verbosity(logging.WARNING)
    if _SAVE_IN.value:
        save_and_restore(_SAVE_IN.value)
        return
    rows: list[list[Any]] = []
    with fake_cloud() as server, tempfile.TemporaryDirectory() as here:
        for shards in SHARDS:
            bucket = epath.Path(server.make_bucket(f"shards-{shards}"))
            write_records(bucket / "records", shards)
            config = small_config(bucket, Path(here))
            pretrain(config, bucket / "begun")
            (bucket / "begun" / "checkpoints" / "2").rmtree()
            for hosts in HOSTS:
                rows += with_all("start", shards, hosts, started(server, bucket, config, hosts))
        bucket = epath.Path(server.make_bucket("checkpoints"))
        for hosts in REAL:
            for what, counted in saved_and_restored(server, bucket / f"{hosts}", hosts):
                rows += with_all(what, 0, hosts, counted)
    write_table("many_hosts", COLUMNS, rows, ["jax", "orbax-checkpoint", "tensorstore", "gcsfs"])


def with_all(what: str, shards: int, hosts: int, counted: list[list[int]]) -> list[list[Any]]:
    """The rows of the first process and of another one, with what all of such a job ask together."""
    requests = [sum(each[: len(KINDS)]) for each in counted]
    together = requests[0] + (hosts - 1) * requests[-1]
    names = ["first", "another"]
    rows = [[what, shards or "-", hosts, name, *each] for name, each in zip(names, counted[:2], strict=False)]
    return [[*row, together if row is rows[0] else "-"] for row in rows]


def count(requests: list[tuple[str, str, str | None]], sent: int) -> list[int]:
    """Requests of each kind, and kB of the answers."""
    found = collections.Counter[str]()
    for method, path, _ in requests:
        is_read = "alt=media" in path
        found["write" if method != "GET" else "read" if is_read else "list" if "prefix=" in path else "stat"] += 1
    return [*(found[kind] for kind in KINDS), round(sent / 1000)]


def file_system(name: str) -> Any:
    """One of fsspec by its name."""
    import fsspec  # after bert_jax, which has it keep no listings of buckets

    return fsspec.filesystem(name)


# ---------------------------------------------------------------- a start, simulated


class _AtTheFirstBatchError(Exception):
    """Ends a start that has been counted."""


def started(server: FakeGCS, bucket: epath.Path, config: Config, hosts: int) -> list[list[int]]:
    """What the first process and another one of a job ask when it resumes from a checkpoint."""
    meeting, counted = Meeting(), []
    for number in (0, 1)[:hosts]:
        workdir = bucket / f"run-{hosts}-{number}"
        file_system("gs").copy(str(bucket / "begun"), str(workdir), recursive=True)
        server.requests.clear()
        server.sent = 0
        meeting.calls.clear()
        with contextlib.suppress(_AtTheFirstBatchError), one_of_many(number, hosts, meeting), _no_batch():
            pretrain(config, workdir)
        told = meeting.calls["tells"] + meeting.calls["hears"]
        counted.append([*count(server.requests, server.sent), told, meeting.calls["barriers"]])
    return counted


def _no_batch() -> Any:
    def batches(mesh: Mesh, from_step: int) -> None:
        assert from_step == 1, "it did not resume"
        raise _AtTheFirstBatchError

    return mock.patch.object(PhaseInput, "batches", side_effect=batches)


def small_config(bucket: epath.Path, here: Path) -> Config:
    """Two steps with a checkpoint each."""
    sizes = {"hidden_size": 8, "num_attention_heads": 1, "intermediate_size": 8, "max_position_embeddings": LENGTH}
    config = Config(
        model=ModelConfig(num_hidden_layers=1, **sizes),
        phases=(PhaseConfig(steps=2, global_batch_size=ROWS, max_seq_length=LENGTH),),
        data=DataConfig(records=f"{bucket}/records", cache_gigabytes=0.0, cache_directory=f"{here}/shards"),
        train=TrainConfig(checkpoint_every_steps=1, keep_checkpoints=2, compilation_cache=f"{here}/compiled"),
        evaluation=EvaluationConfig(every_steps=1000),
    )
    config.optimizer.warmup_steps = 1
    return config


def write_records(directory: epath.Path, shards: int) -> None:
    """Equal records in so many shards, and 64 held out."""
    tokenizer = load_tokenizer("ids:100,pad=0,unk=1,cls=2,sep=3,mask=4")
    record = {name: [1] * len(values[0]) for name, values in RecordFormat(LENGTH, PREDICTIONS).zeros(1).items()}
    data = RecordFormat(LENGTH, PREDICTIONS).serialize(record)
    splits = {}
    with tempfile.TemporaryDirectory() as local:
        for split, records, number in (("train", RECORDS, shards), ("validation", 64, 1)):
            made = []
            for shard in range(number):
                path = Path(local) / shard_name(split, shard, number)
                with write_shard(path) as writer:
                    for _ in range(records // number):
                        writer.write(data)
                made.append(Shard(path.name, records // number, path.stat().st_size))
            splits[split] = Split(records, made)
        vocabulary = tokenizer.vocab_size, tokenizer.fingerprint, tokenizer.kind
        write_manifest(local, Manifest(LENGTH, PREDICTIONS, *vocabulary, splits, {}, [], {}, ""))
        tokenizer.save(Path(local) / "tokenizer")
        file_system("gs").put(f"{local}/", str(directory), recursive=True)


# ---------------------------------------------------------------- a checkpoint, with real processes


class Door(FakeGCS):
    """Another way to the same buckets, which counts by itself: each process has its own."""

    def __init__(self, server: FakeGCS) -> None:
        super().__init__()
        self.port, self.failing = server.port, self._mark
        self.marks: list[tuple[int, int, int]] = []  # requests, bytes and barriers so far

    def __enter__(self) -> "Door":
        threading.Thread(target=self.proxy.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.proxy.shutdown()

    def _mark(self, path: str) -> int:
        if not path.startswith(MARK):
            return 0
        self.marks.append((len(self.requests), self.sent, int(path.removeprefix(MARK))))
        return 200

    def counted(self) -> list[list[int]]:
        """The counts of what was asked between two marks; the request that begins or ends it is none of them."""
        return [
            [*count(self.requests[begin : end - 1], sent - before), 0, barriers - barriers_before]
            for (begin, before, barriers_before), (end, sent, barriers) in itertools.pairwise(self.marks)
        ]


def saved_and_restored(server: FakeGCS, directory: epath.Path, hosts: int) -> Iterator[tuple[str, list[list[int]]]]:
    """What the first process of a job and the second ask to save a checkpoint, and to restore it."""
    with contextlib.ExitStack() as stack:
        doors = [stack.enter_context(Door(server)) for _ in range(hosts)]
        job = [
            subprocess.Popen(
                [sys.executable, __file__, f"--save_in={directory}", *own], env=os.environ | door.environment()
            )
            for door, own in zip(doors, job_flags(hosts), strict=True)
        ]
        statuses = [process.wait(timeout=600) for process in job]
        assert not any(statuses)
    yield from zip(
        ("save", "restore"), map(list, zip(*(door.counted() for door in doors[:2]), strict=True)), strict=True
    )


class _Client:
    """JAX's own, with a count of the barriers."""

    def __init__(self, client: Any) -> None:
        self._client, self.barriers = client, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def wait_at_barrier(self, *arguments: Any, **options: Any) -> None:
        self.barriers += 1
        self._client.wait_at_barrier(*arguments, **options)


def save_and_restore(directory: str) -> None:
    """One process' part of it."""
    connect()
    mesh = jax.make_mesh((jax.device_count(),), ("data",))
    client = _Client(distributed.global_state.client)
    sync = multihost_utils.sync_global_devices

    def counting_sync(name: str) -> None:
        client.barriers += 1
        sync(name)

    def mark() -> None:
        file_system("http").cat_file(f"{os.environ['STORAGE_EMULATOR_HOST']}{MARK}{client.barriers}")

    if jax.process_count() > 1:
        distributed.global_state.client, multihost_utils.sync_global_devices = client, counting_sync
    layouts = NamedSharding(mesh, PartitionSpec("data")), NamedSharding(mesh, PartitionSpec())
    values = np.arange(4 * 1024, dtype=np.float32).reshape(4, -1)
    state = {
        f"{number}": jax.make_array_from_callback(values.shape, layouts[number % 2], lambda index: values[index])
        for number in range(24)
    }
    with Checkpoints(directory) as checkpoints:
        mark()
        checkpoints.save(1, state, {})
        checkpoints.wait()
        mark()
    with Checkpoints(directory) as checkpoints:
        restored = checkpoints.restore(checkpoints.latest_step() or 0, jax.tree.map(_like, state))
        mark()
    assert all((restored[name].addressable_data(0) == state[name].addressable_data(0)).all() for name in state)
    sync("all are done")
    distributed.global_state.client = client._client


def _like(array: jax.Array) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=array.sharding)


if __name__ == "__main__":
    app.run(main)
