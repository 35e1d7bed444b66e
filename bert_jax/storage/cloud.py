"""gs:// paths: what is special about them, whether they can be reached, and what their errors mean.

epath has gcsfs read and write our files, Orbax has TensorStore do so with the arrays of checkpoints. Both try again by
themselves, after longer and longer pauses, what passes (408, 429, 5xx, a connection that breaks): gcsfs six times over
half a minute, TensorStore 32 times over several. So nothing is tried again here; what they give up on is explained.
"""

import base64
import os
import re
import urllib.parse
from collections.abc import Iterable, Iterator
from typing import Any

from etils import epath

from bert_jax.errors import UserError

_BUCKET = re.compile(r"gs://([^/,\s'\"]+)")
_OF_URL = re.compile(r"(?:v1/|: )b/([^/?\s]+)(?:/o(?:/|\?name=)([^?\s&\"]*))?")  # in an address of Google's API
_IS_OURS = re.compile(r"gs://|\bgcs|aiohttp|google\.auth|storage/v1/|: b/\S")
# Patterns in messages of gcsfs, of its libraries and of TensorStore -> what they mean; the first that matches counts.
_MEANINGS = {
    r"Please install gcsfs": "needs gcsfs; run launch/setup.sh gcs",
    r"Forbidden|\b403\b|PERMISSION_DENIED": (
        "is not for this account to read or write; give it the role Storage Object User (roles/storage.objectUser) on "
        "the bucket, or sign in as another"
    ),
    r"\b401\b|UNAUTHENTICATED|Anonymous caller|RefreshError|DefaultCredentialsError|invalid_grant": (
        "needs an account; sign in with gcloud auth application-default login, or run where a service account is given"
    ),
    r"\b(408|429|50[0-4])\b|UNAVAILABLE|DEADLINE_EXCEEDED|ClientConnect|ServerDisconnected|ClientOSError|ProxyError": (
        "does not answer, or refuses again and again; run the same command again when network and service are back"
    ),
}


def is_remote(path: epath.PathLike) -> bool:
    """Whether a path is one of an object store, where nothing is appended to, renamed or locked."""
    return "://" in os.fspath(path)


def absolute(path: epath.PathLike) -> epath.Path:
    """The path with its directory; epath's own resolve() makes a local path of gs://."""
    path = epath.Path(path)
    return path if is_remote(path) else path.expanduser().resolve()


def upload(file: epath.PathLike, path: epath.PathLike) -> None:
    """Copy a local file to an object, which nobody sees before all of it is there.

    Not through path.open(): when a write of it fails, closing it makes an object of the beginning.
    """
    _system(path).put_file(os.fspath(file), os.fspath(path))


def upload_bytes(content: bytes, path: epath.PathLike) -> None:
    """Make an object of `content`, in the place of the one that may be there."""
    _system(path).pipe_file(os.fspath(path), content)


def download(path: epath.PathLike, file: epath.PathLike) -> None:
    """Copy an object to a local file."""
    _system(path).get_file(os.fspath(path), os.fspath(file))


def read_range(path: epath.PathLike, start: int, size: int) -> bytes:
    """`size` bytes of an object from `start` on, fewer where it ends: one request."""
    try:
        return _system(path).cat_file(os.fspath(path), start, start + size)
    except Exception as error:
        if getattr(error, "code", None) == 416:  # range not satisfiable: it begins where the object has ended
            return b""
        raise


def read_whole(path: epath.PathLike) -> bytes:
    """The content of a small file: of an object by one request, where opening it would take several."""
    return _system(path).cat_file(os.fspath(path)) if is_remote(path) else epath.Path(path).read_bytes()


def objects_in(directory: epath.PathLike) -> dict[str, tuple[int, int]]:
    """Size and time of change (unix seconds, as epath's `stat` has it) of each object right in a directory, by name.

    A request for a thousand of them, where `stat` takes two for each.
    """
    found = _system(directory).ls(os.fspath(directory), detail=True)
    objects = (about for about in found if about["type"] == "file")
    return {about["name"].rpartition("/")[2]: (about["size"], int(about["mtime"].timestamp())) for about in objects}


def move(path: epath.PathLike, target: epath.PathLike) -> None:
    """Give a directory another name, in an object store object by object."""
    if is_remote(path):
        _system(path).mv(os.fspath(path), os.fspath(target), recursive=True)
    else:
        epath.Path(path).rename(target)


def digests_under(directory: epath.PathLike) -> dict[str, list[int]]:
    """[size, CRC32C] of every object under `directory`, by its path from there, as the object store counts them."""
    system = _system(directory)
    prefix = system._strip_protocol(os.fspath(directory)).rstrip("/") + "/"
    found = system.find(prefix, detail=True)
    return {
        path.removeprefix(prefix): [about["size"], int.from_bytes(base64.b64decode(about["crc32c"]), "big")]
        for path, about in found.items()
    }


def check_access(arguments: Iterable[str]) -> None:
    """Ask once for each bucket that `arguments` name, so that what cannot be reached is an error before any work.

    Raises:
      UserError: gcsfs is not installed, or the bucket is not there, not ours to list, or does not answer.
    """
    for bucket in sorted({bucket for argument in arguments for bucket in _BUCKET.findall(argument)}):
        try:
            _system(f"gs://{bucket}").call("GET", "b/{}/o", bucket, maxResults=1)
        except Exception as error:
            raise UserError(explained(error, f"gs://{bucket}") or f"gs://{bucket} cannot be used: {error}") from error


def explained(error: BaseException, path: str = "") -> str | None:
    """One line for what went wrong with a gs:// path: which (`path` if known), and the remedy; None for others."""
    text = "\n".join(f"{type(one).__module__}.{type(one).__name__}: {one}" for one in _chain(error))
    if not path and not _IS_OURS.search(text):
        return None
    if isinstance(error, FileNotFoundError):
        meaning = "does not exist; correct the path, or make the bucket (gcloud storage buckets create)"
    else:
        meaning = next((meaning for signs, meaning in _MEANINGS.items() if re.search(signs, text)), "")
    return f"{path or _path_in(text)} {meaning}" if meaning else None


def _system(path: epath.PathLike) -> Any:
    import fsspec  # as late as that, for it is slow to load and what it needs for gs:// may not be installed

    return fsspec.core.url_to_fs(os.fspath(path))[0]


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _path_in(text: str) -> str:
    if found := re.search(r"gs://[^\s'\",]+", text):
        return found[0]
    if found := _OF_URL.search(text):
        key = f"/{urllib.parse.unquote(found[2])}" if found[2] else ""
        return f"gs://{found[1]}{key}"
    return "a gs:// path"
