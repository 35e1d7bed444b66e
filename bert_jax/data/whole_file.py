"""Files that are either whole or absent: written aside under another name, then renamed."""

import contextlib
import io
import os
from collections.abc import Iterator
from typing import BinaryIO

from etils import epath


@contextlib.contextmanager
def whole_file(path: epath.PathLike) -> Iterator[BinaryIO]:
    """Open a file that gets its name `path` when the block ends well, and is removed when it does not."""
    path = epath.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # No dot but the first, so that no glob for shards (*.tfrecord*) finds a shard that is being written.
    aside = path.with_name(f".tmp-{path.name.replace('.', '-')}")
    try:
        with aside.open("wb") as file:
            yield file
            file.flush()
            # Files in object stores have no descriptor; closing them is what makes them last.
            with contextlib.suppress(AttributeError, io.UnsupportedOperation):
                os.fsync(file.fileno())
        aside.replace(path)
    except OSError as error:
        error.filename = error.filename or str(path)  # a write that fails does not say where
        aside.unlink(missing_ok=True)
        raise
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
