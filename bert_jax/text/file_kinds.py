"""Files that are no text, recognized by their first bytes, so that a message can name the kind and the remedy."""

import codecs
import re

from bert_jax.errors import UserError
from bert_jax.storage.tfrecord_frame import HEADER_BYTES, data_length

HEAD_BYTES = 1024  # of a file, by which its kind is recognized

_TO_TEXT = "save what it says as plain text, and give that"
_TO_JSONL = "write its text as JSON Lines, say with pandas' to_json(orient='records', lines=True), and give that"
_UNPACK = "unpack it, and give the files of text"
_MAGIC: tuple[tuple[bytes, str, str], ...] = (
    (rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18", "a zstd file", "decompress it with zstd -d"),
    (rb"\x04\x22\x4d\x18", "an lz4 file", "decompress it with lz4 -d"),
    (rb"LZIP\x01", "an lzip file", "decompress it with lzip -d"),
    (rb"\x5d\0\0[\0-\xff]{2}", "an lzma file", "decompress it with xz -d --format=lzma"),
    (rb"\xff\x06\0\0sNaPpY", "a snappy file", "decompress it"),
    (rb"\x1f[\x9d\xa0]", "a .Z file", "decompress it with uncompress"),
    (rb"PK\x03\x04|PK\x05\x06", "a zip (as .docx, .xlsx, .odt and .epub are)", _UNPACK),
    (rb"7z\xbc\xaf\x27\x1c", "a 7z archive", _UNPACK),
    (rb"Rar!\x1a\x07", "a rar archive", _UNPACK),
    (rb"PAR[1E][^\n]*\0", "a Parquet file", _TO_JSONL),
    (rb"ARROW1\0\0|\xff\xff\xff\xff[\0-\xff]{2}\0\0", "an Arrow file, as datasets of Hugging Face are", _TO_JSONL),
    (rb"Obj\x01", "an Avro file", _TO_JSONL),
    (rb"ORC[\0-\x1f][\0-\xff]{0,200}?\0", "an ORC file", _TO_JSONL),
    (rb"SQLite format 3\0", "an SQLite database", _TO_JSONL),
    (rb"\x89HDF\r\n", "an HDF5 file", _TO_JSONL),
    (rb"\x93NUMPY", "a NumPy array", _TO_JSONL),
    (rb"\x80[\x02-\x05][\0-\xff]", "a pickle", _TO_JSONL),
    (rb"%PDF-", "a PDF", _TO_TEXT),
    (rb"%!PS", "PostScript", _TO_TEXT),
    (rb"\{\\rtf", "RTF", _TO_TEXT),
    (rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "a document of an old Microsoft Office", _TO_TEXT),
    (rb"WARC/\d", "a WARC, pages as they were crawled", "take the text out of the pages, and give that"),
    (rb"\x7fELF|MZ[^\n]*\0|\xca\xfe\xba\xbe|[\xce\xcf]\xfa\xed\xfe", "a program", "give text"),
    (rb"\x89PNG\r\n|\xff\xd8\xff|GIF8[79]a|RIFF[\0-\xff]{4}(WAVE|AVI |WEBP)", "a picture, sound or film", "give text"),
    (rb"version https://git-lfs\.github\.com/", "Git LFS' note of where the file is", "get the file with git lfs pull"),
    (rb"\xff\xfe\0\0|\0\0\xfe\xff", "UTF-32", "convert it with iconv -f UTF-32 -t UTF-8"),
    (rb"\xff\xfe|\xfe\xff", "UTF-16", "convert it with iconv -f UTF-16 -t UTF-8"),
)
_PATTERNS = tuple((re.compile(magic), kind, remedy) for magic, kind, remedy in _MAGIC)
# Compressed files, which are read if their names end so, and the command that decompresses them.
_COMPRESSED = (
    (re.compile(rb"\x1f\x8b\x08"), "gz", "gunzip"),
    (re.compile(rb"BZh[1-9]1AY&SY"), "bz2", "bunzip2"),
    (re.compile(rb"\xfd7zXZ\0"), "xz", "unxz"),
)
_DUMP = re.compile(rb"\s*(<\?xml[^>]*>\s*)?<mediawiki\s")


def check_is_text(head: bytes, name: str, decompressed: bool) -> None:
    """Raise UserError if a file that begins so (`HEAD_BYTES`, `decompressed` or as they are) is known to be no text."""
    head = head.removeprefix(b"\xef\xbb\xbf")
    verb = "holds" if decompressed else "is"
    for pattern, suffix, command in _COMPRESSED:
        if pattern.match(head):
            remedy = f"decompress it once with {command}" if decompressed else f"give it a name that ends in .{suffix}"
            raise UserError(f"{name} {verb} {suffix} data; {remedy}")
    for pattern, kind, remedy in _PATTERNS:
        if pattern.match(head):
            raise UserError(f"{name} {verb} {kind}, not text; {remedy}")
    if _is_tar(head):
        raise UserError(f"{name} {verb} a tar archive, not text; {_UNPACK}")
    if _is_tfrecord(head):
        raise UserError(f"{name} {verb} TFRecords, not text; give the TFDS dataset as tfds:DIRECTORY:SPLIT, or text")
    if byte_order := _utf16_without_mark(head):
        raise UserError(f"{name} {verb} UTF-16; convert it with iconv -f UTF-16{byte_order} -t UTF-8")


def check_is_compressed(head: bytes, name: str, suffix: str) -> None:
    """Raise UserError if a file that could not be decompressed is not what its `suffix` (".gz") says."""
    if any(pattern.match(head) for pattern, its, _ in _COMPRESSED if f".{its}" == suffix):
        return
    check_is_text(head, name, decompressed=False)
    if _is_utf8(head):
        raise UserError(f"{name} is not compressed; take {suffix} off its name, or get the file again")


def check_is_no_dump(head: bytes, name: str) -> None:
    """Raise UserError if a file that is read line by line begins as a MediaWiki dump."""
    if _DUMP.match(head):
        raise UserError(
            f"{name} looks like a MediaWiki dump; give it a name that ends in .xml (.xml.gz, .xml.bz2, .xml.xz), "
            "so that it is read as one"
        )


def _is_tar(head: bytes) -> bool:
    """Whether the first 512 bytes are a tar's header: its sum, in octal, counts itself as spaces."""
    header, number = head[:512], head[148:156].strip(b"\0 ")
    is_octal = number.isdigit() and not set(number) & set(b"89")
    return is_octal and len(header) == 512 and int(number, 8) == sum(header) - sum(header[148:156]) + 8 * ord(" ")


def _is_tfrecord(head: bytes) -> bool:
    return len(head) > HEADER_BYTES and data_length(head) is not None


def _utf16_without_mark(head: bytes) -> str:
    """LE or BE if every other byte, nearly, is 0 as in most text in UTF-16; "" if not."""
    even, odd = (head[start::2].count(0) / max(1, len(head) // 2) for start in (0, 1))
    if min(even, odd) > 0 or max(even, odd) < 0.6:
        return ""
    return "LE" if odd else "BE"


def _is_utf8(head: bytes) -> bool:
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)  # its end may be in the middle of a character
    except UnicodeDecodeError:
        return False
    return True
