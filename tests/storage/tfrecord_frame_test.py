import struct

import pytest

from bert_jax.storage.tfrecord_frame import FRAMING_BYTES, HEADER_BYTES, data_length, frame_data, masked_crc, pack_frame


def test_a_frame_as_its_definition_says():
    data = b"some bytes"
    size = struct.pack("<Q", len(data))
    parts = [size, struct.pack("<I", masked_crc(size)), data, struct.pack("<I", masked_crc(data))]
    assert pack_frame(data) == b"".join(parts)


@pytest.mark.parametrize("data", [b"", b"a", bytes(1000)])
def test_round_trip(data):
    frame = pack_frame(data)
    assert len(frame) == len(data) + FRAMING_BYTES
    assert data_length(frame) == data_length(frame[:HEADER_BYTES]) == len(data)
    assert frame_data(frame) == data


def test_any_flipped_bit_and_any_missing_byte_is_seen():
    frame = pack_frame(b"some bytes")
    for place in range(8 * len(frame)):
        damaged = bytearray(frame)
        damaged[place // 8] ^= 1 << place % 8
        assert frame_data(bytes(damaged)) is None
        assert (data_length(bytes(damaged)) is None) == (place < 8 * HEADER_BYTES)
    for length in range(len(frame)):
        assert frame_data(frame[:length]) is None
    assert frame_data(frame + b"\0") is None
    assert data_length(frame[: HEADER_BYTES - 1]) is None
