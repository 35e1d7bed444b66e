"""An output directory that is there whole or not at all, and in which nothing of anybody else's is ever removed."""

import dataclasses
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from etils import epath

from bert_jax.errors import UserError
from bert_jax.storage.cloud import absolute, is_remote, upload
from bert_jax.storage.json_file import read_json
from bert_jax.storage.lock import only_maker

# Lists the files of an export, as paths in it: a directory with exactly these (or fewer) may be replaced by the next
# one. Earlier exports list a directory within by its name, and whatever is in it is theirs.
LIST = "export.json"
_OURS = "bert_jax.txt"


@dataclasses.dataclass(frozen=True)
class _Export:
    files: list[str]


@contextmanager
def new_directory(output: epath.PathLike, flag: str = "--output") -> Iterator[epath.Path]:
    """A directory to write into, which becomes `output` when the block ends well and vanishes when it does not.

    An earlier export in `output` is replaced whole; one that a kill caught between two names has its own again. `flag`
    is what messages call `output`. In an object store, which renames nothing, the earlier export is removed after the
    block has ended well, and then the new one appears file by file: a kill or an error of the network in between leaves
    neither. The same call again makes it good.

    Raises:
      UserError: `output` is a file, holds one that no export wrote, or is being written by another process, or what
        lies where it is prepared is of somebody else; raised before the block begins, or, where such a file came
        meanwhile, after it.
    """
    output = absolute(output)
    if is_remote(output):
        check_replaceable(output, flag)
        with tempfile.TemporaryDirectory() as local:
            yield epath.Path(local)
            check_replaceable(output, flag)
            _upload(epath.Path(local), output)
        return
    output = epath.Path(os.path.realpath(output))  # a link stays one, and what it leads to is replaced
    with only_maker(output, flag), _aside(output) as aside:
        check_replaceable(output, flag)
        yield aside
        _write_list(aside)
        check_replaceable(output, flag)
        if output.exists():
            output.rename(aside.with_name("old"))
        aside.rename(output)


@contextmanager
def first_directory(output: epath.PathLike) -> Iterator[epath.Path]:
    """The same for an `output` that is absent or empty, and of which only one is ever made.

    The caller holds it (lock.only_maker), and writes last the file that completes it: in an object store the files
    appear one by one.
    """
    if is_remote(output):
        yield epath.Path(output)
        return
    output = epath.Path(os.path.realpath(output))
    with _aside(output) as aside:
        yield aside
        if output.exists():
            Path(output).rmdir()  # it is empty, and nothing is ever renamed onto a directory
        aside.rename(output)


@contextmanager
def _aside(output: epath.Path) -> Iterator[epath.Path]:
    """An empty directory beside `output`, .OUTPUT.bert_jax/new, which vanishes with what is in it if it is not renamed.

    Beside it there may be `old`, the earlier output, from when it loses its name until it is removed.
    """
    here = output.with_name(f".{output.name}.bert_jax")
    if here.exists() and not _is_ours(here):
        raise UserError(f"{here} is in the way, and nothing of bert_jax; move it away")
    try:
        here.mkdir(parents=True, exist_ok=True)
        (here / _OURS).write_text(f"{output.name} is prepared here; where no process does so, delete this directory.\n")
        _clear(here, output)  # after a kill
        (here / "new").mkdir()
        yield here / "new"
    finally:
        if here.exists():
            _clear(here, output)
            here.rmtree()


def _is_ours(here: epath.Path) -> bool:
    # Empty: killed right after its mkdir.
    return here.is_dir() and ((here / _OURS).is_file() or not any(here.iterdir()))


def _clear(here: epath.Path, output: epath.Path) -> None:
    """Remove all that was prepared, but give `output` its name again if it has just lost it."""
    if (here / "old").exists() and not output.exists():
        (here / "old").rename(output)
    _remove(here / "old")
    _remove(here / "new")


def check_replaceable(output: epath.Path, flag: str = "--output") -> None:
    """Raise UserError if `output` is anything but absent, empty, or an earlier export."""
    if not output.exists():
        return
    if not output.is_dir():
        raise UserError(f"{flag}={output} is a file; give a directory")
    foreign = next(_foreign(output, _listed(output)), None)
    if foreign:
        raise UserError(f"{flag}={output} holds {foreign}, which no export wrote; give a new directory")


def _listed(directory: epath.Path) -> set[str]:
    path = directory / LIST
    if not path.exists():
        return set()
    return {LIST, *read_json(path, _Export, "it was not written by an export; give a new directory").files}


def _write_list(directory: epath.Path) -> None:
    files = [path for path in Path(directory).rglob("*") if not path.is_dir()]
    export = _Export(sorted(path.relative_to(directory).as_posix() for path in files))
    (directory / LIST).write_text(json.dumps(dataclasses.asdict(export), indent=2) + "\n")


def _foreign(directory: epath.Path, listed: set[str], within: str = "") -> Iterator[str]:
    """The paths of what is in the directory, and in those within that are in the list, and is not in it itself."""
    for path in sorted(directory.iterdir(), key=lambda path: path.name):
        name = f"{within}{path.name}"
        if name in listed:
            continue
        if any(one.startswith(f"{name}/") for one in listed) and path.is_dir():
            yield from _foreign(path, listed, f"{name}/")
        else:
            yield name


def _upload(local: epath.Path, output: epath.Path) -> None:
    """Put an export in an object store: its list first, so that one that is interrupted may be replaced by the next."""
    _write_list(local)
    _remove(output)
    files = [path for path in Path(local).rglob("*") if path.is_file()]
    for file in sorted(files, key=lambda file: (file.name != LIST, file)):
        upload(file, output / file.relative_to(local))


def _remove(directory: epath.Path) -> None:
    if directory.exists():
        directory.rmtree()
