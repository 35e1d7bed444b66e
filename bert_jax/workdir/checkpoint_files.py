"""A checkpoint as files: their digests, and moving aside what is torn or damaged. Knows no array.

Neither Orbax nor TensorStore checks the values that it reads, so a flipped bit would come back as a weight.
"""

import json
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import google_crc32c
from absl import logging
from etils import epath

from bert_jax.errors import UserError
from bert_jax.storage.cloud import digests_under, is_remote, move
from bert_jax.storage.json_file import read_json
from bert_jax.storage.paths import check_readable

DIGESTS = "digests.json"
DESCRIPTION = "description/metadata"  # JSON that lies beside the arrays, as Orbax's handler calls it
# Orbax writes these two after everything else, the digests too; nothing of a state is in them.
_METADATA, _COMMITTED = "_CHECKPOINT_METADATA", "commit_success.txt"
_TEMPORARY = ".orbax-checkpoint-tmp"  # in a directory's name: not written to its end
# One of these is in every description that was written since there are digests; the first names them.
_SINCE_DIGESTS = ("digests", "owes_evaluation")
_CHUNK = 1 << 22  # bytes read at a time
_THREADS = 4


def split_checkpoint_path(path: epath.PathLike) -> tuple[epath.Path, int | None]:
    """Workdir and step of WORKDIR/checkpoints/STEP; None of a WORKDIR alone."""
    path = epath.Path(path)
    if path.name.isdecimal() and path.parent.name == "checkpoints":
        return path.parent.parent, int(path.name)
    return path, None


def steps_in(directory: epath.Path) -> list[int]:
    """The steps of the checkpoints that are written to their end, oldest first."""
    return sorted(int(path.name) for path in _entries(directory, str.isdecimal) if not is_torn(path))


def described(step: int, description: Mapping[str, Any]) -> dict[str, Any]:
    """A checkpoint's description with what `damage` looks for in it: its step, and that there are digests."""
    return {**description, "step": step, "digests": DIGESTS}


def read_description(directory: epath.Path) -> dict[str, Any]:
    """The JSON beside a checkpoint's arrays; UserError if it is none."""
    return read_json(directory / DESCRIPTION, dict[str, Any], "the checkpoint is damaged, use another")


def write_digests(directory: epath.Path) -> None:
    """Size and CRC32C of every file of a checkpoint, in a file among them."""
    names = [name for name in _names(directory) if name not in (DIGESTS, _METADATA, _COMMITTED)]
    (directory / DIGESTS).write_text(json.dumps(_digests(directory, names), sort_keys=True, indent=1))


def damage(directory: epath.Path) -> str | None:
    """What is wrong with the checkpoint in `directory`: the first file that is not as it was written, or None.

    Its step is part of it, and so are its digests, if it is not from before there were any (see `warn_if_unchecked`).
    """
    check_readable(directory)  # what is closed to this account would seem to be missing, and be set aside
    there = set(_names(directory))
    for name in (_METADATA, DESCRIPTION):
        if name not in there:
            return f"{name} is missing"
    name = _METADATA
    try:
        read_json(directory / name, dict[str, Any], "")
        name = DESCRIPTION
        about = read_json(directory / name, dict[str, Any], "")
        name = DIGESTS
        expected = read_json(directory / name, dict[str, tuple[int, int]], "") if name in there else None
    except UserError:
        return f"{name} is not what was written"
    if (step := about.get("step", int(directory.name))) != int(directory.name):
        return f"it is of step {step}"
    if expected is None:
        return f"{DIGESTS} is missing" if any(key in about for key in _SINCE_DIGESTS) else None
    return _difference(directory, there, expected)


def _difference(directory: epath.Path, there: set[str], expected: dict[str, tuple[int, int]]) -> str | None:
    for name in sorted(expected):
        if name not in there:
            return f"{name} is missing"
    for name in sorted(there - expected.keys()):
        if "/" in name:  # of the state or the description, which are written before the digests
            return f"{name} is not in {DIGESTS}"
    found = _digests(directory, list(expected))
    changed = (name for name in expected if tuple(found[name]) != expected[name])
    return next((f"{name} is not as it was written" for name in changed), None)


def warn_if_unchecked(directory: epath.Path) -> None:
    """Warn if a checkpoint is from before there were digests: `damage` could not check it, and it is used as it is."""
    if not (directory / DIGESTS).exists():
        logging.warning("%s is of an earlier version, without digests: whether it is damaged is not known", directory)


def names_in(directory: epath.Path) -> set[str]:
    """The files of a checkpoint that may be just being deleted."""
    try:
        return set(_names(directory))
    except FileNotFoundError:
        return set()


def set_aside_unusable(directory: epath.Path) -> None:
    """Leave only whole checkpoints among the newest: what a kill tore and what the disk damaged gets another name.

    Of the torn ones the last is kept, in case somebody wants to look at it; damaged ones are never deleted.

    Raises:
      UserError: every checkpoint is damaged; all stay where they are then.
    """
    for torn in filter(is_torn, _entries(directory, lambda name: True)):
        for older in _entries(_aside(directory), lambda name: name.endswith(".torn")):
            older.rmtree()
        moved = _move(torn, f"{torn.name.split('.')[0]}.torn")
        logging.warning("%s was not written to its end when the run was stopped; it is set aside as %s", torn, moved)
    steps = sorted(_entries(directory, str.isdecimal), key=lambda path: int(path.name), reverse=True)
    damaged: list[tuple[epath.Path, str]] = []
    for step in steps:
        what = damage(step)
        if what is None:
            break
        damaged.append((step, what))
    if steps and len(damaged) == len(steps):
        raise UserError(
            f"{steps[0]} is damaged ({damaged[0][1]}) and there is no whole checkpoint before it in {directory}; "
            "restore one from a copy, or give another --workdir"
        )
    for step, what in damaged:
        moved = _move(step, f"{step.name}.damaged")
        logging.warning("CHECKPOINT %s IS DAMAGED: %s; it is set aside as %s", step, what, moved)
    if damaged:
        logging.warning("resuming from the checkpoint before it, step %s", steps[len(damaged)].name)
    if steps:
        warn_if_unchecked(steps[len(damaged)])


def is_torn(path: epath.Path) -> bool:
    """Whether a checkpoint was not written to its end; in an object store it has its final name all the same."""
    if is_remote(path):
        return path.name.isdecimal() and not (path / _COMMITTED).exists()
    return _TEMPORARY in path.name


def being_written(directory: epath.Path, step: int) -> list[epath.Path]:
    """The directory of checkpoint `step`, which does not have its final name yet (in an object store it has)."""
    return _entries(directory, lambda name: name == str(step) or name.startswith(f"{step}{_TEMPORARY}"))


def _aside(directory: epath.Path) -> epath.Path:
    return directory.with_name(directory.name + ".set_aside")


def _move(path: epath.Path, name: str) -> epath.Path:
    """Out of the directory of checkpoints, under a name that is not there yet."""
    aside = _aside(path.parent)
    aside.mkdir(parents=True, exist_ok=True)
    number, target = 1, aside / name
    while target.exists():
        number += 1
        target = aside / f"{name}-{number}"
    move(path, target)
    return target


def _entries(directory: epath.Path, wanted: Callable[[str], bool]) -> list[epath.Path]:
    return sorted(path for path in directory.iterdir() if wanted(path.name)) if directory.exists() else []


def _files(directory: epath.Path) -> list[epath.Path]:
    inside = sorted(directory.iterdir())  # epath has no rglob
    return [file for path in inside for file in (_files(path) if path.is_dir() else [path])]


def _names(directory: epath.Path) -> list[str]:
    if is_remote(directory):
        return sorted(digests_under(directory))
    return [str(path.relative_to(directory)) for path in _files(directory)]


def _digests(directory: epath.Path, names: list[str]) -> dict[str, list[int]]:
    """[size, CRC32C] of each file: as the object store gives them, or read by several threads."""
    if is_remote(directory):
        found = digests_under(directory)
        return {name: found[name] for name in names}
    with ThreadPoolExecutor(_THREADS) as pool:
        return dict(zip(names, pool.map(_digest, [directory / name for name in names]), strict=True))


def _digest(path: epath.Path) -> list[int]:
    size, crc = 0, 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            size, crc = size + len(chunk), google_crc32c.extend(crc, chunk)
    return [size, crc]
