"""A directory of files that grow, such as logs and event files: in an object store nothing can be appended to.

There the files grow in a local directory, and the object store gets each one anew, whole, soon after it has changed.
"""

import tempfile
import threading
from pathlib import Path

from absl import logging
from etils import epath

from bert_jax.storage.cloud import is_remote, upload_bytes

_SECONDS = 10.0  # between two looks for changed files; one object takes at most one write a second


class Mirror:
    """Files under `local` appear under `directory`; where that is a local directory, they are the same.

    Attributes:
      local: a directory to append to files in.
    """

    def __init__(self, directory: epath.PathLike) -> None:
        """Make both directories, and start looking. Files that are in an object store already are not fetched."""
        self._directory = epath.Path(directory)
        self._temporary = tempfile.TemporaryDirectory() if is_remote(directory) else None
        self.local = epath.Path(self._temporary.name) if self._temporary else self._directory
        self.local.mkdir(parents=True, exist_ok=True)
        self._uploaded: dict[Path, tuple[int, int]] = {}
        self._lock, self._closed = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        if self._temporary:
            self._thread.start()

    def flush(self) -> None:
        """Return when the object store has what there is, as far as it can be reached; log what it lacks."""
        try:
            self._update()
        except Exception as error:
            logging.warning("%s is behind, and will be brought up to date later: %s", self._directory, error)

    def close(self) -> None:
        """Flush; raises what the last try raises. Nothing may be written afterwards."""
        if self._temporary and not self._closed.is_set():
            self._closed.set()
            self._thread.join()
            self._update()
            self._temporary.cleanup()

    def _watch(self) -> None:
        while not self._closed.wait(_SECONDS):
            self.flush()

    def _update(self) -> None:
        if not self._temporary:
            return
        with self._lock:
            for file in sorted(path for path in Path(self.local).rglob("*") if path.is_file()):
                status = file.stat()
                state = (status.st_size, status.st_mtime_ns)
                if self._uploaded.get(file) != state:
                    upload_bytes(file.read_bytes(), self._directory / str(file.relative_to(self.local)))
                    self._uploaded[file] = state
