"""Local paths that a user gave: the system's errors as one line with the path, the reason and the remedy."""

import errno
import fnmatch
import os
import re
from collections.abc import Iterable
from pathlib import Path

from etils import epath

from bert_jax.errors import UserError
from bert_jax.storage.cloud import is_remote

_ALLOW = "let this account read and write there (chmod, chown), or give another path"
_REMEDIES = {
    errno.EACCES: _ALLOW,
    errno.EPERM: _ALLOW,
    errno.EROFS: "give a path on a disk that can be written",
    errno.ENOENT: "correct the path, or make what is missing",
    errno.ENOTDIR: "give a path that leads through directories only",
    errno.EISDIR: "give a file",
    errno.EEXIST: "move it away, or give another path",
    errno.ELOOP: "fix them, or give another path",
    errno.ENAMETOOLONG: "give a shorter one",
    errno.EMFILE: "allow more of them (ulimit -n)",
    errno.EIO: "check that disk, or give a path on another",
}
# Of errors without a number, as epath and NumPy raise them.
_CODES = {
    FileNotFoundError: errno.ENOENT,
    FileExistsError: errno.EEXIST,
    NotADirectoryError: errno.ENOTDIR,
    IsADirectoryError: errno.EISDIR,
    PermissionError: errno.EACCES,
}
# In TensorStore's words: Failed to open: "/a/b": Permission denied [os_error_code='13']
_OF_TENSORSTORE = re.compile(r"\"(/[^\"]*)\"[^\"]*\[os_error_code='(\d+)'")


def refusal(error: BaseException) -> str | None:
    """One line for what the system refused at a path: which, why, and the remedy; None for any other error."""
    if isinstance(error, OSError) and isinstance(error.filename, str | os.PathLike):
        code = error.errno or _CODES.get(type(error), errno.EIO)
        return _line(os.fspath(error.filename), code)
    if found := _OF_TENSORSTORE.search(str(error)):
        return _line(found[1], int(found[2]))
    return None


def _line(path: str, code: int) -> str:
    reason = os.strerror(code)
    return f"{path}: {reason[0].lower()}{reason[1:]}; {_REMEDIES.get(code, 'fix that, or give another path')}"


def expanded(path: epath.PathLike) -> str:
    """The path with the home directory in the place of a "~" that it begins with, as a shell gives it."""
    return os.path.expanduser(os.fspath(path))  # noqa: PTH111  (epath's makes a local path of gs://)


def is_utf8(path: epath.PathLike) -> bool:
    """Whether no byte of it is one that Python could not read and keeps as half of a surrogate pair."""
    return not any("\ud800" <= letter <= "\udfff" for letter in os.fspath(path))


def check_readable(directory: epath.PathLike) -> None:
    """Raise UserError on a directory that this account may not list: it would seem to be empty."""
    if is_remote(directory) or not os.path.isdir(directory):  # noqa: PTH112
        return
    try:
        os.scandir(directory).close()
        os.stat(Path(directory) / ".")  # noqa: PTH116
    except OSError as error:
        raise UserError(_line(os.fspath(directory), error.errno or errno.EIO)) from error


def files_of(directory: epath.PathLike, pattern: str) -> list[epath.Path]:
    """What is in a directory and has such a name, as in "*.json"; sorted, and empty where there is no directory.

    Not epath's glob, which takes a [ in the name of the directory itself for a part of the pattern.
    """
    place = epath.Path(directory)
    there = place.iterdir() if place.is_dir() else ()
    return sorted(path for path in there if fnmatch.fnmatchcase(path.name, pattern))


def check_arguments(arguments: Iterable[str]) -> None:
    """The same of each path in a command line: the value of any flag, up to the first wildcard in it.

    Raises:
      UserError: a path leads through a directory that is closed to this account, or through links that go in a circle.
    """
    for argument in arguments:
        given = argument.partition("=")[2] if argument.startswith("-") else argument
        for value in given.split(","):
            beginning = re.split(r"[*?\[{]", value, maxsplit=1)[0]
            path = value if beginning == value else beginning.rpartition("/")[0]
            if not path or "\0" in path or is_remote(path):
                continue
            try:
                os.stat(path)  # noqa: PTH116
            except OSError as error:
                if error.errno in (errno.EACCES, errno.ELOOP):
                    raise UserError(_line(path, error.errno)) from error
            check_readable(path)


def check_place(path: epath.PathLike, flag: str) -> None:
    """Raise UserError if no directory can be made or be at `path`, the value of `flag`; called before the work for it.

    One that is there is let alone: what is to be in it may be in it already, and then nothing is written.
    """
    if is_remote(path):
        return
    place = Path(path).absolute()
    try:
        if not place.is_dir():
            place.stat()
            raise UserError(f"--{flag}={path} is a file; give a directory")
    except FileNotFoundError:
        _check_can_be_made(place, f"--{flag}={path}")
    except OSError as error:
        raise UserError(f"--{flag}={_line(os.fspath(path), error.errno or errno.EIO)}") from error


def check_file(path: epath.PathLike | None, flag: str, beginning: bytes) -> None:
    """Raise UserError if `path`, the value of `flag`, can be no file, or is one that is not ours to write anew.

    Ours begin with `beginning`; an empty one may be replaced, too.
    """
    file = epath.Path(path) if path else None
    if file is None:
        return
    if file.is_dir():
        raise UserError(f"--{flag}={path} is a directory; give a file")
    if file.exists():
        with file.open("rb") as content:
            if content.read(len(beginning)) not in (b"", beginning):
                raise UserError(f"--{flag}={path} is there already and of another origin; give a new file")
    if not is_remote(file):
        check_place(file.parent, flag)
        place = Path(file).absolute()
        _check_can_be_made(place.parent / "new" if place.exists() else place, f"--{flag}={path}")


def check_is_other(output: epath.PathLike, flag: str, file: str) -> None:
    """Raise UserError if `output`, the value of --output, is the file that `flag` gave to read."""
    places = [Path(output), Path(file)]
    are_there = not is_remote(output) and not is_remote(file) and all(place.exists() for place in places)
    if str(output) == file or (are_there and places[0].samefile(places[1])):
        raise UserError(f"--output={output} is --{flag}, which would be lost; give another file")


def _check_can_be_made(place: Path, given: str) -> None:
    there = next(part for part in (place, *place.parents) if os.path.lexists(part))
    if not there.exists():
        to = there.readlink()
        raise UserError(f"{given}: {there} is a link to {to}, which is not there; make it, or give another path")
    if not os.access(there, os.W_OK | os.X_OK):
        raise UserError(f"{given} cannot be made: {_line(str(there), errno.EACCES)}")
