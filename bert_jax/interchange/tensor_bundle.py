"""TensorFlow's checkpoint files, which it calls a tensor bundle, read and written without TensorFlow.

PREFIX.data-00000-of-00001 holds the bytes of all arrays. PREFIX.index says where each lies: a table of sorted keys in
LevelDB's format (google/leveldb doc/table_format.md), uncompressed, whose values are the protocol buffers declared
below and whose key "" holds the header (tensorflow/core/util/tensor_bundle/tensor_bundle.cc). Knows nothing of BERT.
"""

import math
import struct
from collections.abc import Iterator, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from etils import epath
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format

from bert_jax.errors import UserError
from bert_jax.storage.tfrecord_frame import masked_crc

# The fields in use of tensorflow/core/protobuf/tensor_bundle.proto, with tensor_shape.proto and versions.proto.
_SCHEMA = """
name: "bert_jax/tensor_bundle.proto" package: "bert_jax" syntax: "proto3"
message_type { name: "Version" field { name: "producer" number: 1 type: TYPE_INT32 } }
message_type { name: "Dim" field { name: "size" number: 1 type: TYPE_INT64 } }
message_type {
  name: "Shape"
  field { name: "dim" number: 2 type: TYPE_MESSAGE type_name: ".bert_jax.Dim" label: LABEL_REPEATED }
}
message_type {
  name: "Header"
  field { name: "num_shards" number: 1 type: TYPE_INT32 }
  field { name: "endianness" number: 2 type: TYPE_INT32 }  # 0: little
  field { name: "version" number: 3 type: TYPE_MESSAGE type_name: ".bert_jax.Version" }
}
message_type {
  name: "Entry"
  field { name: "dtype" number: 1 type: TYPE_INT32 }
  field { name: "shape" number: 2 type: TYPE_MESSAGE type_name: ".bert_jax.Shape" }
  field { name: "shard_id" number: 3 type: TYPE_INT32 }
  field { name: "offset" number: 4 type: TYPE_INT64 }
  field { name: "size" number: 5 type: TYPE_INT64 }
  field { name: "crc32c" number: 6 type: TYPE_FIXED32 }
  field { name: "slices" number: 7 type: TYPE_BYTES label: LABEL_REPEATED }  # where a partitioned variable lies
}
"""
_POOL = descriptor_pool.DescriptorPool()  # our own: TensorFlow, if it is loaded too, has the default one
_POOL.Add(text_format.Parse(_SCHEMA, descriptor_pb2.FileDescriptorProto()))
_Header, _Entry = (
    message_factory.GetMessageClass(_POOL.FindMessageTypeByName(f"bert_jax.{name}")) for name in ("Header", "Entry")
)

# tensorflow/core/framework/types.proto
_DTYPES = {
    1: np.dtype("<f4"),
    2: np.dtype("<f8"),
    3: np.dtype("<i4"),
    9: np.dtype("<i8"),
    14: np.dtype(jnp.bfloat16),
    19: np.dtype("<f2"),
}
_TRAILER = struct.Struct("<BI")  # of a table's block: kind of compression (0: none), CRC
_FOOTER = struct.Struct("<40sQ")  # of a table: where its two directories lie, magic number
_MAGIC = 0xDB4775248B80FB57
_LONGEST_NAME = 1000


class TensorBundle:
    """The arrays of a checkpoint, each read when it is asked for.

    Attributes:
        shapes: the shape of every array by name, in order of the names.
    """

    def __init__(self, prefix: epath.PathLike) -> None:
        """Read PREFIX.index; UserError if it is absent or damaged."""
        self._prefix = str(prefix)
        index = epath.Path(f"{prefix}.index")
        if not index.exists():
            raise UserError(f"{index} does not exist; give the path of a TensorFlow checkpoint, without .index")
        header, self._entries = _read_index(index)
        if header.endianness != 0:
            raise UserError(f"{index} was written on a big-endian machine; save it again on a common one")
        self._num_shards = header.num_shards
        self._lengths: dict[epath.Path, int] = {}  # of the files of data, in bytes
        self.shapes = {name: tuple(dim.size for dim in entry.shape.dim) for name, entry in self._entries.items()}

    def read(self, name: str) -> np.ndarray:
        """The array called `name`; UserError if its bytes are damaged, or not numbers."""
        entry, file = self._entries[name], self._check(name)
        with file.open("rb") as data:
            data.seek(entry.offset)
            content = data.read(entry.size)
        if masked_crc(content) != entry.crc32c:
            raise UserError(f"{file}: {name} is damaged or cut off (CRC mismatch); fetch the file again")
        return np.frombuffer(content, _DTYPES[entry.dtype]).reshape(self.shapes[name])

    def _check(self, name: str) -> epath.Path:
        """The file that holds all bytes of the array; UserError if there is none, or it holds no numbers."""
        entry, shape = self._entries[name], self.shapes[name]
        if entry.dtype not in _DTYPES or entry.slices:
            raise UserError(
                f"{self._prefix}: {name} is no array of numbers in one piece; save it as one, or leave it out"
            )
        dtype = _DTYPES[entry.dtype]
        # The index is checked against the file first: a wrong size would read, or ask memory for, anything.
        if min(shape, default=0) < 0 or entry.size != math.prod(shape) * dtype.itemsize:
            raise UserError(f"{self._prefix}.index is damaged: {name} has {entry.size} bytes; fetch both files again")
        file = epath.Path(f"{self._prefix}.data-{entry.shard_id:05d}-of-{self._num_shards:05d}")
        if entry.offset < 0 or entry.offset + entry.size > self._length(file):
            raise UserError(f"{file}: {name} is damaged or cut off (the file ends before it); fetch both files again")
        return file

    def _length(self, file: epath.Path) -> int:
        if file not in self._lengths:
            if not file.exists():
                raise UserError(f"{file} is missing beside its .index; fetch it")
            self._lengths[file] = file.stat().length
        return self._lengths[file]


def write_bundle(prefix: epath.PathLike, arrays: Mapping[str, np.ndarray]) -> None:
    """Write `arrays` as a checkpoint: PREFIX.index and PREFIX.data-00000-of-00001; equal arrays make equal bytes."""
    header = _Header(num_shards=1, version={"producer": 1})
    items, offset = [(b"", header.SerializeToString(deterministic=True))], 0
    number_of = {dtype: number for number, dtype in _DTYPES.items()}
    with epath.Path(f"{prefix}.data-00000-of-00001").open("wb") as data:
        for name, array in sorted(arrays.items(), key=lambda item: item[0].encode()):
            content = array.tobytes()
            entry = _Entry(
                dtype=number_of[array.dtype],
                shape={"dim": [{"size": size} for size in array.shape]},
                offset=offset,
                size=len(content),
                crc32c=masked_crc(content),
            )
            items.append((name.encode(), entry.SerializeToString(deterministic=True)))
            data.write(content)
            offset += len(content)
    epath.Path(f"{prefix}.index").write_bytes(_table(items))


def _read_index(index: epath.Path) -> tuple[Any, dict[str, Any]]:
    """Header and entries by name of a checkpoint's .index."""
    try:
        entries = dict(_read_table(index.read_bytes()))
        header = _Header.FromString(entries.pop(b""))
        return header, {
            key.decode(): _Entry.FromString(value)
            for key, value in entries.items()
            if not key.startswith(b"\0")  # a slice's own; the variable that it is of has an entry too
        }
    except Exception as error:  # of struct, of protobuf, of bytes out of range: whatever damage makes
        raise UserError(f"{index} is damaged or no TensorFlow checkpoint's ({error}); fetch it again") from error


def _read_table(table: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The keys and values of a table."""
    handles, magic = _FOOTER.unpack(table[-_FOOTER.size :])
    if magic != _MAGIC:
        raise ValueError("wrong magic number")
    (_, _), place = _read_varints(handles, 0, 2)
    end = 0
    for _, handle in _read_block(table, handles[place:]):
        (start, size), _ = _read_varints(handle, 0, 2)
        if start < end:  # else a small file could be read without end
            raise ValueError("blocks overlap")
        end = start + size
        yield from _read_block(table, handle)


def _read_block(table: bytes, handle: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The keys and values of the block that `handle` points to."""
    (start, size), _ = _read_varints(handle, 0, 2)
    block = table[start : start + size]
    compression, crc = _TRAILER.unpack_from(table, start + size)
    if compression or crc != masked_crc(table[start : start + size + 1]):
        raise ValueError(f"compression {compression}" if compression else "CRC mismatch")
    end = len(block) - 4 * (1 + int.from_bytes(block[-4:], "little"))  # the places where a search may begin
    place, key = 0, b""
    while place < end:
        (shared, unshared, length), place = _read_varints(block, place, 3)
        key = key[:shared] + block[place : place + unshared]
        if len(key) > _LONGEST_NAME:  # what is shared is not paid for in the file
            raise ValueError("a name of more than 1000 bytes")
        place += unshared + length
        yield key, block[place - length : place]


def _table(items: list[tuple[bytes, bytes]]) -> bytes:
    """A table of one block; `items` are sorted."""
    data = _block(items)
    directory = _block([(items[-1][0], _varints(0, len(data) - _TRAILER.size))])
    no_filters = _block([])
    handles = _varints(len(data), len(no_filters) - _TRAILER.size)
    handles += _varints(len(data) + len(no_filters), len(directory) - _TRAILER.size)
    return data + no_filters + directory + _FOOTER.pack(handles, _MAGIC)


def _block(items: list[tuple[bytes, bytes]]) -> bytes:
    """A block whose every key is written out; searches begin at the first."""
    entries = [_varints(0, len(key), len(value)) + key + value for key, value in items]
    block = b"".join(entries) + struct.pack("<II", 0, 1)
    return block + _TRAILER.pack(0, masked_crc(block + b"\0"))


def _varints(*numbers: int) -> bytes:
    encoded = bytearray()
    for number in numbers:
        while number > 0x7F:
            encoded.append(number & 0x7F | 0x80)
            number >>= 7
        encoded.append(number)
    return bytes(encoded)


def _read_varints(data: bytes, place: int, count: int) -> tuple[list[int], int]:
    """`count` numbers that begin at `place`, and the place after them."""
    numbers = []
    for _ in range(count):
        number = shift = 0
        while data[place] > 0x7F:
            number |= (data[place] & 0x7F) << shift
            place, shift = place + 1, shift + 7
            if shift > 63:
                raise ValueError("a number of more than 64 bits")
        numbers.append(number | data[place] << shift)
        place += 1
    return numbers, place
