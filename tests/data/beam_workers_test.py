import bz2
import concurrent.futures
import importlib.util
import os
import signal
import subprocess
import sys
import time
from html import escape
from pathlib import Path
from pydoc_data.topics import topics

import pytest
from etils import epath

from bert_jax.data import cutting
from bert_jax.data.beam_workers import BeamWorkers, build_part, parse_beam_options
from bert_jax.data.building import build_records
from bert_jax.data.options import RecordOptions
from bert_jax.data.parts import cut_into_parts
from bert_jax.errors import UserError
from bert_jax.text.corpus import Corpus, documents
from bert_jax.text.mediawiki import MediaWikiDump

OPTIONS = RecordOptions(max_seq_length=64, max_predictions_per_seq=10, dupe_factor=2, num_parts=3, holdout=0.1)
HERE = "--direct_num_workers=1"  # Beam's local runner in this process

beam = pytest.mark.skipif(importlib.util.find_spec("apache_beam") is None, reason="apache-beam is not installed")


def build(text, tokenizer, output, beam_options=None, options=OPTIONS):
    parsed = parse_beam_options("local" if beam_options is None else "beam", beam_options or "", 2)
    return build_records([str(text)], tokenizer, output, options, num_workers=2, beam_options=parsed)


def content(directory):
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def built(text, tokenizer, tmp_path_factory):
    """The records as processes of this machine make them, without Beam."""
    output = tmp_path_factory.mktemp("built") / "records"
    build(text, tokenizer, output)
    return output


@pytest.fixture
def command(text, vocab):
    """The command that makes the records of `built`; what is added are further flags."""
    given = {"input": text, "vocab": vocab, "runner": "beam", "num_workers": 2}
    given |= {"max_seq_length": 64, "max_predictions_per_seq": 10, "dupe_factor": 2, "num_parts": 3, "holdout": 0.1}
    return [sys.executable, "-m", "bert_jax.build_records", *(f"--{name}={value}" for name, value in given.items())]


@pytest.fixture
def cut(text, tokenizer, tmp_path):
    """An output directory whose parts are cut: the directory, its .parts, and the parts."""
    output = epath.Path(tmp_path) / "records"
    tokenizer.save(output / "tokenizer")
    parts = cut_into_parts(output / ".parts", documents([str(text)]), OPTIONS, "text")
    return output, output / ".parts", parts


@beam
@pytest.mark.parametrize(
    "beam_options",
    [
        HERE,
        "--direct_num_workers=2 --direct_running_mode=multi_threading",
        # A job server, and workers who know the pipeline from its messages only: what Flink and Spark are sent.
        "--runner=PortableRunner --job_endpoint=embed --environment_type=LOOPBACK",
    ],
)
def test_same_bytes_as_without_beam(built, text, tokenizer, tmp_path, beam_options):
    build(text, tokenizer, tmp_path / "records", beam_options)
    assert content(tmp_path / "records") == content(built)


@pytest.fixture
def dumps(tmp_path):
    """The same text as a wiki's pages, in two files of a dump, with a page that is no article."""
    pages = [f"<page><ns>0</ns><revision><text>{escape(topics[name])}</text></revision></page>" for name in topics]
    for number in (0, 1):
        content = "".join([*pages[number::2], "<page><ns>1</ns><revision><text>Talk.</text></revision></page>"])
        path = tmp_path / f"enwiki-pages-articles{number}.xml-p{number}p99.bz2"
        path.write_bytes(bz2.compress(f"<mediawiki>{content}</mediawiki>".encode()))
    return tmp_path / "enwiki-*.bz2"


@pytest.mark.slow
@beam
@pytest.mark.skipif(importlib.util.find_spec("mwparserfromhell") is None, reason="mwparserfromhell is not installed")
def test_dumps_are_cleaned_by_beam_too(dumps, tokenizer, tmp_path, monkeypatch):
    build(dumps, tokenizer, tmp_path / "local")
    monkeypatch.delattr(MediaWikiDump, "documents")  # in this process; the workers are others
    build(dumps, tokenizer, tmp_path / "beam", "")  # Beam's local runner in two processes
    assert content(tmp_path / "beam") == content(tmp_path / "local")


@beam
@pytest.mark.skipif(importlib.util.find_spec("mwparserfromhell") is None, reason="mwparserfromhell is not installed")
def test_damaged_dump_is_named_and_the_others_stay_cleaned(dumps, tokenizer, tmp_path):
    damaged = tmp_path / "enwiki-pages-articles1.xml-p1p99.bz2"
    good = damaged.read_bytes()
    damaged.write_bytes(good[:-1000])
    for _ in range(2):
        with pytest.raises(UserError, match=r"enwiki-pages-articles1\.xml-p1p99\.bz2 is truncated or damaged"):
            build(dumps, tokenizer, tmp_path / "records", HERE)
    (cleaned,) = (tmp_path / "records" / ".parts").glob("*.cleaned")
    before = cleaned.stat().st_mtime_ns
    damaged.write_bytes(good)
    corpus = Corpus([str(dumps)])
    BeamWorkers(parse_beam_options("beam", HERE, 1)).clean_dumps(corpus, epath.Path(tmp_path) / "records" / ".parts")
    assert cleaned.stat().st_mtime_ns == before
    assert list(corpus.documents()) == list(Corpus([str(dumps)]).documents())


@beam
@pytest.mark.skipif(importlib.util.find_spec("mwparserfromhell") is None, reason="mwparserfromhell is not installed")
def test_dumps_stay_cleaned_when_the_cutting_is_interrupted(dumps, tokenizer, tmp_path, monkeypatch):
    def interrupted(*_):
        (tmp_path / "records" / ".parts" / "part").write_text("half a part")
        raise KeyboardInterrupt

    monkeypatch.setattr(cutting, "cut_into_parts", interrupted)
    with pytest.raises(KeyboardInterrupt):
        build(dumps, tokenizer, tmp_path / "records", HERE)
    left = list((tmp_path / "records" / ".parts").iterdir())
    assert len(left) == 2
    assert {path.suffix for path in left} == {".cleaned"}


@pytest.mark.slow
@beam
def test_killed_run_goes_on_from_its_finished_shards(built, command, text, tokenizer, tmp_path):
    output = tmp_path / "records"
    process = subprocess.Popen([*command, f"--output={output}", "--dupe_factor=40", "--num_parts=6"])
    while len(list(output.glob(".parts/*.done.json"))) < 2:
        assert process.poll() is None
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    finished = {path: path.stat().st_mtime_ns for path in output.glob(".parts/*.done.json")}
    shards = {path: path.stat().st_mtime_ns for path in output.glob("*.tfrecord*")}
    assert len(finished) >= 2
    options = RecordOptions(**{**vars(OPTIONS), "dupe_factor": 40, "num_parts": 6})
    build(text, tokenizer, output, HERE, options)
    assert len(set(shards.items()) & {(path, path.stat().st_mtime_ns) for path in shards}) >= 2
    build(text, tokenizer, tmp_path / "local", options=options)
    assert content(output) == content(tmp_path / "local")


@beam
def test_mistake_of_the_text_is_one_line_and_not_tried_again(command, tmp_path):
    (tmp_path / "text.txt").write_text("words\n\n\x01\n\n\x02\n")
    flags = [f"--input={tmp_path / 'text.txt'}", f"--output={tmp_path / 'records'}", "--num_parts=1", "--holdout=0"]
    flags.append(f"--beam_options={HERE}")
    done = subprocess.run([*command, *flags], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("error: train part 0 has 1 documents that hold any token")
    assert not list((tmp_path / "records").glob("*.tfrecord*"))


@beam
def test_worker_that_does_not_see_the_output(cut):
    output, work, parts = cut
    (work / parts[1].file).unlink()
    with pytest.raises(UserError, match=r"pipeline failed .*train-00001\.jsonl: --output must be where every"):
        BeamWorkers(parse_beam_options("beam", HERE, 1)).build_shards(output, parts, OPTIONS)


@beam
def test_mistake_of_an_earlier_run_is_forgotten(cut):
    output, work, parts = cut
    text = (work / parts[1].file).read_bytes()
    (work / parts[1].file).write_bytes(b'["\\u0001"]\n' * parts[1].documents)
    for _ in range(2):
        with pytest.raises(UserError, match="train part 1 has 0 documents that hold any token"):
            BeamWorkers(parse_beam_options("beam", HERE, 1)).build_shards(output, parts, OPTIONS)
    (work / parts[1].file).write_bytes(text)
    BeamWorkers(parse_beam_options("beam", HERE, 1)).build_shards(output, parts, OPTIONS)
    assert len(list(output.glob("*.tfrecord*"))) == len(parts)


def test_part_may_be_built_at_several_places_at_once_and_again(built, cut):
    output, _, parts = cut
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for attempt in [pool.submit(build_part, parts[0], str(output), OPTIONS) for _ in range(8)]:
            attempt.result()
    shard = output / "bert-train.tfrecord-00000-of-00003"
    assert [path.name for path in output.glob("*.tfrecord*")] == [shard.name]
    assert shard.read_bytes() == (built / shard.name).read_bytes()
    index = "index/bert-train-00000-of-00003.npy"
    assert (output / index).read_bytes() == (built / index).read_bytes()
    before = Path(shard).stat().st_mtime_ns
    build_part(parts[0], str(output), OPTIONS)
    assert Path(shard).stat().st_mtime_ns == before


def test_attempt_that_dies_leaves_no_shard(cut, monkeypatch):
    output, _, parts = cut
    # The disk is full when the worker hands its shard over.
    monkeypatch.setattr("shutil.copyfileobj", _full_at_third_file())
    with pytest.raises(OSError, match="No space left"):
        build_part(parts[0], str(output), OPTIONS)
    monkeypatch.undo()
    assert not list(output.glob("*.tfrecord*"))
    build_part(parts[0], str(output), OPTIONS)
    assert len(list(output.glob("*.tfrecord*"))) == 1


def _full_at_third_file():
    import shutil

    copy, files = shutil.copyfileobj, []

    def fill(source, target):
        files.append(target)
        if len(files) == 3:  # part, index, shard
            target.write(source.read(100))
            raise OSError(28, "No space left on device")
        copy(source, target)

    return fill


@beam
@pytest.mark.parametrize(
    ("beam_options", "complaint"),
    [
        ("--runner=Nonsense", "Unexpected pipeline runner: Nonsense"),
        ("--direct_num_workers=many", "argument --direct_num_workers: invalid int value"),
        ("--name='", "No closing quotation"),
    ],
)
def test_senseless_beam_options(beam_options, complaint):
    with pytest.raises(UserError, match=f"--beam_options=.*{complaint}"):
        parse_beam_options("beam", beam_options, 1)


def test_beam_options_without_beam(monkeypatch):
    assert parse_beam_options("local", "", 1) is None
    with pytest.raises(UserError, match="without --runner=beam"):
        parse_beam_options("local", "--runner=DataflowRunner", 1)
    monkeypatch.setitem(sys.modules, "apache_beam", None)  # as if it were not installed
    with pytest.raises(UserError, match=r"run launch/setup.sh beam"):
        parse_beam_options("beam", "", 1)
