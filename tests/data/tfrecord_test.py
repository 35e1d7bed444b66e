import struct
import threading

import numpy as np
import pytest

from bert_jax.data.tfrecord import TFRecordReader, index_path, shard_name, write_shard
from bert_jax.errors import UserError

RECORDS = [b"first", b"", b"x" * 1000, bytes(range(256))]


@pytest.fixture
def shard(tmp_path):
    path = tmp_path / shard_name("train", 0, 1)
    with write_shard(path) as writer:
        for record in RECORDS:
            writer.write(record)
    return path


def crc32c(data):
    """Bit by bit, from the polynomial."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def read_sequentially(path):
    """The format as its specification has it, independent of the reader under test."""
    assert crc32c(b"123456789") == 0xE3069283  # the check value of CRC-32C
    data, records = path.read_bytes(), []
    while data:
        (length,) = struct.unpack("<Q", data[:8])
        body = data[12 : 12 + length]
        for part, crc in ((data[:8], data[8:12]), (body, data[12 + length : 16 + length])):
            masked = (((crc32c(part) >> 15) | (crc32c(part) << 17)) + 0xA282EAD8) % 2**32
            assert struct.unpack("<I", crc)[0] == masked
        records.append(body)
        data = data[16 + length :]
    return records


def test_names():
    assert shard_name("train", 3, 12) == "bert-train.tfrecord-00003-of-00012"
    assert index_path("d/bert-train.tfrecord-00003-of-00012").name == "bert-train-00003-of-00012.npy"


def test_written_records_are_read_at_random(shard):
    assert read_sequentially(shard) == RECORDS
    reader = TFRecordReader(shard)
    assert len(reader) == 4
    assert [reader[i] for i in (2, 0, 3, 1)] == [RECORDS[i] for i in (2, 0, 3, 1)]


def test_index_is_made_for_a_foreign_shard(shard):
    index_path(shard).unlink()
    assert [TFRecordReader(shard)[i] for i in range(4)] == RECORDS
    assert np.load(index_path(shard)).tolist() == [0, 21, 37, 1053, 1325]


def test_index_is_made_where_it_cannot_be_kept(shard):
    index_path(shard).unlink()
    index_path(shard).parent.rmdir()
    index_path(shard).parent.write_text("a file is in the way")
    assert [TFRecordReader(shard)[i] for i in range(4)] == RECORDS


@pytest.mark.parametrize("byte", [0, 9, 12 + 2, 21 - 1])
def test_flipped_bit_names_file_and_record(shard, byte):
    data = bytearray(shard.read_bytes())
    data[37 + byte] ^= 16
    shard.write_bytes(data)
    reader = TFRecordReader(shard)
    assert reader[0] == RECORDS[0]
    with pytest.raises(UserError, match=r"00000-of-00001: record 2 is damaged \(CRC mismatch\); rebuild"):
        reader[2]


@pytest.mark.parametrize("with_index", [True, False])
def test_truncation_names_file_and_record(shard, with_index):
    shard.write_bytes(shard.read_bytes()[:500])
    if not with_index:
        index_path(shard).unlink()
    with pytest.raises(UserError, match=r"00000-of-00001: record 2 is cut off; rebuild"):
        TFRecordReader(shard)[0]


def test_shard_that_is_not_the_indexed_one(shard):
    shard.write_bytes(shard.read_bytes() * 2)
    with pytest.raises(UserError, match="2650 bytes where 1325 were written"):
        TFRecordReader(shard)[0]


def test_damaged_index(shard):
    index_path(shard).write_bytes(b"nonsense")
    with pytest.raises(UserError, match="npy is damaged; delete it"):
        TFRecordReader(shard)[0]


def test_failed_writing_leaves_nothing(tmp_path):
    def fail():
        with write_shard(tmp_path / "t.tfrecord") as writer:
            writer.write(b"abc")
            assert not list(tmp_path.glob("*.tfrecord*"))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_threads_share_a_reader(shard):
    reader, wrong = TFRecordReader(shard), []

    def read():
        wrong.extend(i for _ in range(200) for i in range(4) if reader[i] != RECORDS[i])

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
