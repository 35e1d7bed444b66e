import re
import subprocess
import sys

import pytest
from etils import epath

from bert_jax.data.options import RecordOptions
from bert_jax.data.parts import cut_into_parts, read_part
from bert_jax.errors import UserError

CORPUS = [[f"document {number}", "second\rline\u2028of it"] for number in range(100)]


def cut(directory, corpus=CORPUS, **options):
    parts = cut_into_parts(directory, corpus, RecordOptions(**options), "text.txt")
    return {part.name: list(read_part(directory, part)) for part in parts}


def test_documents_are_dealt_out_in_turn(tmp_path):
    parts = cut(tmp_path, num_parts=3)
    assert parts == {f"train-{number:05d}": CORPUS[number::3] for number in range(3)}


def test_one_part_is_the_corpus_in_order(tmp_path):
    assert cut(tmp_path) == {"train-00000": CORPUS}


def test_held_out_documents_do_not_depend_on_order_or_parts(tmp_path):
    one = cut(tmp_path / "1", holdout=0.2)["validation-00000"]
    other = cut(tmp_path / "2", list(reversed(CORPUS)), holdout=0.2, num_parts=7)["validation-00000"]
    assert sorted(one) == sorted(other)
    assert 8 < len(one) < 32
    assert sorted(one) != sorted(cut(tmp_path / "3", holdout=0.2, random_seed=1)["validation-00000"])


def test_nothing_is_lost_or_in_both(tmp_path):
    parts = cut(tmp_path, holdout=0.2, num_parts=7)
    assert sorted(document for part in parts.values() for document in part) == sorted(CORPUS)


def test_larger_holdout_holds_out_the_same_and_more(tmp_path):
    small = cut(tmp_path / "1", holdout=0.1)["validation-00000"]
    large = cut(tmp_path / "2", holdout=0.3)["validation-00000"]
    assert len(small) < len(large)
    assert all(document in large for document in small)


def test_one_document(tmp_path):
    with pytest.raises(UserError, match=r"text\.txt holds one document only.*separate documents by blank lines"):
        cut(tmp_path, CORPUS[:1])


def test_too_many_parts(tmp_path):
    with pytest.raises(UserError, match=r"--num_parts=51 leaves.*use --num_parts=50 or fewer"):
        cut(tmp_path, num_parts=51)
    assert len(cut(tmp_path, num_parts=50)) == 50
    with pytest.raises(UserError, match=r"--num_parts=3 leaves parts with fewer than one of 2 .*use --num_parts=2"):
        cut(tmp_path / "single", CORPUS[:2], num_parts=3, pairs="none")


def test_too_small_a_holdout_says_what_would_do(tmp_path):
    with pytest.raises(UserError, match=r"holds out 0 of 100 documents") as error:
        cut(tmp_path, holdout=0.0001)
    for number, share in enumerate(shares_that_do(error)):
        parts = cut(tmp_path / str(number), holdout=share)
        assert min(map(len, parts.values())) >= 2


def shares_that_do(error):
    least, most = re.search(r"; use --holdout=(\S+) to (\S+), or 0$", str(error.value)).groups()
    return float(least), float(most)


def test_too_large_a_holdout_says_what_would_do(tmp_path):
    held_out = cut(tmp_path, holdout=0.9)["validation-00000"]
    with pytest.raises(UserError, match=r"--holdout=0.9 leaves 0 of 5 documents for training") as error:
        cut(tmp_path, held_out[:5], holdout=0.9)
    for number, share in enumerate(shares_that_do(error)):
        assert min(map(len, cut(tmp_path / str(number), held_out[:5], holdout=share).values())) >= 2


@pytest.mark.parametrize(("documents", "holdout"), [(2, 0.001), (3, 0.001), (3, 0.999), (1, 0.999)])
def test_where_no_holdout_would_do_none_is_proposed(tmp_path, documents, holdout):
    pairs = "none" if documents == 1 else "nsp"
    with pytest.raises(UserError, match=r"needed; give more documents, or --holdout=0$"):
        cut(tmp_path, CORPUS[:documents], holdout=holdout, pairs=pairs)


FEW_FILES = """
import resource, sys
from etils import epath
from bert_jax.data.options import RecordOptions
from bert_jax.data.parts import cut_into_parts
resource.setrlimit(resource.RLIMIT_NOFILE, (64, int(sys.argv[2])))
corpus = [[f"document {number}"] for number in range(400)]
print(len(cut_into_parts(epath.Path(sys.argv[1]), corpus, RecordOptions(num_parts=150), "text.txt")))
"""


def cut_with_few_files(directory, most):
    command = [sys.executable, "-c", FEW_FILES, str(directory), str(most)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_more_parts_than_open_files_are_usual(tmp_path):
    done = cut_with_few_files(tmp_path, most=400)
    assert done.stdout == "150\n", done.stderr


def test_more_parts_than_open_files_are_allowed(tmp_path):
    done = cut_with_few_files(tmp_path, most=100)
    assert "--num_parts=150 is more than the files this process may open" in done.stderr


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b"[1]", r"line 3 is damaged .*: Expected `str`, got `int` at `\[0\]`"),
        (b'"a"', r"line 3 is damaged .*: Expected `array`, got `str`"),
        (b"[", "line 3 is not JSON"),
        (b'["\xff"]', "line 3 is not JSON"),
        (b"[" * 100_000, r"line 3 is not JSON \(nested too deeply\)"),
        (b'["cut off here"]\n["and"]', "holds 101 documents, and 100 were dealt to it"),
        (b"", "line 3 is not JSON"),
    ],
)
def test_a_part_that_is_damaged(tmp_path, line, says):
    (part,) = cut_into_parts(epath.Path(tmp_path), CORPUS, RecordOptions(), "text.txt")
    lines = (tmp_path / part.file).read_bytes().split(b"\n")
    (tmp_path / part.file).write_bytes(b"\n".join([*lines[:2], line, *lines[3:]]))
    with pytest.raises(UserError, match=rf"train-00000\.jsonl,? {says}.*; delete --output and build") as error:
        list(read_part(epath.Path(tmp_path), part))
    assert "\n" not in str(error.value)


def test_a_part_that_is_cut_off_or_missing(tmp_path):
    (part,) = cut_into_parts(epath.Path(tmp_path), CORPUS, RecordOptions(), "text.txt")
    lines = (tmp_path / part.file).read_bytes().splitlines(keepends=True)
    (tmp_path / part.file).write_bytes(b"".join(lines[:-1]))
    with pytest.raises(UserError, match="holds 99 documents, and 100 were dealt to it; delete --output"):
        list(read_part(epath.Path(tmp_path), part))
    (tmp_path / part.file).unlink()
    with pytest.raises(UserError, match=r"train-00000\.jsonl is missing; delete --output"):
        list(read_part(epath.Path(tmp_path), part))
