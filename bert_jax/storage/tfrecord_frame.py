"""How TFRecord files frame a record: its length, its data, and a checksum of each.

A frame is length (uint64), masked CRC of the length (uint32), data, masked CRC of the data (uint32), all little-endian
(tensorflow/core/lib/io/record_writer.h). What is in a record is not known here.
"""

import functools
import struct

import google_crc32c

_HEADER = struct.Struct("<QI")
_FOOTER = struct.Struct("<I")
HEADER_BYTES, FOOTER_BYTES = _HEADER.size, _FOOTER.size
FRAMING_BYTES = HEADER_BYTES + FOOTER_BYTES  # of a frame that are not data


def masked_crc(data: bytes) -> int:
    """CRC-32C, rotated right by 15 bits plus a constant (tensorflow/core/lib/hash/crc32c.h)."""
    crc = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def pack_frame(data: bytes) -> bytes:
    """The frame of one record."""
    return b"".join((_header(len(data)), data, _FOOTER.pack(masked_crc(data))))


def data_length(header: bytes) -> int | None:
    """The bytes of data of the frame that begins with `header`; None if that is too short or its CRC does not match."""
    if len(header) < HEADER_BYTES:
        return None
    length, crc = _HEADER.unpack_from(header)
    return length if crc == masked_crc(header[:8]) else None


def frame_data(frame: bytes) -> bytes | None:
    """The data of a frame; None if it is cut off, has more bytes than its header says, or a CRC does not match."""
    if len(frame) < FRAMING_BYTES or data_length(frame) != len(frame) - FRAMING_BYTES:
        return None
    data, (crc,) = frame[HEADER_BYTES:-FOOTER_BYTES], _FOOTER.unpack(frame[-FOOTER_BYTES:])
    return data if crc == masked_crc(data) else None


@functools.lru_cache(maxsize=10_000)  # records have few different lengths
def _header(length: int) -> bytes:
    return _HEADER.pack(length, masked_crc(struct.pack("<Q", length)))
