"""What is believed of a shard that an earlier run has finished."""

import json

import pytest
from etils import epath

from bert_jax.data.options import RecordOptions
from bert_jax.data.parts import cut_into_parts
from bert_jax.data.shards import build_shard, read_built
from bert_jax.errors import UserError

CORPUS = [[f"document {number} of the parts", "and a second line"] for number in range(10)]
OPTIONS = RecordOptions(max_seq_length=32, dupe_factor=1)


@pytest.fixture
def finished(tokenizer, tmp_path):
    """The .parts of an unfinished run, one of its parts, and what is known of that part's shard."""
    output = epath.Path(tmp_path) / "records"
    work = output / ".parts"
    (part,) = cut_into_parts(work, CORPUS, OPTIONS, "text.txt")
    built = build_shard(output, work, part, OPTIONS, tokenizer, lambda *_: None)
    return work, part, built


def test_a_finished_shard(finished):
    work, part, built = finished
    assert read_built(work, part) == built
    assert built.shard.num_records == built.statistics.instances > 0


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[" * 100_000, b"null", b"[]", b"{}", b'{"shard": {}}'])
def test_a_note_that_is_damaged(finished, content):
    work, part, _ = finished
    (work / part.done_file).write_bytes(content)
    with pytest.raises(UserError, match=r"train-00000\.done\.json is .*; delete it, and that shard is made again"):
        read_built(work, part)


@pytest.mark.parametrize(
    ("where", "value"),
    [
        (("shard", "num_records"), "3"),
        (("shard", "num_records"), -3),
        (("shard", "file"), "../../elsewhere"),
        (("shard",), []),
        (("statistics", "documents"), 1.5),
        (("statistics", "fill"), [1, 2]),
        (("statistics", "fill"), [None] * 20),
        (("statistics",), None),
    ],
)
def test_what_a_note_may_not_say(finished, where, value):
    work, part, _ = finished
    content = json.loads((work / part.done_file).read_text())
    place = content
    for key in where[:-1]:
        place = place[key]
    place[where[-1]] = value
    (work / part.done_file).write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"done\.json is damaged .*; delete it, and that shard is made again"):
        read_built(work, part)


def test_a_shard_that_is_not_there_any_more_or_of_another_size_is_not_finished(finished):
    work, part, built = finished
    shard = work.parent / built.shard.file
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-1])
    assert read_built(work, part) is None
    shard.unlink()
    assert read_built(work, part) is None
    shard.write_bytes(whole)
    assert read_built(work, part) == built
