"""Files that are either whole or absent: written aside under another name, then renamed; or uploaded when they end."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from typing import BinaryIO, cast

from etils import epath

from bert_jax.storage.cloud import is_remote, upload
from bert_jax.storage.lock import only_writer


def whole_file(path: epath.PathLike) -> contextlib.AbstractContextManager[BinaryIO]:
    """Open a file that gets its name `path` when the block ends well, and is removed when it does not.

    Of two processes that write the same file, the second waits for the first.
    """
    return _uploaded(epath.Path(path)) if is_remote(path) else _renamed(epath.Path(path))


@contextlib.contextmanager
def _uploaded(path: epath.Path) -> Iterator[BinaryIO]:
    # On a local disk first: an object that is written bit by bit is made of what there is when that is interrupted.
    with tempfile.NamedTemporaryFile() as file:
        yield cast(BinaryIO, file)
        file.flush()
        upload(file.name, path)


@contextlib.contextmanager
def _renamed(path: epath.Path) -> Iterator[BinaryIO]:
    path.parent.mkdir(parents=True, exist_ok=True)
    # No dot but the first, so that no glob for shards (*.tfrecord*) finds a shard that is being written.
    aside = path.with_name(f".tmp-{path.name.replace('.', '-')}")
    try:
        with only_writer(aside) as file:
            try:
                yield file
                file.flush()
                os.fsync(file.fileno())
                aside.replace(path)
            except BaseException:
                aside.unlink(missing_ok=True)  # before the next writer has it
                raise
    except OSError as error:
        if error.filename in (None, str(aside)):  # a write that fails does not name the file
            error.filename = str(path)
        raise


@contextlib.contextmanager
def local_directory(path: epath.PathLike) -> Iterator[epath.Path]:
    """A directory of this host to write files in bit by bit: `path` itself, or one that is uploaded to it at the end.

    In an object store each open file would hold megabytes in memory, and nothing is there if the block does not end
    well.
    """
    path = epath.Path(path)
    if not is_remote(path):
        path.mkdir(parents=True, exist_ok=True)
        yield path
        return
    with tempfile.TemporaryDirectory() as here:
        yield epath.Path(here)
        for file in sorted(epath.Path(here).iterdir()):
            upload(file, path / file.name)


def replace_text(path: epath.PathLike, text: str) -> None:
    """Write a text file whole, in place of the one that may be there."""
    with whole_file(path) as file:
        file.write(text.encode())
