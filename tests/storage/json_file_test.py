"""What is read from JSON is what the schema says, or one line names file, place and remedy."""

import dataclasses
import json
import math
from typing import Annotated

import msgspec
import numpy as np
import pytest

from bert_jax.errors import UserError
from bert_jax.storage.json_file import finite_or_none, read_json, read_json_lines


@dataclasses.dataclass(frozen=True)
class Shard:
    file: str
    num_records: Annotated[int, msgspec.Meta(ge=0)]


@dataclasses.dataclass(frozen=True)
class Split:
    shards: list[Shard]
    note: str = ""


GOOD = '{"shards": [{"file": "a", "num_records": 3, "of a later version": 1}]}'


def test_a_good_file_is_read(tmp_path):
    (tmp_path / "a.json").write_text(GOOD)
    assert read_json(tmp_path / "a.json", Split, "build it again") == Split([Shard("a", 3)])


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is not JSON"),
        (b"{", "is not JSON"),
        (b"\xff\xfe", "is not JSON"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"shards": ' + b"[" * 100_000, "nested too deeply"),
        (b"9" * 10_000, "is not JSON"),
        (b"null", "Expected `object`, got `null`"),
        (b"[]", "Expected `object`, got `array`"),
        (b"{}", "missing required field `shards`"),
        (b'{"shards": {}}', "Expected `array`, got `object` at `shards`"),
        (b'{"shards": [{"file": "a", "num_records": "3"}]}', "Expected `int`, got `str` at `shards[0].num_records`"),
        (b'{"shards": [{"file": "a", "num_records": true}]}', "got `bool` at `shards[0].num_records`"),
        (b'{"shards": [{"file": "a", "num_records": 3.5}]}', "got `float` at `shards[0].num_records`"),
        (b'{"shards": [{"file": "a", "num_records": -1}]}', ">= 0 at `shards[0].num_records`"),
        (b'{"shards": [{"file": "a", "num_records": "\\ud800"}]}', "surrogates not allowed"),
        (b'{"shards": [{"file": null, "num_records": 1}]}', "Expected `str`, got `null` at `shards[0].file`"),
    ],
)
def test_a_bad_file_is_one_line(tmp_path, content, says):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(UserError) as error:
        read_json(tmp_path / "a.json", Split, "build it again")
    message = str(error.value)
    assert message.startswith(f"{tmp_path}/a.json is ")
    assert says in message
    assert message.endswith("; build it again")
    assert "\n" not in message


def test_lines_are_read_up_to_the_one_that_was_cut_off(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"file": "a", "num_records": 1}\n{"file": "b", "num_records": 2}\n{"file": "c')
    assert read_json_lines(tmp_path / "a.jsonl", Shard, "") == [Shard("a", 1), Shard("b", 2)]
    (tmp_path / "a.jsonl").write_text("")
    assert read_json_lines(tmp_path / "a.jsonl", Shard, "") == []


def test_a_bad_line_is_named_by_its_number(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"file": "a", "num_records": 1}\n{"file": "b"}\n')
    with pytest.raises(UserError, match=r"a.jsonl, line 2 is damaged .* `num_records`; move it away"):
        read_json_lines(tmp_path / "a.jsonl", Shard, "move it away")


@pytest.mark.parametrize(
    ("value", "written"),
    [(np.float32(0.5), "0.5"), (3, "3"), (np.int64(3), "3"), (math.nan, "null"), (-math.inf, "null"), (None, "null")],
)
def test_numbers_that_json_has_not_are_null(value, written):
    assert json.dumps(finite_or_none(value)) == written
