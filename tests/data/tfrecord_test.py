import errno
import struct
import threading

import numpy as np
import pytest
from etils import epath

from bert_jax.data.shard_index import index_path
from bert_jax.data.tfrecord import TFRecordReader, check_size, shard_name, write_shard
from bert_jax.errors import DamagedRecordError, UserError
from bert_jax.storage.array_file import write_array

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


def test_a_shard_that_should_be_of_another_size(shard):
    check_size(epath.Path(shard), 1325, 1325)
    with pytest.raises(UserError, match="has 1325 bytes and 1300 were written"):
        check_size(epath.Path(shard), 1325, 1300)
    with pytest.raises(UserError, match="has 1325 bytes and 1400 were written"):
        check_size(epath.Path(shard), 1325, 1400)


def test_any_flipped_bit_of_an_index_is_mended_and_logged(shard, caplog):
    good = index_path(shard).read_bytes()
    random = np.random.default_rng(0)
    for bit in sorted({0, 128 * 8, len(good) * 8 - 1, *random.integers(0, len(good) * 8, 200).tolist()}):
        content = bytearray(good)
        content[bit // 8] ^= 1 << bit % 8
        index_path(shard).write_bytes(content)
        caplog.clear()
        reader = TFRecordReader(shard)
        assert {i: reader[i] for i in (3, 1, 0, 2)} == dict(enumerate(RECORDS)), bit
        assert [record.getMessage() for record in caplog.records] == [
            f"{index_path(shard)} does not agree with its shard and is made anew"
        ], bit
        assert index_path(shard).read_bytes() == good, bit


OFFSETS = np.array([0, 21, 37, 1053, 1325])


@pytest.mark.parametrize(
    "wrong",
    [
        OFFSETS.astype(np.int32),
        OFFSETS.astype(np.float64),
        OFFSETS.astype(">i8"),
        OFFSETS.reshape(1, 5),
        OFFSETS[:, None],
        OFFSETS[:0],
        OFFSETS[:1],
        OFFSETS[1:],
        OFFSETS[:-1],
        OFFSETS[[0, 1, 2, 4]],
        OFFSETS[::-1],
        OFFSETS + 1,
        -OFFSETS,
        OFFSETS * 2,
        np.array([0, 21, 37, 1053, 2**62]),
        np.array([0, 2**62, -(2**62), 1053, 1325]),
        np.array([0, 22, 37, 1053, 1325]),
        np.array([0, 21, 1053, 1053, 1325]),
        np.int64(5),
        np.array(["a"]),
    ],
)
@pytest.mark.parametrize("may_be_short", [False, True])
def test_an_index_of_another_kind_is_made_anew_and_logged(shard, caplog, wrong, may_be_short):
    np.save(index_path(shard), wrong)
    reader = TFRecordReader(shard, may_be_short, num_records=4)
    assert [reader[i] for i in range(4)] == RECORDS
    assert caplog.text.count("does not agree with its shard and is made anew") == 1
    assert np.load(index_path(shard)).tolist() == OFFSETS.tolist()


@pytest.mark.parametrize("content", [b"", b"nonsense", b"PK\3\4" + bytes(200), b"\x80\4" + bytes(200), bytes(168)])
def test_an_index_that_is_no_array(shard, caplog, content):
    index_path(shard).write_bytes(content)
    assert [TFRecordReader(shard)[i] for i in range(4)] == RECORDS
    assert "is made anew" in caplog.text


def test_a_good_index_is_believed_without_walking(shard, monkeypatch):
    monkeypatch.setattr("bert_jax.data.tfrecord.find_frames", None)
    assert [TFRecordReader(shard, num_records=4)[i] for i in range(4)] == RECORDS


def test_a_wrong_index_of_a_shard_that_is_cut_off(shard):
    """What is whole is read; the rest is named."""
    shard.write_bytes(shard.read_bytes()[:1100])
    for wrong in (None, OFFSETS * 2, np.array([0, 22, 37, 1053, 2**62]), OFFSETS):
        index_path(shard).unlink(missing_ok=True)
        if wrong is not None:
            np.save(index_path(shard), wrong)
        reader = TFRecordReader(shard, may_be_short=True, num_records=4)
        assert [reader[i] for i in range(3)] == RECORDS[:3]
        with pytest.raises(DamagedRecordError, match="record 3 is cut off"):
            reader[3]


def test_a_frame_that_is_damaged_and_no_index(shard):
    """Where the next frame is, nobody knows."""
    data = bytearray(shard.read_bytes())
    data[37] ^= 1
    shard.write_bytes(data)
    index_path(shard).unlink()
    with pytest.raises(DamagedRecordError, match=r"record 2 is damaged \(CRC mismatch\)"):
        TFRecordReader(shard)[0]
    reader = TFRecordReader(shard, may_be_short=True, num_records=4)
    assert [reader[i] for i in range(2)] == RECORDS[:2]
    for record in (2, 3):
        with pytest.raises(DamagedRecordError, match=f"record {record} is"):
            reader[record]


def test_another_number_of_records(shard):
    with pytest.raises(UserError, match=r"00000-of-00001 holds 4 records and the records\.json beside it says 5"):
        TFRecordReader(shard, num_records=5)[0]


def test_a_full_disk_has_its_number(small_disk):
    disk = small_disk(200)
    with pytest.raises(OSError, match="No space left") as error:
        write_array(disk / "a.npy", np.zeros(100_000, np.int64))
    assert error.value.errno == errno.ENOSPC
    assert list(disk.iterdir()) == []


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
