"""Each mistake ends in one line that names the file or flag and the remedy, and leaves what was there untouched."""

import lzma
import shutil

import numpy as np
import pytest

from bert_jax.data.batches import record_ids
from bert_jax.data.schema import RecordFormat
from bert_jax.data.tfrecord import TFRecordReader, write_shard

pytestmark = pytest.mark.timeout(600)


def refused(done, *words):
    """Check that the command failed with one error line, without a traceback, that has all these words."""
    assert done.returncode not in (0, None)
    assert "Traceback" not in done.stderr
    line = done.stderr.strip().splitlines()[-1]
    assert line.startswith("error: "), done.stderr
    assert len([text for text in done.stderr.splitlines() if text.startswith("error: ")]) == 1
    for word in words:
        assert str(word) in line, line


def contents(directory):
    """Every file below a directory, with its bytes."""
    return {path: path.read_bytes() for path in sorted(directory.rglob("*")) if path.is_file()}


def build_records(chain, output, *flags):
    return chain.run(
        "build_records", f"--vocab={chain.vocab}", f"--output={output}", "--num_workers=1", *flags, check=False
    )


def test_missing_input(chain, tmp_path):
    refused(build_records(chain, tmp_path / "out", f"--input={tmp_path}/nothing*.txt"), f"{tmp_path}/nothing*.txt")
    assert not (tmp_path / "out").exists()


def test_empty_input(chain, tmp_path):
    (tmp_path / "empty.txt").write_text("\n \n")
    refused(build_records(chain, tmp_path / "out", f"--input={tmp_path}/empty.txt"), "empty.txt")
    vocabulary = [f"--input={tmp_path}/empty.txt", f"--output={tmp_path}/v", "--kind=wordpiece", "--vocab_size=100"]
    refused(chain.run("build_vocab", *vocabulary, check=False), "empty.txt")
    assert not (tmp_path / "v").exists()


def test_text_that_is_not_utf8(chain, tmp_path):
    with lzma.open(tmp_path / "latin.txt.xz", "wb") as file:
        file.write("plain line\ncafé\n".encode("latin-1"))
    refused(
        build_records(chain, tmp_path / "out", f"--input={tmp_path}/latin.txt.xz"), "latin.txt.xz", "line 2", "UTF-8"
    )


def test_a_single_document(chain, tmp_path):
    (tmp_path / "one.txt").write_text("First sentence here.\nSecond sentence here.\n")
    refused(build_records(chain, tmp_path / "out", f"--input={tmp_path}/one.txt"), "document", "blank line")


def test_records_of_other_options_are_not_mixed(chain):
    before = contents(chain.records(32))
    flags = ["--max_seq_length=32", "--max_predictions_per_seq=6", "--dupe_factor=3", "--holdout=0.1"]
    refused(
        build_records(chain, chain.records(32), f"--input={chain.corpus}", *flags), chain.records(32), "dupe_factor"
    )
    assert contents(chain.records(32)) == before


def test_records_of_another_vocabulary_size(chain, tmp_path):
    refused(chain.pretrain(tmp_path / "w", "--config.model.vocab_size=999", check=False), "999", "800", "vocab")
    assert not (tmp_path / "w").exists()


def test_records_of_another_length(chain, tmp_path):
    done = chain.pretrain(tmp_path / "w", f"--config.data.records={chain.records(64)}", check=False)
    refused(done, "max_seq_length=32", "64")


@pytest.fixture
def run(finished_run, tmp_path):
    """A copy of a finished run."""
    return shutil.copytree(finished_run, tmp_path / "run")


def test_a_workdir_of_another_vocabulary(chain, run, tmp_path):
    other = tmp_path / "vocab"
    flags = [f"--input={chain.corpus}", f"--output={other}", "--kind=wordpiece", "--vocab_size=800", "--nolowercase"]
    chain.run("build_vocab", *flags)
    records = tmp_path / "records"
    flags = ["--max_seq_length=32", "--max_predictions_per_seq=6", "--dupe_factor=1", f"--input={chain.corpus}"]
    chain.run("build_records", f"--vocab={other}", f"--output={records}", *flags)
    before = contents(run)
    refused(chain.pretrain(run, f"--config.data.records={records}", check=False), run, "vocabulary")
    refused(chain.run("evaluate", f"--workdir={run}", f"--records={records}", check=False), records, "vocab")
    assert contents(run) == before


@pytest.fixture
def copied_records(chain, tmp_path):
    shutil.copytree(chain.records(32), tmp_path / "records")
    return tmp_path / "records"


def test_a_flipped_bit(chain, copied_records, tmp_path):
    shard = next(copied_records.glob("bert-train.tfrecord*"))
    (index,) = (np.load(path) for path in copied_records.glob("index/bert-train-*-of-00001.npy"))
    number = record_ids(4, [7], 16, len(index) - 1, 0)[0]  # in the fifth step's batch
    data = bytearray(shard.read_bytes())
    data[index[number] + 100] ^= 1
    shard.write_bytes(bytes(data))
    done = chain.pretrain(tmp_path / "w", f"--config.data.records={copied_records}", check=False)
    refused(done, shard.name, "record ", "CRC")


@pytest.mark.slow
def test_a_negative_id_of_another_program(chain, copied_records, tmp_path):
    (copied_records / "records.json").unlink()
    shard = next(copied_records.glob("bert-train.tfrecord*"))
    reader, record_format = TFRecordReader(shard), RecordFormat(32, 6)
    number = int(record_ids(4, [7], 16, len(reader), 0)[0])  # in the fifth step's batch
    contents = [reader[record] for record in range(len(reader))]
    record = record_format.parse(contents[number])
    record["input_ids"][3] = -3
    contents[number] = record_format.serialize(record)
    with write_shard(shard) as writer:
        for content in contents:
            writer.write(content)
    flags = [f"--config.data.records={copied_records}"]
    done = chain.pretrain(tmp_path / "w", *flags, check=False)
    refused(done, shard.name, f"record {number}: input_ids holds -3, which is not from 0 to 799")
    done = chain.pretrain(tmp_path / "other", *flags, "--config.data.skip_corrupt=1")
    assert f"skipped, 1 of at most 1: {shard}: record {number}: input_ids holds -3" in done.stderr


def test_a_damaged_index(chain, copied_records, tmp_path):
    (index,) = copied_records.glob("index/bert-train-*-of-00001.npy")
    good = index.read_bytes()
    content = bytearray(good)
    content[-9] ^= 64  # a very large number: the last record's place
    index.write_bytes(content)
    done = chain.pretrain(tmp_path / "w", f"--config.data.records={copied_records}")
    assert done.stderr.count(f"{index} does not agree with its shard and is made anew") == 1
    assert index.read_bytes() == good


def test_a_truncated_shard(chain, copied_records, tmp_path):
    shard = next(copied_records.glob("bert-train.tfrecord*"))
    shard.write_bytes(shard.read_bytes()[:-1000])
    done = chain.pretrain(tmp_path / "w", f"--config.data.records={copied_records}", check=False)
    refused(done, shard.name, "record ")
    assert not (tmp_path / "w").exists()


def test_missing_records(chain, tmp_path):
    refused(chain.pretrain(tmp_path / "w", f"--config.data.records={tmp_path}/none", check=False), f"{tmp_path}/none")


def test_a_key_that_does_not_exist(chain, tmp_path):
    refused(chain.pretrain(tmp_path / "w", "--config.model.hiden_size=3", check=False), "config.model.hiden_size")


def test_a_batch_that_does_not_divide(chain, tmp_path):
    """Fifteen rows in two accumulation steps; batches and meshes are in parallel/mesh_test.py."""
    flags = ["--config.phases[0].global_batch_size=15", "--config.train.accumulation_steps=2"]
    refused(chain.pretrain(tmp_path / "w", *flags, check=False), "global_batch_size=15", "accumulation_steps=2")


def test_a_mesh_that_the_devices_cannot_form(chain, tmp_path):
    refused(chain.pretrain(tmp_path / "w", "--config.mesh.tensor=3", check=False), "--config.mesh", "1 device")
    assert not (tmp_path / "w").exists()


def test_a_workdir_of_another_config(chain, run):
    before = contents(run)
    done = chain.pretrain(run, "--config.optimizer.learning_rate=0.5", check=False)
    refused(done, run, "optimizer.learning_rate=0.002, not 0.5")
    assert contents(run) == before


def test_a_checkpoint_directory_of_another_architecture(chain, run):
    config = (run / "config.json").read_text()
    (run / "config.json").write_text(config.replace('"hidden_size": 32', '"hidden_size": 16'))
    done = chain.pretrain(run, "--config.model.hidden_size=16", check=False)
    refused(done, "checkpoints/20", "another architecture")


def test_a_full_disk_while_training(chain, small_disk):
    """Each checkpoint is about 0.6 MB."""
    disk = small_disk(3000)
    flags = ["--config.train.checkpoint_every_steps=2", "--config.train.keep_checkpoints=9"]
    refused(chain.pretrain(disk / "w", *flags, check=False), "no space left", disk)


def test_a_full_disk_while_building(chain, small_disk):
    disk = small_disk(3000)
    (disk / "filler").write_bytes(bytes(2_900_000))
    flags = ["--max_seq_length=64", "--dupe_factor=9", f"--input={chain.corpus}"]
    refused(build_records(chain, disk / "out", *flags), "no space left")
    assert not list(disk.glob("out/*.tfrecord*"))
