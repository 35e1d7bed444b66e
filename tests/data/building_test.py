import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from bert_jax.data.building import build_records
from bert_jax.data.manifest import read_manifest
from bert_jax.data.options import RecordOptions
from bert_jax.data.source import RecordSource
from bert_jax.data.tfrecord import TFRecordReader
from bert_jax.errors import UserError
from bert_jax.storage.lock import wait_for_workers
from bert_jax.text.load_tokenizer import load_tokenizer

OPTIONS = {"max_seq_length": 64, "max_predictions_per_seq": 10, "dupe_factor": 2}


def build(text, tokenizer, output, num_workers=2, **options):
    return build_records([str(text)], tokenizer, output, RecordOptions(**{**OPTIONS, **options}), num_workers)


def content(directory):
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def built(text, tokenizer, tmp_path_factory):
    output = tmp_path_factory.mktemp("built") / "records"
    build(text, tokenizer, output, num_parts=3, holdout=0.1)
    return output


def test_what_is_written(built):
    assert sorted(content(built)) == [
        "bert-train.tfrecord-00000-of-00003",
        "bert-train.tfrecord-00001-of-00003",
        "bert-train.tfrecord-00002-of-00003",
        "bert-validation.tfrecord-00000-of-00001",
        "dataset_info.json",
        "features.json",
        "index/bert-train-00000-of-00003.npy",
        "index/bert-train-00000-of-00003.sizes.npy",
        "index/bert-train-00001-of-00003.npy",
        "index/bert-train-00001-of-00003.sizes.npy",
        "index/bert-train-00002-of-00003.npy",
        "index/bert-train-00002-of-00003.sizes.npy",
        "index/bert-validation-00000-of-00001.npy",
        "index/bert-validation-00000-of-00001.sizes.npy",
        "records.json",
        "records_report.json",
        "tokenizer/vocab.txt",
        "tokenizer/vocabulary.json",
    ]


def test_manifest_tells_the_truth(built, tokenizer):
    manifest = read_manifest(built)
    assert (manifest.max_seq_length, manifest.max_predictions_per_seq) == (64, 10)
    assert (manifest.vocab_size, manifest.vocab_fingerprint) == (tokenizer.vocab_size, tokenizer.fingerprint)
    assert load_tokenizer(built / "tokenizer").fingerprint == tokenizer.fingerprint
    for name, split in manifest.splits.items():
        assert split.num_records == len(RecordSource(built, name)) == manifest.statistics[name]["instances"]
        for shard in split.shards:
            assert (built / shard.file).stat().st_size == shard.bytes
            assert len(TFRecordReader(built / shard.file)) == shard.num_records


def test_sizes_are_those_of_the_records(built):
    source = RecordSource(built, "train")
    records = [source[number] for number in range(len(source))]
    counted = [(int(one["input_mask"].sum()), int(one["masked_lm_weights"].sum())) for one in records]
    assert source.sizes().tolist() == [list(size) for size in counted]
    assert len({tokens for tokens, _ in counted}) > 5


def test_statistics_are_those_of_the_records(built, tokenizer):
    source = RecordSource(built, "train")
    counts = read_manifest(built).statistics["train"]
    records = [source[number] for number in range(len(source))]
    assert counts["filled"] == sum(int(record["input_mask"].sum()) for record in records)
    assert counts["random_next"] == sum(int(record["next_sentence_labels"][0]) for record in records)
    assert counts["predictions"] == sum(int(record["masked_lm_weights"].sum()) for record in records)
    seen = np.concatenate([r["input_ids"][r["masked_lm_positions"][r["masked_lm_weights"] > 0]] for r in records])
    assert counts["masked"] == np.sum(seen == tokenizer.mask_id)
    assert counts["masked"] + counts["kept"] + counts["replaced"] == counts["predictions"]


def test_held_out_documents_are_gone_through_once(built):
    statistics = read_manifest(built).statistics
    per_document = {name: counts["filled"] / counts["tokens"] for name, counts in statistics.items()}
    assert per_document["train"] > 1.5 * per_document["validation"]


def test_one_worker_writes_the_same_bytes(built, text, tokenizer, tmp_path):
    build(text, tokenizer, tmp_path / "records", num_workers=1, num_parts=3, holdout=0.1)
    assert content(tmp_path / "records") == content(built)


def test_part_is_made_as_if_it_were_the_corpus(built, text, tokenizer, tmp_path):
    documents = text.read_text(encoding="utf-8").split("\n\n")
    build(text, tokenizer, tmp_path / "parts", num_parts=3)
    (tmp_path / "second.txt").write_text("\n\n".join(documents[1::3]), encoding="utf-8")
    build(tmp_path / "second.txt", tokenizer, tmp_path / "alone")
    part = (tmp_path / "parts" / "bert-train.tfrecord-00001-of-00003").read_bytes()
    assert part == (tmp_path / "alone" / "bert-train.tfrecord-00000-of-00001").read_bytes()


def test_same_again_does_nothing(built, text, tokenizer):
    before = {path: path.stat().st_mtime_ns for path in built.rglob("*")}
    build(text, tokenizer, built, num_parts=3, holdout=0.1)
    assert {path: path.stat().st_mtime_ns for path in built.rglob("*")} == before


def test_other_options_or_text_or_vocabulary_refuse(built, text, vocab, tokenizer, tmp_path):
    before = content(built)
    with pytest.raises(UserError, match="made with --dupe_factor=2, not 3; give another --output"):
        build(text, tokenizer, built, num_parts=3, holdout=0.1, dupe_factor=3)
    (tmp_path / "topics.txt").write_text("other\n\ntext\n")
    with pytest.raises(UserError, match="other text than --input"):
        build(tmp_path / "topics.txt", tokenizer, built, num_parts=3, holdout=0.1)
    with pytest.raises(UserError, match="made with vocabulary"):
        build(text, load_tokenizer(vocab, do_lower_case=False), built, num_parts=3, holdout=0.1)
    assert content(built) == before


def test_foreign_shards_are_not_overwritten(text, tokenizer, tmp_path):
    (tmp_path / "theirs.tfrecord").write_bytes(b"precious")
    with pytest.raises(UserError, match="TFRecord files of another origin"):
        build(text, tokenizer, tmp_path)
    assert content(tmp_path) == {"theirs.tfrecord": b"precious"}


def test_foreign_shards_are_seen_in_a_directory_whose_name_is_a_pattern(text, tokenizer, tmp_path):
    (tmp_path / "of[1]").mkdir()
    (tmp_path / "of[1]" / "theirs.tfrecord").write_bytes(b"precious")
    with pytest.raises(UserError, match="TFRecord files of another origin"):
        build(text, tokenizer, tmp_path / "of[1]")


def test_an_earlier_builds_plan_is_gone_before_the_text_is_cut_for_another(text, tokenizer, tmp_path, monkeypatch):
    """Or else, killed just then, the parts of one build would lie beside the plan of the other."""
    monkeypatch.setattr("bert_jax.data.building.LocalWorkers.build_shards", stop)
    with pytest.raises(StoppedError):
        build(text, tokenizer, tmp_path)
    plan = tmp_path / ".parts" / "plan.json"
    assert plan.exists()
    monkeypatch.setattr("bert_jax.data.cutting.cut_into_parts", lambda *_: stop() if not plan.exists() else None)
    with pytest.raises(StoppedError):
        build(text, tokenizer, tmp_path, dupe_factor=3)


class StoppedError(Exception):
    """In the place of a kill."""


def stop(*_):
    raise StoppedError


@pytest.mark.parametrize("existed", [True, False])
def test_unusable_text_leaves_nothing(tokenizer, tmp_path, existed):
    (tmp_path / "text.txt").write_bytes(b"good\n\nbad \xff\n")
    output = tmp_path / "records"
    if existed:
        output.mkdir()
    with pytest.raises(UserError, match="not UTF-8"):
        build(tmp_path / "text.txt", tokenizer, output)
    assert output.exists() == existed
    assert content(tmp_path) == {"text.txt": b"good\n\nbad \xff\n"}


def test_mistake_found_by_a_worker_is_reported(tokenizer, tmp_path):
    (tmp_path / "text.txt").write_text("words\n\n\x01\n\n\x02\n")
    with pytest.raises(UserError, match="train part 0 has 1 documents that hold any token"):
        build(tmp_path / "text.txt", tokenizer, tmp_path / "records")
    assert not list((tmp_path / "records").glob("*.tfrecord*"))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_seq_length", 4),
        ("max_predictions_per_seq", 0),
        ("dupe_factor", 0),
        ("masked_lm_prob", 1.5),
        ("short_seq_prob", -0.1),
        ("num_parts", 0),
        ("holdout", 1.0),
    ],
)
def test_senseless_options(text, tokenizer, tmp_path, name, value):
    with pytest.raises(UserError, match=f"--{name}={value} must be between"):
        build(text, tokenizer, tmp_path / "records", **{name: value})
    assert not (tmp_path / "records").exists()


@pytest.mark.slow
def test_killed_run_goes_on_from_its_finished_shards(text, vocab, tokenizer, tmp_path):
    options = {"num_parts": 8, "dupe_factor": 20}
    build(text, tokenizer, tmp_path / "whole", **options)
    output = tmp_path / "killed"
    command = [sys.executable, "-m", "bert_jax.build_records", f"--input={text}", f"--vocab={vocab}"]
    flags = {**OPTIONS, **options, "output": output, "num_workers": 2}
    process = subprocess.Popen([*command, *(f"--{name}={value}" for name, value in flags.items())])
    while len(list(output.glob(".parts/*.done.json"))) < 2:
        assert process.poll() is None
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    wait_for_workers(output / ".parts")
    assert not (output / "records.json").exists()
    finished = {path: path.stat().st_mtime_ns for path in _finished(output)}
    assert 2 <= len(finished) < 8
    with pytest.raises(UserError, match="--dupe_factor=20, not 3"):
        build(text, tokenizer, output, **{**options, "dupe_factor": 3})
    build(text, tokenizer, output, **options)
    assert {path: path.stat().st_mtime_ns for path in finished} == finished
    assert content(output) == content(tmp_path / "whole")


def _finished(output):
    done = output.glob(".parts/*.done.json")
    return [output / json.loads(path.read_text())["shard"]["file"] for path in done]
