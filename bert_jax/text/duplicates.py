"""Documents that were read before, found by eight bytes for each different one."""

import google_crc32c
import numpy as np

from bert_jax.text.document import Document

_BATCH = 1 << 16  # documents that are compared and stored at once
_END = 64  # bytes of a document's start and end that are hashed in full


class Duplicates:
    """Remembers documents by 64 bits of a hash; of ten million different ones two agree once in 400,000 corpora."""

    def __init__(self) -> None:
        self._known = np.empty(0, np.uint64)  # sorted
        self._hashes: list[int] = []
        self._places: list[tuple[str, int]] = []

    def add(self, data: bytes, document: Document) -> list[tuple[str, int]]:
        """Add a document, `data` its text; at the end of each batch returns the places of the duplicates in it."""
        self._hashes.append(_digest(data))
        self._places.append((document.file, document.lines[0]))
        return self.rest() if len(self._hashes) == _BATCH else []

    def rest(self) -> list[tuple[str, int]]:
        """The places of the duplicates among the documents that have not been compared yet, in order."""
        hashes = np.array(self._hashes, np.uint64)
        places, self._hashes, self._places = self._places, [], []
        different, first = np.unique(hashes, return_index=True)
        is_new = np.ones(len(different), bool)
        if len(self._known):
            found = np.searchsorted(self._known, different).clip(max=len(self._known) - 1)
            is_new = self._known[found] != different
        again = np.ones(len(hashes), bool)
        again[first[is_new]] = False
        self._store(different[is_new])
        return [places[number] for number in np.flatnonzero(again)]

    def _store(self, hashes: np.ndarray) -> None:
        # Both in place: neither the larger array nor the sort needs the memory a second time.
        before = len(self._known)
        self._known.resize(before + len(hashes), refcheck=False)
        self._known[before:] = hashes
        self._known.sort()


def _digest(data: bytes) -> int:
    # The processor computes a CRC in a tenth of the time of any other hash; it stands for the middle of a long text.
    middle = google_crc32c.value(data) if len(data) > 2 * _END else 0
    return hash((data[:_END], data[-_END:], len(data), middle)) & 0xFFFF_FFFF_FFFF_FFFF
