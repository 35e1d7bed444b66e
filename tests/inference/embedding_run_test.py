"""A file to shards: order, ids, resuming after a kill, and what is refused."""

import dataclasses
import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from etils import epath

from bert_jax.errors import UserError
from bert_jax.inference import embedding_run
from bert_jax.inference.embedding_files import read_vectors
from bert_jax.inference.embedding_options import EmbeddingOptions, load
from bert_jax.inference.embedding_run import embed_file
from bert_jax.storage.lock import only_run
from tests.inference.conftest import TEXTS
from tests.one_of_many import Meeting, one_of_many


@pytest.fixture(scope="module")
def options(tiny_bert):
    return EmbeddingOptions(str(tiny_bert), shard_rows=2, batch_tokens=64)


@pytest.fixture(scope="module")
def loaded(options):
    return load(options)


@pytest.fixture
def texts(tmp_path):
    path = tmp_path / "texts.txt"
    path.write_text("".join(f"{text}\n" for text in [*TEXTS[:5], "a dog"]))
    return str(path)


def vectors_in(output):
    return np.concatenate([vectors for _, vectors in read_vectors(output)])


def test_shards_are_in_the_order_of_the_input(options, loaded, texts, tmp_path):
    output = tmp_path / "vectors"
    made = embed_file(options, loaded, texts, output)
    shards = [f"embeddings-0000{number}.npy" for number in range(3)]
    ids = [f"ids-0000{number}.jsonl" for number in range(3)]
    assert sorted(path.name for path in output.iterdir()) == sorted([*shards, *ids, "embeddings.json"])
    assert (output / ids[1]).read_text() == "2\n3\n"
    np.testing.assert_allclose(vectors_in(output), loaded.embedder.of_texts([*TEXTS[:5], "a dog"]), atol=1e-5)
    described = json.loads((output / "embeddings.json").read_text())
    assert (described["rows"], described["dim"], described["dtype"]) == (6, 32, "float32")
    assert (described["settings"]["pooling"], described["settings"]["layers"]) == ("mean", [-1])
    assert made.rows == 6


class Killed(BaseException):
    pass


def test_the_same_call_goes_on(options, loaded, texts, tmp_path, monkeypatch):
    whole, output = tmp_path / "whole", tmp_path / "vectors"
    embed_file(options, loaded, texts, whole)
    write = embedding_run.write_arrays

    def dies(path, arrays):
        if path.name == "embeddings-00001.npy":
            raise Killed
        write(path, arrays)

    with monkeypatch.context() as patch:
        patch.setattr(embedding_run, "write_arrays", dies)
        with pytest.raises(Killed):
            embed_file(options, loaded, texts, output)
    assert not (output / "embeddings.json").exists()
    before = (output / "embeddings-00000.npy").stat().st_mtime_ns
    embed_file(options, loaded, texts, output)
    assert (output / "embeddings-00000.npy").stat().st_mtime_ns == before
    assert not (output / "progress.json").exists()
    for path in whole.iterdir():
        assert (output / path.name).read_bytes() == path.read_bytes(), path.name
    embed_file(options, loaded, texts, output)  # all is there
    assert (output / "embeddings-00002.npy").read_bytes() == (whole / "embeddings-00002.npy").read_bytes()


def test_a_call_that_was_killed_at_its_begin_is_made_again(options, texts, tmp_path, monkeypatch):
    options, output = dataclasses.replace(options, pooling="tokens"), tmp_path / "tokens"

    def dies(path, content):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(embedding_run, "write_json", dies)
        with pytest.raises(Killed):
            embed_file(options, load(options), texts, output)
    embed_file(options, load(options), texts, output)
    assert json.loads((output / "tokens.json").read_text())[:1] == ["[PAD]"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pooling": "cls"}, r"begun with pooling=mean, and now it is cls; give another --output"),
        ({"layers": "0,-1"}, r"begun with layers=-1, and now it is 0,-1"),
        ({"normalize": True}, r"begun with normalize=False"),
    ],
)
def test_other_settings_are_refused(options, loaded, texts, tmp_path, changes, message):
    embed_file(options, loaded, texts, tmp_path / "vectors")
    other = dataclasses.replace(options, **changes)
    with pytest.raises(UserError, match=message):
        embed_file(other, load(other), texts, tmp_path / "vectors")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            ['{"id": "a", "text": "x"}', '{"id": NaN, "text": "y"}'],
            r"line 2: its id is NaN, and an id is text or",
        ),
        (['{"id": 1, "text": "x"}', '{"text": "y"}'], r"line 2 has no id, and the rows before have one; give each row"),
        (
            ['{"text": "x"}', '{"id": 0, "text": "y"}'],
            r"line 2 has an id, and the rows before have none; give",
        ),
        (['{"id": 1, "text": "x"}', '{"id": null, "text": "y"}'], r"line 2 has no id, and the rows before have one"),
    ],
)
def test_all_rows_have_ids_or_none(options, loaded, tmp_path, rows, message):
    """A row's number may be the id of another."""
    (tmp_path / "rows.jsonl").write_text("".join(f"{row}\n" for row in rows))
    with pytest.raises(UserError, match=message):
        embed_file(options, loaded, str(tmp_path / "rows.jsonl"), tmp_path / "vectors")


def test_another_model_or_input_is_refused(options, loaded, texts, tmp_path):
    output = tmp_path / "vectors"
    embed_file(options, loaded, texts, output)
    other = dataclasses.replace(loaded, settings=loaded.settings | {"weights": "00000000"})
    with pytest.raises(UserError, match="begun with another model; give another --output"):
        embed_file(options, other, texts, output)
    (tmp_path / "more.txt").write_text("".join(f"{text}\n" for text in [*TEXTS[:5], "a dog", "more"]))
    with pytest.raises(UserError, match=r"more\.txt has more than the 6 texts of --output"):
        embed_file(options, loaded, str(tmp_path / "more.txt"), output)
    (tmp_path / "other.txt").write_text("one\ntwo\n")
    with pytest.raises(UserError, match=r"other\.txt is not what embeddings-00000\.npy was made of"):
        embed_file(options, loaded, str(tmp_path / "other.txt"), output)
    rows = [{"id": f"x{number}", "text": text} for number, text in enumerate([*TEXTS[:5], "a dog"])]
    (tmp_path / "ids.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    with pytest.raises(UserError, match=r"ids\.jsonl is not what embeddings-00000\.npy was made of"):  # of other ids
        embed_file(options, loaded, str(tmp_path / "ids.jsonl"), output)
    with pytest.raises(UserError, match=r"holds [a-z.]+, and no progress\.json of embed; give a new directory"):
        embed_file(options, loaded, texts, tmp_path)


def cut(path):
    path.write_bytes(path.read_bytes()[:-3])


@pytest.mark.parametrize("damaged", ["embeddings-00001.npy", "ids-00001.jsonl"])
@pytest.mark.parametrize(("damage", "message"), [(Path.unlink, "is missing; put it back"), (cut, "bytes in place of")])
def test_a_shard_that_is_gone_or_cut(options, loaded, texts, tmp_path, damaged, damage, message):
    embed_file(options, loaded, texts, tmp_path / "vectors")
    damage(tmp_path / "vectors" / damaged)
    with pytest.raises(UserError, match=rf"{damaged} .*{message}.*give another --output, and they are made again"):
        embed_file(options, loaded, texts, tmp_path / "vectors")


@pytest.mark.parametrize(
    ("damaged", "content", "message"),
    [
        ("embeddings-00001.npy", b"", r"npy is damaged \(No data left in file\); give another --output"),
        ("embeddings-00001.npy", b"vectors", r"npy is damaged \("),
        ("ids-00001.jsonl", b"2\n", r"npy has 2 vectors and ids-00001\.jsonl 1 ids, where 2 were written"),
    ],
)
def test_a_damaged_shard_is_not_read(options, loaded, texts, tmp_path, damaged, content, message):
    embed_file(options, loaded, texts, tmp_path / "vectors")
    (tmp_path / "vectors" / damaged).write_bytes(content)
    with pytest.raises(UserError, match=message):
        vectors_in(tmp_path / "vectors")


def test_vectors_that_are_not_complete_are_not_read(options, loaded, texts, tmp_path):
    embed_file(options, loaded, texts, tmp_path / "vectors")
    (tmp_path / "vectors" / "embeddings.json").unlink()
    with pytest.raises(UserError, match=r"vectors holds no embeddings\.json; let .*bert_jax\.embed` end first"):
        vectors_in(tmp_path / "vectors")


def test_shards_without_sizes_go_on(options, loaded, texts, tmp_path):
    output = tmp_path / "vectors"
    embed_file(options, loaded, texts, output)
    described = json.loads((output / "embeddings.json").read_text())
    for shard in described["shards"]:
        del shard["file_bytes"], shard["ids_bytes"]  # as directories of earlier versions
    (output / "embeddings.json").write_text(json.dumps(described))
    assert embed_file(options, loaded, texts, output).rows == 6


def test_an_input_without_texts_leaves_nothing(options, loaded, tmp_path):
    (tmp_path / "empty.txt").write_text("")
    with pytest.raises(UserError, match=r"empty\.txt has no rows"):
        embed_file(options, loaded, str(tmp_path / "empty.txt"), tmp_path / "vectors")
    assert not (tmp_path / "vectors").exists()


def test_one_process_at_a_time(tmp_path):
    with only_run(tmp_path / "v"), pytest.raises(UserError, match="is being written by"), only_run(tmp_path / "v"):
        pass


@pytest.mark.parametrize("is_there", [False, True])
def test_of_a_job_all_begin_with_what_its_first_process_found(options, loaded, texts, tmp_path, is_there):
    """A slow one looks when the first has begun to write: it would find a foreign file, or more shards."""
    output, meeting = epath.Path(tmp_path / "output"), Meeting()
    if is_there:
        embed_file(options, loaded, texts, output)
    with one_of_many(0, 2, meeting):
        found = embedding_run.begun_for_all(output, loaded.settings)
    assert (found[0] is not None, found[1]) == (is_there, is_there)
    if is_there:
        shutil.rmtree(output)
    output.mkdir()
    (output / "tokens.json").write_text("[]")
    with one_of_many(1, 2, meeting):
        assert embedding_run.begun_for_all(output, loaded.settings) == found


def test_of_a_job_all_end_with_the_line_of_its_first_process(loaded, tmp_path):
    output, meeting, lines = epath.Path(tmp_path / "output"), Meeting(), []
    output.mkdir()
    (output / "thesis.tex").write_text("mine")
    for number in range(2):
        with one_of_many(number, 2, meeting), pytest.raises(UserError, match=r"holds thesis\.tex") as error:
            embedding_run.begun_for_all(output, loaded.settings)
        lines.append(str(error.value))
        shutil.rmtree(output, ignore_errors=True)  # as another host may see it
    assert lines[0] == lines[1]


def test_ids_columns_and_titles(options, loaded, tmp_path, monkeypatch):
    (tmp_path / "a.tsv").write_text('id\ttext\nx1\ta "cat"\nx2\tthe dog\n')
    (tmp_path / "b.jsonl").write_text('{"_id": 7, "title": "a cat", "text": "jumps"}\n{"_id": 8, "text": "the dog"}\n')
    (tmp_path / "c.csv").write_text('text,text2\n"the dog\njumps",a cat\n')
    found = {}
    for name in ("a.tsv", "b.jsonl", "c.csv"):
        embed_file(options, loaded, str(tmp_path / name), tmp_path / name[0])
        ((found[name], vectors),) = read_vectors(tmp_path / name[0])
        found[name] = found[name], vectors
    assert [found[name][0] for name in found] == [["x1", "x2"], [7, 8], [0]]
    titled = loaded.embedder.of_texts(["a cat jumps", "the dog"])
    np.testing.assert_allclose(found["b.jsonl"][1], titled, atol=1e-5)
    for content in (b"a cat\n\nthe dog\n", b'{"text": "a cat"}\n{"text": ""}\n{"text": "the dog"}\n'):
        output = tmp_path / f"stdin{len(content)}"
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))
        embed_file(options, loaded, "-", output)
        np.testing.assert_allclose(vectors_in(output), loaded.embedder.of_texts(["a cat", "", "the dog"]), atol=1e-5)


def test_float16(options, loaded, texts, tmp_path):
    half = dataclasses.replace(options, dtype="float16")
    embed_file(half, loaded, texts, tmp_path / "vectors")
    vectors = np.load(tmp_path / "vectors" / "embeddings-00000.npy")
    assert vectors.dtype == np.float16
    np.testing.assert_allclose(vectors, loaded.embedder.of_texts(TEXTS[:2]), atol=2e-3)


def test_tokens(options, texts, tmp_path, tiny_bert, torch_states, monkeypatch):
    monkeypatch.setattr(embedding_run, "_SHARD_BYTES", 4 * 32 * 20)  # 20 tokens
    options = dataclasses.replace(options, pooling="tokens", shard_rows=100)
    output = tmp_path / "tokens"
    made = embed_file(options, load(options), texts, output)
    assert [shard.rows for shard in made.shards] == [4, 2]  # as soon as it has as many tokens, a shard is whole
    strings = json.loads((output / "tokens.json").read_text())
    arrays = safetensors.numpy.load((output / "tokens-00000.safetensors").read_bytes())
    start, stop = arrays["starts"][2:4]
    assert [strings[token] for token in arrays["token_ids"][start:stop]] == ["[CLS]", "a", "cat", "[SEP]"]
    assert arrays["offsets"][start:stop].tolist() == [[0, 0], [0, 1], [2, 5], [0, 0]]
    (wanted,) = torch_states(tiny_bert, ["a cat"])
    np.testing.assert_allclose(arrays["states"][start:stop], wanted[-1], atol=1e-5)


def test_words(options, texts, tmp_path):
    options = dataclasses.replace(options, pooling="words")
    made = embed_file(options, load(options), texts, tmp_path / "words")
    arrays = safetensors.numpy.load((tmp_path / "words" / "words-00000.safetensors").read_bytes())
    assert arrays["states"].shape == (9, 32)
    assert len(made.shards) == 3


def test_the_verb(tiny_bert, texts, tmp_path, verbs):
    flags = [f"--model={tiny_bert}", f"--input={texts}", f"--output={tmp_path / 'vectors'}", "--normalize"]
    done = verbs.run("embed", *flags)
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(np.linalg.norm(vectors_in(tmp_path / "vectors"), axis=1), 1, atol=1e-5)
    again = verbs.run("embed", *flags, "--pooling=max")
    assert (again.returncode, len(again.stderr.strip().splitlines()[-1:])) == (1, 1)
    assert "begun with pooling=mean, and now it is max" in again.stderr
    assert "--input is missing" in verbs.run("embed", flags[0], f"--output={tmp_path / 'other'}").stderr
