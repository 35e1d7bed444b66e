"""gs:// paths, against a stand-in for Google Cloud Storage on this host: the commands, and what they rest on."""

import gzip
import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.parse
from pathlib import Path

import jax
import numpy as np
import pytest
from etils import epath
from jax.sharding import SingleDeviceSharding
from orbax.checkpoint._src.serialization import tensorstore_utils

from bert_jax.config import Config, DataConfig, PhaseConfig
from bert_jax.data.manifest import read_manifest
from bert_jax.data.shard_cache import ShardCache
from bert_jax.data.source import RecordSource
from bert_jax.errors import DamagedRecordError, UserError
from bert_jax.inference.answer_file import write_answers
from bert_jax.storage.cloud import download
from bert_jax.storage.mirror import Mirror
from bert_jax.storage.new_directory import new_directory
from bert_jax.storage.whole_file import local_directory, replace_text, whole_file
from bert_jax.tasks.tables import read_table
from bert_jax.training.open_phases import open_phases
from bert_jax.training.same_records import records_of
from bert_jax.workdir.checkpoints import Checkpoints
from tests.fake_gcs import fake_cloud
from tests.one_of_many import Meeting, one_of_many

ROOT = Path(__file__).parent.parent


def load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def gcs():
    with fake_cloud() as fake:
        yield fake


@pytest.fixture
def bucket(gcs, request):
    """A new bucket; nothing fails, and nothing has been asked."""
    name = "".join(letter if letter.isalnum() else "-" for letter in request.node.name.lower())
    made = epath.Path(gcs.make_bucket(name))
    gcs.requests.clear()
    gcs.failing = lambda path: 0
    return made


def upload(local, remote):
    for file in Path(local).rglob("*"):
        if file.is_file():
            (remote / str(file.relative_to(local))).write_bytes(file.read_bytes())


# ---------------------------------------------------------------- files


def test_labelled_rows_are_read(bucket):
    (bucket / "a.tsv.gz").write_bytes(gzip.compress(b"text\tlabel\nx\t1\n"))
    table = read_table(str(bucket / "a.tsv.gz"))
    assert [(row.place, row.cells) for row in table.rows] == [
        (f"{bucket}/a.tsv.gz, line 2", {"text": "x", "label": "1"})
    ]
    with pytest.raises(UserError, match=r"^gs://.*/b\.tsv is not there; give the path of an object$"):
        read_table(str(bucket / "b.tsv"))


def write_and_fail(path, content):
    with whole_file(path) as file:
        file.write(content)
        raise ZeroDivisionError


def test_an_object_is_whole_or_absent(bucket):
    with pytest.raises(ZeroDivisionError):
        write_and_fail(bucket / "a" / "file", b"x" * 10_000_000)  # more than gcsfs sends at a time
    assert not (bucket / "a" / "file").exists()
    replace_text(bucket / "a" / "file", "one")
    with pytest.raises(ZeroDivisionError):
        write_and_fail(bucket / "a" / "file", b"two")
    assert (bucket / "a" / "file").read_text() == "one"
    assert [path.name for path in (bucket / "a").iterdir()] == ["file"]


def test_files_of_a_local_directory_arrive_together(bucket):
    with pytest.raises(ZeroDivisionError), local_directory(bucket / "parts") as here:
        (here / "a").write_text(str(1 / 0))
    assert not (bucket / "parts").exists()
    with local_directory(bucket / "parts") as here:
        (here / "a").write_text("1")
        (here / "b").write_text("2")
        assert not (bucket / "parts").exists()
    assert {path.name: path.read_text() for path in (bucket / "parts").iterdir()} == {"a": "1", "b": "2"}


def test_a_file_that_grows(bucket, gcs):
    mirror = Mirror(bucket / "run")
    with (mirror.local / "log").open("a") as log:
        log.write("one\n")
        log.flush()
        mirror.flush()
        assert (bucket / "run" / "log").read_text() == "one\n"
        log.write("two\n")
        log.flush()
        (mirror.local / "below").mkdir()
        (mirror.local / "below" / "events").write_bytes(b"e")
        gcs.failing = lambda path: 403
        mirror.flush()  # says so, and goes on
        gcs.failing = lambda path: 0
        mirror.flush()
        asked = len(gcs.requests)
        mirror.flush()
        assert len(gcs.requests) == asked, "nothing has changed"
        log.write("three\n")
    mirror.close()
    assert (bucket / "run" / "log").read_text() == "one\ntwo\nthree\n"
    assert (bucket / "run" / "below" / "events").read_bytes() == b"e"
    assert not mirror.local.exists()


def test_answers_in_a_bucket_are_not_lost(bucket):
    """An object store appends nothing."""
    output, asked = str(bucket / "answers.jsonl"), []

    def made(done):
        asked.append(done)
        for number in range(done, 5):
            if number == 3 and done == 0:
                raise KeyboardInterrupt
            yield {"answer": number}

    def write():
        write_answers(output, {"of": "a model"}, made, lambda answers: map(json.dumps, answers))

    with pytest.raises(KeyboardInterrupt):
        write()
    assert not epath.Path(output).exists()
    write()
    assert asked == [0, 3]
    assert [json.loads(line)["answer"] for line in epath.Path(output).read_text().splitlines()] == [0, 1, 2, 3, 4]
    assert [path.name for path in bucket.iterdir()] == ["answers.jsonl"]


def test_what_another_process_writes_is_seen_at_once(bucket):
    (bucket / "d" / "one").write_text("1")
    assert [path.name for path in (bucket / "d").iterdir()] == ["one"]
    program = f"import bert_jax; from etils import epath; epath.Path('{bucket}/d/two').write_text('2')"
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)
    assert [path.name for path in (bucket / "d").iterdir()] == ["one", "two"]


# ---------------------------------------------------------------- records


@pytest.fixture
def records(tmp_path, bucket):
    """(local directory, the same in the bucket), of 50 numbered records in three shards."""
    load(Path(__file__).parent / "data" / "records.py").write_records(tmp_path / "records", train=[20, 20, 10])
    upload(tmp_path / "records", bucket / "records")
    return tmp_path / "records", bucket / "records"


def same(left, right):
    return all(np.array_equal(left[name], right[name]) for name in left) and left.keys() == right.keys()


def ranges(gcs):
    """What was asked of shards."""
    return [asked for _, path, asked in gcs.requests if asked and ".tfrecord" in path]


def test_records_are_fetched_one_by_one_without_a_copy(records, gcs):
    local, remote = (RecordSource(directory, "train") for directory in records)
    order = np.random.default_rng(0).permutation(50).tolist()
    assert same(remote.fetch(order), local.fetch(order))
    gcs.requests.clear()
    assert same(remote[7], local[7])
    offsets = np.load(records[0] / "index" / "bert-train-00000-of-00003.npy")
    assert ranges(gcs) == [f"bytes={offsets[7]}-{offsets[8] - 1}"]
    assert len(gcs.requests) == 1


def test_records_are_read_here_when_their_shard_has_been_copied(records, gcs, tmp_path):
    local = RecordSource(records[0], "train")
    remote = RecordSource(records[1], "train", cache=ShardCache(tmp_path / "cache", 1e6))
    wait_until(lambda: len(list((tmp_path / "cache").glob("*.tfrecord"))) == 3)
    first = remote.fetch(range(50))
    gcs.requests.clear()
    assert same(remote.fetch(range(50)), first)
    assert same(local.fetch(range(50)), first)
    assert not gcs.requests
    again = RecordSource(records[1], "train", cache=ShardCache(tmp_path / "cache", 1e6))
    again.fetch(range(50))
    assert not ranges(gcs), "an earlier start's copies are used"


def test_what_the_cache_has_no_room_for_is_fetched(records, gcs, tmp_path):
    sizes = [shard.bytes for shard in read_manifest(records[0]).splits["train"].shards]
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / f"{'0f' * 16}.tfrecord").write_bytes(b"x" * 1000)  # of another run
    (tmp_path / "cache" / "thesis.tfrecord").write_bytes(b"x" * 1000)  # of nobody of ours
    (tmp_path / "cache" / "photographs").mkdir()
    remote = RecordSource(records[1], "train", cache=ShardCache(tmp_path / "cache", sizes[0] + sizes[2] + 10))
    wait_until(lambda: len(list((tmp_path / "cache").glob("?" * 32 + ".tfrecord"))) == 2)
    remote.fetch(range(50))
    gcs.requests.clear()
    assert same(remote.fetch(range(50)), RecordSource(records[0], "train").fetch(range(50)))
    assert len(ranges(gcs)) == 20
    kept = {file.name: file.stat().st_size for file in (tmp_path / "cache").iterdir() if file.is_file()}
    assert kept.pop("thesis.tfrecord") == 1000
    assert sum(kept.values()) <= sizes[0] + sizes[2] + 10
    assert (tmp_path / "cache" / "photographs").is_dir()


def started(directory, processes, number, meeting):
    """What `pretrain` finds out of the records of its one phase, as that process of so many."""
    config = Config(data=DataConfig(records=str(directory), cache_gigabytes=0.0))
    config.phases = (PhaseConfig(steps=2, global_batch_size=8, max_seq_length=16),)
    with one_of_many(number, processes, meeting):
        (phase,) = open_phases(config.resolved())
        return phase, records_of(phase)


def asked_of_shards(gcs):
    """Requests for shards and their indices, and for listings of all there is."""
    paths = [urllib.parse.unquote(path) for _, path, _ in gcs.requests]
    return [path for path in paths if ".tfrecord" in path or "/index" in path or "maxResults=1000" in path]


def test_only_the_first_process_looks_at_shards(tmp_path, bucket, gcs):
    """And it asks but once for the index of each, and for all sizes at once."""
    for shards in (4, 20):
        local, remote = tmp_path / f"{shards}", bucket / f"{shards}"
        sizes = {"train": [2] * shards, "validation": [20]}
        load(Path(__file__).parent / "data" / "records.py").write_records(local, **sizes)
        upload(local, remote)
        gcs.requests.clear()
        meeting = Meeting()
        first, records = started(remote, 256, 0, meeting)
        asked = asked_of_shards(gcs)
        assert sum("/index" in path for path in asked) == shards + 1
        assert sum("prefix=" in path for path in asked) == 2
        assert sum(".tfrecord" in path for path in asked) == 2 * 2 + 2 * 16 + shards + 1  # ends, some, the digest
        for number in (1, 255):
            gcs.requests.clear()
            other, same_records = started(remote, 256, number, meeting)
            assert not gcs.requests
            assert other.manifest == first.manifest
            assert same_records == records
            assert same(other.train.fetch(range(2 * shards)), first.train.fetch(range(2 * shards)))
        assert meeting.calls == {"tells": 6, "hears": 12}


def test_hosts_begin_to_copy_at_different_shards(records, tmp_path):
    copied = []
    for part in (0.0, 0.5):
        cache = ShardCache(tmp_path / f"{part}", 1e6)
        cache.want = lambda shard, size, changed: copied.append(shard.name)
        RecordSource(records[1], "train", cache=cache, copies_from=part)
    assert [int(name.split("-")[2]) for name in copied] == [0, 1, 2, 1, 2, 0]


def test_the_cache_leaves_what_is_being_copied_alone(records, tmp_path, monkeypatch):
    """Here or in another process: a copy gets its name at the end."""
    names = [shard.file for shard in read_manifest(records[0]).splits["train"].shards[:2]]
    sizes = [(records[0] / name).stat().st_size for name in names]
    copying, go_on = threading.Event(), threading.Event()

    def slowly(shard, aside):
        download(shard, aside)
        copying.set()
        assert go_on.wait(60)

    monkeypatch.setattr("bert_jax.data.shard_cache.download", slowly)
    cache = ShardCache(tmp_path / "cache", sum(sizes))
    first = cache.want(records[1] / names[0], sizes[0], 1)
    assert copying.wait(60)
    second = cache.want(records[1] / names[1], sizes[1], 1)  # the cache is full with it
    go_on.set()
    wait_until(lambda: first.exists() and second.exists())
    (tmp_path / "cache" / f"{'0f' * 16}.1.tmp").symlink_to("nothing")  # as if it got its name in this moment
    assert ShardCache(tmp_path / "cache", 1e6).want(records[1] / names[0], sizes[0], 2) != first


def test_a_shard_that_was_built_again_is_copied_again(records, tmp_path):
    cache = ShardCache(tmp_path / "cache", 1e6)
    first, later = (cache.want(records[1] / "shard", 1000, changed) for changed in (1, 2))
    assert first != later


def test_a_cut_off_shard_in_a_bucket(records):
    name = "bert-train.tfrecord-00001-of-00003"
    (records[1] / name).write_bytes((records[0] / name).read_bytes()[:3000])
    with pytest.raises(DamagedRecordError, match=f"gs://.*{name}: record 1[0-9] is cut off"):
        RecordSource(records[1], "train")
    source = RecordSource(records[1], "train", skip_corrupt=20)
    source.fetch(range(50))
    assert 0 < len(source.skipped) < 20
    others = sorted(set(range(50)) - source.skipped)
    assert same(source.fetch(others), RecordSource(records[0], "train").fetch(others))


def wait_until(holds, seconds=60):
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


# ---------------------------------------------------------------- checkpoints

SHAPE = jax.ShapeDtypeStruct((300, 40), np.float32, sharding=SingleDeviceSharding(jax.devices()[0]))


def state(number):
    return {"params": {"kernel": jax.numpy.full(SHAPE.shape, float(number), np.float32)}}


def saved(directory, *steps, keep=9):
    with Checkpoints(directory, keep) as checkpoints:
        for step in steps:
            checkpoints.save(step, state(step), {"step": step})


def restored(directory):
    with Checkpoints(directory, 9) as checkpoints:
        step = checkpoints.latest_step()
        tree = checkpoints.restore(step, {"params": {"kernel": SHAPE}})
    return step, float(tree["params"]["kernel"].mean())


@pytest.mark.slow
def test_checkpoints_are_kept_and_deleted(bucket):
    saved(bucket / "checkpoints", 1, 2, 3, keep=2)
    assert sorted(path.name for path in (bucket / "checkpoints").iterdir()) == ["2", "3"]
    assert restored(bucket / "checkpoints") == (3, 3.0)


@pytest.mark.slow
def test_a_torn_checkpoint_is_set_aside(bucket, caplog):
    saved(bucket / "checkpoints", 1, 2)
    (bucket / "checkpoints" / "2" / "commit_success.txt").unlink()  # the last object that is written
    (bucket / "checkpoints" / "2" / "_CHECKPOINT_METADATA").unlink()
    assert restored(bucket / "checkpoints") == (1, 1.0)
    assert "was not written to its end" in caplog.text
    assert (bucket / "checkpoints.set_aside" / "2.torn" / "digests.json").exists()
    assert [path.name for path in (bucket / "checkpoints").iterdir()] == ["1"]


def test_only_a_torn_checkpoint_is_no_checkpoint(bucket):
    saved(bucket / "checkpoints", 1)
    (bucket / "checkpoints" / "1" / "commit_success.txt").unlink()
    with Checkpoints(bucket / "checkpoints", 9) as checkpoints:
        assert checkpoints.latest_step() is None


@pytest.mark.slow
def test_a_damaged_checkpoint_is_set_aside(bucket, caplog):
    saved(bucket / "checkpoints", 1, 2)
    arrays = max((bucket / "checkpoints" / "2" / "state" / "ocdbt.process_0" / "d").iterdir(), key=size)
    content = bytearray(arrays.read_bytes())
    content[len(content) // 2] ^= 1
    arrays.write_bytes(content)
    assert restored(bucket / "checkpoints") == (1, 1.0)
    assert "2 IS DAMAGED: state/ocdbt.process_0/d/" in caplog.text
    assert (bucket / "checkpoints.set_aside" / "2.damaged").exists()


def size(path):
    return path.stat().length


# ---------------------------------------------------------------- what fails


@pytest.fixture
def short_pauses(monkeypatch):
    """Before they try again, gcsfs and TensorStore wait a fiftieth of a second, and not one, two, four ... seconds."""
    monkeypatch.setattr("gcsfs.retry.min", lambda *seconds: 0.02, raising=False)  # there is no setting for it
    pauses = {"initial_delay": "20ms", "max_delay": "20ms"}
    monkeypatch.setitem(tensorstore_utils._DEFAULT_OCDBT_TS_CONTEXT, "gcs_request_retries", pauses)


@pytest.mark.slow
@pytest.mark.usefixtures("short_pauses")
def test_requests_that_fail_are_made_again(bucket, gcs):
    with gcs.faults(share=0.15) as failed:
        for number in range(4):
            replace_text(bucket / "files" / str(number), "x" * number)
        saved(bucket / "checkpoints", 1)
        assert [(bucket / "files" / str(number)).read_text() for number in range(4)] == ["x" * n for n in range(4)]
        assert restored(bucket / "checkpoints") == (1, 1.0)
    assert failed.total() >= 5


@pytest.mark.slow
@pytest.mark.usefixtures("short_pauses")
def test_tensorstore_makes_requests_again(bucket, gcs):
    failed = []

    def failing(path):
        if "ocdbt" not in path or failed.count(path) == 2:
            return 0
        failed.append(path)
        return 503

    gcs.failing = failing
    saved(bucket / "checkpoints", 1)
    assert restored(bucket / "checkpoints") == (1, 1.0)
    assert failed


def run(verb, *flags, before="pass"):
    """The finished process of a verb, with a line of Python before it starts."""
    program = (
        f"import runpy, sys; sys.argv[0] = 'x'; {before}; runpy.run_module('bert_jax.{verb}', run_name='__main__')"
    )
    return subprocess.run(
        [sys.executable, "-c", program, *flags], cwd=ROOT, capture_output=True, text=True, check=False
    )


def the_error(done):
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    return line


def test_a_bucket_that_is_not_there(gcs):
    line = the_error(run("report", "--workdir=gs://nowhere/run"))
    assert line.startswith("error: gs://nowhere does not exist; ")


def test_a_bucket_of_others(bucket, gcs):
    gcs.failing = lambda path: 403
    line = the_error(run("report", f"--workdir={bucket}/run"))
    assert line.startswith(f"error: {bucket} is not for this account to read or write; ")
    assert "roles/storage.objectUser" in line


def test_an_object_that_may_not_be_written(bucket, gcs):
    (bucket / "text.txt").write_text("one text\n" * 50)
    gcs.failing = lambda path: 403 if path.startswith("/upload/") else 0
    line = the_error(run("build_vocab", f"--input={bucket}/text.txt", f"--output={bucket}/vocab", "--vocab_size=19"))
    assert line.startswith(f"error: {bucket}")
    assert "is not for this account to read or write; " in line


def test_nobody_is_signed_in(bucket, gcs):
    gcs.failing = lambda path: 401
    line = the_error(run("report", f"--workdir={bucket}/run"))
    assert line.startswith(f"error: {bucket} needs an account; sign in with gcloud auth application-default login")


def test_gcsfs_is_not_installed(gcs):
    line = the_error(run("report", "--workdir=gs://bucket/run", before="sys.modules['gcsfs'] = None"))
    assert line == "error: gs://bucket needs gcsfs; run launch/setup.sh gcs"


def test_tensorflow_is_not_used_where_it_is_installed(bucket):
    (bucket / "a").write_text("a")
    program = f"""
import importlib.util, sys, bert_jax
from etils import epath
print(importlib.util.find_spec("tensorflow") is not None, epath.Path("{bucket}/a").read_text(), *sys.modules)"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    installed, content, *modules = done.stdout.split()
    assert content == "a"
    assert installed == "True"
    assert "tensorflow" not in modules


# ---------------------------------------------------------------- the commands


class Cloud:
    """The commands of the project, everything in a bucket, beside the same in local directories (`chain`)."""

    def __init__(self, chain, bucket):
        self.chain, self.bucket = chain, bucket
        (bucket / "text" / "corpus.txt").write_text(chain.corpus.read_text())

    def build(self):
        given, vocab = f"--input={self.bucket}/text/*.txt", f"{self.bucket}/vocab"
        self.chain.run("build_vocab", given, f"--output={vocab}", "--vocab_size=800")
        sizes = ["--max_seq_length=32", "--max_predictions_per_seq=6", "--dupe_factor=2", "--holdout=0.1"]
        output = f"--output={self.bucket}/records-32"
        return self.chain.run("build_records", given, f"--vocab={vocab}", output, *sizes, "--num_workers=2")

    def pretrain_flags(self, cache):
        return [
            f"--config={ROOT}/tests/configs/one_phase.py",
            f"--workdir={self.bucket}/run",
            f"--config.data.records={self.bucket}/records-{{max_seq_length}}",
            f"--config.data.cache_directory={cache}",
        ]

    def pretrain_until_it_writes_a_checkpoint(self, gcs, cache):
        gcs.requests.clear()
        command = [sys.executable, "-m", "bert_jax.pretrain", *self.pretrain_flags(cache)]
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        arrays = re.compile("/upload/.*checkpoints.*ocdbt")
        wait_until(lambda: any(arrays.match(path) for _, path, _ in gcs.requests), 200)
        assert process.poll() is None
        os.kill(process.pid, signal.SIGKILL)
        process.wait()

    def metrics(self):
        return logged(self.bucket / "run" / "metrics.jsonl")


def logged(path):
    """What a log holds, without times."""
    lines = [json.loads(line) for line in epath.Path(path).read_text().splitlines()]
    return [{key: value for key, value in line.items() if key in ("split", "step", "loss")} for line in lines]


@pytest.fixture
def cloud(chain, bucket):
    return Cloud(chain, bucket)


@pytest.mark.slow
def test_records_and_a_run_in_a_bucket(cloud, tmp_path):
    cloud.build()
    for name in ("vocab.txt", "vocabulary.json"):
        assert (cloud.bucket / "vocab" / name).read_bytes() == (cloud.chain.vocab / name).read_bytes()
    local = cloud.chain.records(32)
    files = [path for path in local.rglob("*") if path.is_file() and path.name != "records_report.json"]
    assert len(files) > 8  # the report names the input's place
    for path in files:
        assert (cloud.bucket / "records-32" / str(path.relative_to(local))).read_bytes() == path.read_bytes(), path
    assert not (cloud.bucket / "records-32" / ".parts").exists()
    assert "complete; nothing to do" in cloud.build().stderr

    # Not the tests' own cache of compiled programs, which would be used instead of the run's.
    cloud.chain.run("pretrain", *cloud.pretrain_flags(tmp_path / "cache"), JAX_COMPILATION_CACHE_DIR="")
    assert len(list((tmp_path / "cache").iterdir())) == 2, "copies of both splits' shards"
    names = {path.name for path in (cloud.bucket / "run").iterdir()}
    assert {"config.json", "metrics.jsonl", "report.html", "samples.json", "tensorboard", "tokenizer"} <= names
    assert any((cloud.bucket / "run" / "compilation_cache").iterdir())
    assert [line["step"] for line in cloud.metrics()] == [5, 10, 15, 20, 20]


def test_a_directory_within_an_export_is_there_too(bucket):
    for content in ("1", "2"):  # the second export is in place of the first
        with new_directory(bucket / "vectors") as aside:
            (aside / "1_Pooling").mkdir()
            for name in ("modules.json", "1_Pooling/config.json"):
                (aside / name).write_text(content)
    assert {path.name for path in (bucket / "vectors").iterdir()} == {"1_Pooling", "export.json", "modules.json"}
    assert (bucket / "vectors" / "1_Pooling" / "config.json").read_text() == "2"


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_run_in_a_bucket_that_fails_and_is_killed(cloud, gcs, tmp_path):
    cloud.chain.pretrain(tmp_path / "local")
    cloud.build()
    with gcs.faults(share=0.03) as failed:
        for _ in range(3):
            cloud.pretrain_until_it_writes_a_checkpoint(gcs, tmp_path / "cache")
        done = cloud.chain.run("pretrain", *cloud.pretrain_flags(tmp_path / "cache"))
    assert failed.total() > 10
    assert "trained to step 20" in done.stderr
    assert cloud.metrics() == logged(tmp_path / "local" / "metrics.jsonl")
    shutil.rmtree(tmp_path / "cache")

    scores = json.loads(cloud.chain.run("evaluate", f"--workdir={cloud.bucket}/run").stdout)
    assert scores == json.loads(cloud.chain.run("evaluate", f"--workdir={tmp_path}/local").stdout)
    for _ in range(2):  # the second export is in place of the first
        for place in (cloud.bucket, tmp_path):
            run = cloud.bucket / "run" if place == cloud.bucket else tmp_path / "local"
            cloud.chain.run("export", f"--workdir={run}", "--format=huggingface", f"--output={place}/hf")
    weights = (tmp_path / "hf" / "model.safetensors").read_bytes()
    assert (cloud.bucket / "hf" / "model.safetensors").read_bytes() == weights
    assert {path.name for path in (cloud.bucket / "hf").iterdir()} == {
        path.name for path in (tmp_path / "hf").iterdir()
    }
    cloud.chain.run("report", f"--workdir={cloud.bucket}/run")
