"""The output directory of embed: shards that are whole or absent, in the order of the input, and what was made.

embeddings-00000.npy         float32 or float16 [rows, dim]: as FAISS and NumPy take them
ids-00000.jsonl              a line a row: its own id as JSON; where no row of the input has one, its number, from 0
embeddings.json              model, pooling, dim, rows, shards; written last: with it all is there
progress.json                until then: the settings, and the shards that are done

Of tokens and words, in place of the .npy, tokens-00000.safetensors (token_shards.py).
"""

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import google_crc32c
import numpy as np
import safetensors.numpy
from etils import epath

from bert_jax.errors import UserError
from bert_jax.storage.array_file import write_array
from bert_jax.storage.cloud import is_remote, objects_in
from bert_jax.storage.json_file import read_json, write_json
from bert_jax.storage.whole_file import replace_text, whole_file
from bert_jax.tasks.examples import TextExample

DESCRIPTION, PROGRESS = "embeddings.json", "progress.json"
_AGAIN = "give another --output, and they are made again"
Settings = Mapping[str, Any]  # what decides the vectors, ready for JSON


@dataclasses.dataclass(frozen=True)
class Shard:
    """One shard that is there."""

    file: str
    ids: str
    rows: int  # texts
    input_crc32c: str  # of all texts and ids up to its end
    file_bytes: int = 0  # 0: written before sizes were noted
    ids_bytes: int = 0


@dataclasses.dataclass(frozen=True)
class Made:
    """The content of progress.json and embeddings.json."""

    settings: dict[str, Any]
    model: str = ""  # --model, for people
    input: str = ""  # --input, likewise
    dim: int = 0
    rows: int = 0
    dtype: str = "float32"
    shards: list[Shard] = dataclasses.field(default_factory=list)


def read_made(directory: epath.Path) -> Made:
    """What is in a directory of embed that is complete; UserError if it is not."""
    if not (directory / DESCRIPTION).exists():
        raise UserError(f"{directory} holds no {DESCRIPTION}; let `python -m bert_jax.embed` end first")
    return read_json(directory / DESCRIPTION, Made, _AGAIN)


def begun(directory: epath.Path, settings: Settings) -> tuple[Made | None, bool]:
    """What an earlier call made, and whether it is complete.

    Raises:
      UserError: it was made with other settings, a shard of it is gone or cut, or `directory` holds something else.
    """
    for name in (DESCRIPTION, PROGRESS):
        if (directory / name).exists():
            made = read_json(directory / name, Made, _AGAIN)
            _check_same(directory, made.settings, json.loads(json.dumps(dict(settings))))
            _check_whole(directory, made.shards)
            return made, name == DESCRIPTION
    others = [path.name for path in directory.iterdir()] if directory.exists() else []
    foreign = sorted(name for name in others if not name.startswith("."))
    if foreign:
        raise UserError(f"--output={directory} holds {foreign[0]}, and no {PROGRESS} of embed; give a new directory")
    return None, False


def _check_same(directory: epath.Path, before: Settings, now: Settings) -> None:
    for name, value in now.items():
        if before.get(name) != value:
            what = "another model" if name in ("weights", "vocabulary") else f"{name}={_shown(before.get(name))}"
            now_is = "" if name in ("weights", "vocabulary") else f", and now it is {_shown(value)}"
            raise UserError(f"--output={directory} was begun with {what}{now_is}; give another --output")


def _check_whole(directory: epath.Path, shards: Sequence[Shard]) -> None:
    """Raise UserError where a file of a shard is gone, or has another size than when it was written."""
    sizes = _sizes(directory)
    for shard in shards:
        for name, written in ((shard.file, shard.file_bytes), (shard.ids, shard.ids_bytes)):
            if name not in sizes:
                raise UserError(f"{directory / name} is missing; put it back, or {_AGAIN}")
            if written and sizes[name] != written:
                raise UserError(f"{directory / name} has {sizes[name]:,} bytes in place of {written:,}; {_AGAIN}")


def _sizes(directory: epath.Path) -> dict[str, int]:
    """Bytes of each file in a directory, by name."""
    if is_remote(directory):
        return {name: size for name, (size, _) in objects_in(directory).items()}
    return {path.name: path.stat().length for path in directory.iterdir()}


def _shown(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


class InputDigest:
    """A running checksum of the texts and ids that were read."""

    def __init__(self) -> None:
        self._value = 0

    def add(self, example: TextExample) -> None:
        """One more row."""
        content = json.dumps([example.id, example.text, example.text2])
        self._value = google_crc32c.extend(self._value, content.encode())

    def __str__(self) -> str:
        return f"{self._value:08x}"


def id_of(example: TextExample, number: int) -> Any:
    """Its own id, or the number of its row."""
    return number if example.id is None else example.id


def write_ids(path: epath.Path, examples: Sequence[TextExample], first: int) -> None:
    """A line a row; `first` is the number of the first."""
    lines = (json.dumps(id_of(one, number), ensure_ascii=False) for number, one in enumerate(examples, start=first))
    replace_text(path, "".join(f"{line}\n" for line in lines))


def read_ids(path: epath.Path) -> list[Any]:
    """As they were written."""
    return [json.loads(line) for line in path.read_text().split("\n")[:-1]]


def write_arrays(path: epath.Path, arrays: np.ndarray | dict[str, np.ndarray]) -> None:
    """A .npy of an array, a .safetensors of several, whole or not at all."""
    if isinstance(arrays, np.ndarray):
        write_array(path, arrays)
        return
    with whole_file(path) as file:
        file.write(safetensors.numpy.save(arrays))


def with_sizes(directory: epath.Path, shard: Shard) -> Shard:
    """The shard with the sizes of its files, which are written."""
    file_bytes, ids_bytes = ((directory / name).stat().length for name in (shard.file, shard.ids))
    return dataclasses.replace(shard, file_bytes=file_bytes, ids_bytes=ids_bytes)


def write_made(directory: epath.Path, made: Made, is_complete: bool) -> None:
    """Write progress.json, or embeddings.json in its place."""
    write_json(directory / (DESCRIPTION if is_complete else PROGRESS), made)
    if is_complete:
        (directory / PROGRESS).unlink(missing_ok=True)


def read_vectors(directory: epath.PathLike) -> Iterator[tuple[list[Any], np.ndarray]]:
    """Of each shard, in their order: ids, and vectors [rows, dim].

    Raises:
      UserError: the directory is not complete, holds tokens or words, or a shard is damaged.
    """
    directory = epath.Path(directory)
    for shard in read_made(directory).shards:
        if not shard.file.endswith(".npy"):
            raise UserError(f"{directory} holds states of tokens or words; give vectors of texts (--pooling=mean)")
        ids, vectors = read_ids(directory / shard.ids), _read_array(directory / shard.file)
        if not len(ids) == len(vectors) == shard.rows:
            raise UserError(
                f"{directory / shard.file} has {len(vectors):,} vectors and {shard.ids} {len(ids):,} ids, where "
                f"{shard.rows:,} were written; {_AGAIN}"
            )
        yield ids, vectors


def _read_array(path: epath.Path) -> np.ndarray:
    try:
        with path.open("rb") as file:
            array: np.ndarray = np.load(file)
    except (ValueError, EOFError) as error:
        raise UserError(f"{path} is damaged ({error}); {_AGAIN}") from None
    return array
